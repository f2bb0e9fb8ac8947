"""`treadle ingest`: source -> validate -> rows | quarantine. Everything enters by this door.

A batch is written in three steps, each of which may be repeated at will: its quarantine, its rows (one atomic
overwrite each), and the ledger's record that it was seen. A kill between any two is mended by the next run.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict

from flows import events
from flows.steps import RETRY_DELAYS, Workplace, one_at_a_time, open_workplace, transient
from tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expectations.contract import Validation
    from infra.ledger import BatchRecord
    from infra.settings import Settings
    from tasks.config import PipelineConfig


class BatchRef(BaseModel):
    """A file that waits: where it is, and its content's sha256, by which the batch is known."""

    model_config = ConfigDict(frozen=True)

    path: str
    label: str
    sha256: str

    @property
    def batch_id(self) -> str:
        """The batch's name in every table."""
        return self.sha256[:16]


class BatchResult(BaseModel):
    """What became of one batch; rows_in = accepted + quarantined + duplicates."""

    model_config = ConfigDict(frozen=True)

    label: str
    batch_id: str
    status: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    labelled: int
    reason: str = ""
    warnings: tuple[str, ...] = ()


class IngestResult(BaseModel):
    """All batches of one run; the totals count this run's batches only, not those seen before."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    batches: tuple[BatchResult, ...]
    skipped: int
    refused_before: tuple[str, ...]
    data_version: str

    def exit_code(self) -> int:
        """3 when a batch that was named or waited was refused whole, else 0."""
        return 3 if self.refused_before or any(batch.status != "accepted" for batch in self.batches) else 0


def run(settings: Settings, config: PipelineConfig, paths: Sequence[Path] = ()) -> IngestResult:
    """Ingest what waits in the pipeline's source, or only `paths`.

    Raises DataError for a path that does not exist; a batch that is refused is a result, not an error.
    """
    from infra.orchestrator import flow_context

    with flow_context(settings):
        return ingest(str(settings.home), config.name, [str(path.resolve()) for path in paths])


@flow(name="ingest", flow_run_name="ingest {pipeline}")
@one_at_a_time("ingest")
def ingest(home: str, pipeline: str, paths: list[str] | None = None) -> IngestResult:
    """Take new batches through the contract into rows and quarantine; the same content twice does nothing."""
    waiting = look(home, pipeline, paths or [])
    results = []
    for number, batch in enumerate(waiting.new):
        events.emit("ingest", batch.label, done=number, total=len(waiting.new))
        results.append(take_in.with_options(task_run_name=f"take in {batch.label}")(home, pipeline, batch))
        events.emit("ingest", sentence(results[-1]), done=number + 1, total=len(waiting.new))
    place = open_workplace(home, pipeline)
    result = summarise(pipeline, results, waiting, place.stores.data_version())
    if results:
        create_table_artifact(
            key=f"ingest-{pipeline}".lower().replace("_", "-"),
            table=[batch.model_dump(mode="json", exclude={"warnings"}) for batch in results],
            description=f"Batches of {pipeline}: rows in = accepted + quarantined + duplicates",
        )
    return result


class Waiting(BaseModel):
    """What was found: new batches, how many were seen before, and which of those named were refused then."""

    model_config = ConfigDict(frozen=True)

    new: tuple[BatchRef, ...]
    skipped: int
    refused_before: tuple[str, ...]


@task(name="look for batches", task_run_name="look for batches")
def look(home: str, pipeline: str, paths: list[str]) -> Waiting:
    """Find files of the source (or `paths`) whose content no earlier run has settled.

    A batch that was refused is looked at again when the suite, or how the config reads and weighs it, has changed.
    """
    from infra import sources

    place = open_workplace(home, pipeline)
    contract = place.contract()
    new: dict[str, BatchRef] = {}
    skipped, refused = 0, []
    for path in sources.find(place.settings.home, place.config.data.source, [Path(path) for path in paths]):
        ref = BatchRef(path=str(path), label=path.name, sha256=sources.fingerprint(path))
        record = place.stores.ledger.seen(pipeline, ref.sha256)
        if record is None or (record.status != "accepted" and record.contract != contract):
            if ref.sha256 in new:
                skipped += 1
            new.setdefault(ref.sha256, ref)
            continue
        skipped += 1
        if paths and record.status != "accepted":
            refused.append(f"{ref.label}: {record.reason}")
    return Waiting(new=tuple(new.values()), skipped=skipped, refused_before=tuple(refused))


@task(name="take in a batch", retries=2, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=transient)
def take_in(home: str, pipeline: str, batch: BatchRef) -> BatchResult:
    """Validate one batch and commit it: quarantine, rows, ledger, in this order."""
    from expectations.contract import validate
    from infra import sources, tables

    place = open_workplace(home, pipeline)
    suite, data = place.suite(), place.config.data
    with tables.connect(place.settings.state / "duckdb") as con:
        try:
            raw = sources.open_raw(con, Path(batch.path), batch.batch_id)
        except DataError as error:
            result, document = set_aside(place, batch, error), ""
        else:
            validation = validate(
                con,
                raw,
                suite,
                key=data.key,
                target=data.target,
                timezone=data.timezone,
                missing=data.missing,
                max_bad_rows=data.max_bad_rows,
            )
            if sources.fingerprint(Path(batch.path)) != batch.sha256:
                raise DataError(
                    f"{batch.label} was still being written while it was read",
                    "run the command again; copy files under a name that ends in .part, then rename them",
                )
            result, document = commit(place, batch, validation), json.dumps(validation.report.document())
    place.stores.ledger.record_batch(seen(pipeline, batch.sha256, result, place.contract(), document))
    return result


def seen(pipeline: str, sha256: str, result: BatchResult, contract: str, validation: str) -> BatchRecord:
    """What the ledger keeps of a batch, so that the same content is never taken in twice."""
    from infra.ledger import BatchRecord

    return BatchRecord(
        pipeline=pipeline,
        sha256=sha256,
        batch_id=result.batch_id,
        label=result.label,
        status=result.status,
        reason=result.reason,
        contract=contract,
        rows_in=result.rows_in,
        accepted=result.accepted,
        quarantined=result.quarantined,
        duplicates=result.duplicates,
        equal_rows=result.equal_rows,
        labelled=result.labelled,
        validation=validation,
        at=datetime.now(UTC),
    )


def commit(place: Workplace, batch: BatchRef, validation: Validation) -> BatchResult:
    """Write a validated batch: refused rows first, then accepted ones, each in one atomic overwrite."""
    from infra import failpoint

    report, tables = validation.report, place.stores.tables
    arrived = datetime.now(UTC)
    with failpoint.around("ingest.quarantine"):
        tables.overwrite_batch("quarantine", batch.batch_id, validation.quarantine_reader(batch.label, arrived))
    if not report.refused:
        with failpoint.around("ingest.rows"):
            tables.overwrite_batch("rows", batch.batch_id, validation.accepted_reader(arrived))
    return BatchResult(
        label=batch.label,
        batch_id=batch.batch_id,
        status="refused" if report.refused else "accepted",
        rows_in=report.rows_in,
        accepted=report.accepted,
        quarantined=report.quarantined,
        duplicates=report.duplicates,
        equal_rows=report.equal_rows,
        labelled=report.labelled,
        reason=report.refused,
        warnings=report.warnings,
    )


def set_aside(place: Workplace, batch: BatchRef, error: DataError) -> BatchResult:
    """Copy a file that cannot be read to the refused folder and give it one quarantine row."""
    from infra import failpoint

    folder = place.stores.tables.refused_folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(batch.path, folder / f"{batch.batch_id}.part")
    with failpoint.around("ingest.refused"):
        (folder / f"{batch.batch_id}.part").replace(folder / f"{batch.batch_id}-{batch.label}")
    place.stores.tables.quarantine_file(batch.batch_id, batch.label, batch.sha256, error.message)
    return BatchResult(
        label=batch.label,
        batch_id=batch.batch_id,
        status="unreadable",
        rows_in=0,
        accepted=0,
        quarantined=0,
        duplicates=0,
        equal_rows=0,
        labelled=0,
        reason=error.message,
    )


def summarise(pipeline: str, results: list[BatchResult], waiting: Waiting, data_version: str) -> IngestResult:
    """Add up the batches of one run."""
    return IngestResult(
        pipeline=pipeline,
        rows_in=sum(batch.rows_in for batch in results),
        accepted=sum(batch.accepted for batch in results),
        quarantined=sum(batch.quarantined for batch in results),
        duplicates=sum(batch.duplicates for batch in results),
        equal_rows=sum(batch.equal_rows for batch in results),
        batches=tuple(results),
        skipped=waiting.skipped,
        refused_before=waiting.refused_before,
        data_version=data_version,
    )


def sentence(batch: BatchResult) -> str:
    """One batch in one line for people."""
    if batch.status != "accepted":
        return f"{batch.label}: {batch.status}: {batch.reason}"
    parts = [f"{batch.accepted:,} of {batch.rows_in:,} rows accepted"]
    if batch.quarantined:
        parts.append(f"{batch.quarantined:,} quarantined")
    if batch.duplicates:
        parts.append(f"{batch.duplicates:,} duplicates")
    return f"{batch.label}: " + ", ".join(parts)
