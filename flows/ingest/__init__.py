"""`treadle ingest`: source -> validate -> rows | labels | quarantine. The only way by which data is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.context.named_pipeline import naming_pipeline
from treadle.flows.context.workplace import open_workplace
from treadle.flows.ingest.corrections import mark_corrections
from treadle.flows.ingest.discovery import Growing, WaitingBatches, find_batches
from treadle.flows.ingest.labels import LabelBatch, LabelsResult, take_labels
from treadle.flows.ingest.rows import BatchResult, describe_batch, take_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

__all__ = [
    "ACCEPTED",
    "BatchResult",
    "IngestResult",
    "LabelBatch",
    "LabelsResult",
    "ingest",
    "pipeline_resource",
    "run_ingest",
]

ACCEPTED = "treadle.data.accepted"
"""The event that reports new rows or labels to the server; its automations score, train where due, and monitor."""


class IngestResult(BaseModel):
    """All batches of one run; the totals count this run's batches only, not those of earlier runs.

    `corrects` are the files whose rows were marked as corrections, whether they came in this run or an earlier one.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    batches: tuple[BatchResult, ...]
    labels: LabelsResult
    skipped: int
    refused_before: tuple[str, ...]
    closed: tuple[str, ...]
    growing: tuple[str, ...]
    corrects: tuple[str, ...] = ()
    data_version: str

    def exit_code(self) -> int:
        """3 when a batch that was named or waited was refused whole, or could not be read yet, else 0."""
        statuses = {batch.status for batch in self.batches} | {batch.status for batch in self.labels.batches}
        return 3 if self.refused_before or self.closed or self.growing or statuses - {"accepted"} else 0


def run_ingest(
    settings: Settings,
    config: PipelineConfig,
    paths: Sequence[Path] = (),
    *,
    labels: bool = False,
    correcting: bool = False,
) -> IngestResult:
    """Ingest what waits in the pipeline's sources, or only `paths`; with `labels` those hold late labels.

    With `correcting` their rows take the place of earlier versions of the same keys, of labelled ones too. Raises
    DataError for a path that does not exist, UsageError for labels or corrections without a key by which they find
    their rows; a batch that is refused is a result, not an error.
    """
    from treadle.infra.orchestrator import flow_context

    with flow_context(settings):
        return ingest(str(settings.home), config.name, [str(path.resolve()) for path in paths], labels, correcting)


@flow(name="ingest", flow_run_name="ingest {pipeline}")
@naming_pipeline
@one_at_a_time("ingest")
def ingest(
    home: str, pipeline: str, paths: list[str] | None = None, labels: bool = False, correcting: bool = False
) -> IngestResult:
    """Validate new batches and store them as rows, labels and quarantine; skip content that was ingested before."""
    waiting = find_batches(home, pipeline, paths or [], labels, correcting)
    for message in waiting.closed:
        events.emit("ingest", message)
    rows: list[BatchResult] = []
    late: list[LabelBatch] = []
    growing: list[str] = []
    for number, batch in enumerate(waiting.new):
        events.emit("ingest", batch.label, done=number, total=len(waiting.new))
        name = f"take in {'labels ' if batch.kind == 'labels' else ''}{batch.label}"
        try:
            if batch.kind == "rows":
                rows.append(take_in.with_options(task_run_name=name)(home, pipeline, batch))
                message = describe_batch(rows[-1])
            else:
                late.append(take_labels.with_options(task_run_name=name)(home, pipeline, batch))
                message = late[-1].sentence()
        except Growing as error:
            message = error.message
            growing.append(message)
        events.emit("ingest", message, done=number + 1, total=len(waiting.new))
    place = open_workplace(home, pipeline)
    marked = mark_corrections(home, pipeline) if place.stores.ledger.corrections(pipeline) else ()
    show_batches_in_ui(pipeline, rows, late)
    result = ingest_result(pipeline, rows, late, waiting, growing, marked, place.stores.data_version())
    announce(result)
    return result


def ingest_first(home: str, pipeline: str) -> IngestResult:
    """Run `ingest` within this run, and hide its result from Prefect's tracking of step inputs.

    Prefect's pages list no steps of a run if one of them has the result of a nested run as input.
    """
    from prefect.client.schemas.objects import RunType
    from prefect.context import FlowRunContext

    result = ingest(home, pipeline)
    context = FlowRunContext.get()
    results = context.run_results if context else {}
    for key in [key for key, (_, kind, _) in results.items() if kind is RunType.FLOW_RUN]:
        del results[key]
    return result


def show_batches_in_ui(pipeline: str, rows: list[BatchResult], late: list[LabelBatch]) -> None:
    """Show the batches of one run in Prefect's pages."""
    if rows:
        create_table_artifact(
            key=f"ingest-{pipeline}".lower().replace("_", "-"),
            table=[batch.model_dump(mode="json", exclude={"refusals", "warnings"}) for batch in rows],
            description=f"Batches of {pipeline}: rows in = accepted + quarantined + duplicates",
        )
    if late:
        create_table_artifact(
            key=f"labels-{pipeline}".lower().replace("_", "-"),
            table=[batch.model_dump(mode="json", exclude={"warnings"}) for batch in late],
            description=f"Late labels of {pipeline}: what each file changed",
        )


def announce(result: IngestResult) -> None:
    """Emit the event `ACCEPTED`, if the run accepted any rows or labels, or marked rows as corrections."""
    labels = result.labels.new + result.labels.revised + result.labels.orphan
    if result.accepted or labels or result.corrects:
        payload = {"rows": result.accepted, "labels": labels, "data_version": result.data_version}
        emit_event(
            ACCEPTED, {**pipeline_resource(result.pipeline), "prefect.resource.name": result.pipeline}, payload=payload
        )


def pipeline_resource(pipeline: str) -> dict[str, str]:
    """The resource of events about a pipeline's data."""
    return {"prefect.resource.id": f"treadle.pipeline.{pipeline}"}


def ingest_result(
    pipeline: str,
    rows: list[BatchResult],
    late: list[LabelBatch],
    waiting: WaitingBatches,
    growing: list[str],
    marked: tuple[str, ...],
    data_version: str,
) -> IngestResult:
    """Add up the batches of one run."""
    return IngestResult(
        pipeline=pipeline,
        rows_in=sum(batch.rows_in for batch in rows),
        accepted=sum(batch.accepted for batch in rows),
        quarantined=sum(batch.quarantined for batch in rows),
        duplicates=sum(batch.duplicates for batch in rows),
        equal_rows=sum(batch.equal_rows for batch in rows),
        batches=tuple(rows),
        labels=LabelsResult.of(late),
        skipped=waiting.skipped,
        refused_before=waiting.refused_before,
        closed=waiting.closed,
        growing=tuple(growing),
        corrects=marked,
        data_version=data_version,
    )
