"""`treadle score`: champion + rows not yet scored -> predictions.

The champion is resolved once and pinned by version and digest. A batch's predictions are one atomic overwrite, so
a replay changes nothing and a reader sees all of them or none.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict

from treadle.flows import events
from treadle.flows.ingest import IngestResult, arrivals
from treadle.flows.promote import nobody, settle
from treadle.flows.steps import RETRY_DELAYS, Workplace, one_at_a_time, open_workplace, this_run, transient
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from treadle.infra.settings import Settings
    from treadle.tasks.bundle import Model
    from treadle.tasks.config import PipelineConfig

ROWS_AT_ONCE = 50_000


class ModelRef(BaseModel):
    """The champion, pinned: everything that a step needs to load just this model and nobody else's."""

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    purpose: str


class ScoredBatch(BaseModel):
    """One batch's predictions."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    label: str
    rows: int


class ScoreResult(BaseModel):
    """What was scored, by which model."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    version: int
    digest: str
    rows: int
    batches: tuple[ScoredBatch, ...]
    skipped: int
    output: str | None
    warnings: tuple[str, ...]
    ingest: IngestResult | None

    def exit_code(self) -> int:
        """3 when a batch that waited was refused whole, else 0."""
        return self.ingest.exit_code() if self.ingest else 0


def run(
    settings: Settings,
    config: PipelineConfig,
    *,
    rescore: bool = False,
    input: Path | None = None,
    output: Path | None = None,
) -> ScoreResult:
    """Score what waits, or answer for one file.

    Raises NothingPromoted without a champion, DataError for a file that cannot be read, UsageError where `input` is
    not there or `output` would replace what people brought.
    """
    from treadle.infra.orchestrator import flow_context

    if input is not None and output is not None:
        _check_apart(settings, config, input, output)
    with flow_context(settings):
        if input is not None and output is not None:
            return score_file(str(settings.home), config.name, str(input.resolve()), str(output.resolve()))
        return score(str(settings.home), config.name, rescore=rescore)


def _check_apart(settings: Settings, config: PipelineConfig, input: Path, output: Path) -> None:
    """Refuse, before any work, an answer that cannot be written or would lie among the pipeline's own data."""
    from treadle.infra import outbox, sources

    if not input.is_file():
        what = "is a folder" if input.is_dir() else "there is no such file"
        raise UsageError(f"--input {input}: {what}", "name a CSV or Parquet file")
    if not os.access(input, os.R_OK):
        raise UsageError(f"--input {input}: no right to read it", "change its rights")
    outbox.check(output)
    if output.exists() and output.samefile(input):
        raise UsageError(f"--output {output} is the input itself", "name another file")
    for key, source in (("data.source", config.data.source), ("labels.source", config.labels.source)):
        if source and sources.covers(settings.home, source, output):
            raise UsageError(
                f"--output {output} is among the files of {key}: it would be ingested as data", "name another place"
            )


@flow(name="score", flow_run_name="score {pipeline}")
@one_at_a_time("score")
def score(home: str, pipeline: str, rescore: bool = False) -> ScoreResult:
    """Ingest what waits, then predict the rows of every batch without predictions whose label nobody knows yet."""
    champion = resolve(home, pipeline, "rescore" if rescore else "champion")
    arrived = arrivals(home, pipeline)
    waiting, skipped = unscored(home, pipeline, champion)
    done = []
    for number, batch in enumerate(waiting):
        events.emit("score", batch.label, done=number, total=len(waiting))
        step = score_batch.with_options(task_run_name=f"score {batch.label}")
        done.append(step(home, pipeline, champion, batch))
        events.emit("score", f"{batch.label}: {done[-1].rows:,} rows scored", done=number + 1, total=len(waiting))
    if done:
        create_table_artifact(
            key=f"score-{pipeline}".lower().replace("_", "-"),
            table=[{**batch.model_dump(), "model_version": champion.version} for batch in done],
            description=f"Batches of {pipeline} scored by version {champion.version}",
        )
    return ScoreResult(
        pipeline=pipeline,
        version=champion.version,
        digest=champion.digest,
        rows=sum(batch.rows for batch in done),
        batches=tuple(done),
        skipped=skipped,
        output=open_workplace(home, pipeline).config.score.output or None,
        warnings=(),
        ingest=arrived,
    )


@flow(name="score a file", flow_run_name="score a file for {pipeline}")
def score_file(home: str, pipeline: str, input: str, output: str) -> ScoreResult:
    """Answer a person's question: one row out for every row in, in order; no table is touched."""
    champion = resolve(home, pipeline, "champion")
    rows, warned = answer(home, pipeline, champion, input, output)
    return ScoreResult(
        pipeline=pipeline,
        version=champion.version,
        digest=champion.digest,
        rows=rows,
        batches=(),
        skipped=0,
        output=output,
        warnings=(f"{warned:,} of {rows:,} rows break the contract; column _warning names the rules",)
        if warned
        else (),
        ingest=None,
    )


@task(name="resolve the champion", task_run_name="resolve the champion")
def resolve(home: str, pipeline: str, purpose: str) -> ModelRef:
    """Who is champion now, by the ledger; half-done moves are settled first.

    Raises NothingPromoted without one.
    """
    stores = open_workplace(home, pipeline).stores
    settle(stores)
    champion = stores.ledger.champion(pipeline)
    if champion is None:
        raise nobody(stores.ledger, pipeline)
    return ModelRef(version=champion.version_to, digest=champion.digest, purpose=purpose)


@task(name="find unscored batches", task_run_name="find unscored batches")
def unscored(home: str, pipeline: str, champion: ModelRef) -> tuple[list[ScoredBatch], int]:
    """Batches with unlabelled rows that no model has scored (or, rescoring, not this model), oldest first.

    The number beside them counts the batches with unlabelled rows that are left as they are.
    """
    place = open_workplace(home, pipeline)
    tables = place.stores.tables
    waiting = tables.unlabelled(place.config.data.target, place.config.data.key)
    scored = tables.scored(champion.digest if champion.purpose == "rescore" else None)
    names = {record.batch_id: record.label for record in place.stores.ledger.batches(pipeline)}
    new = [
        ScoredBatch(batch_id=batch_id, label=names.get(batch_id, batch_id), rows=rows)
        for batch_id, rows in waiting.items()
        if batch_id not in scored
    ]
    return new, len(waiting) - len(new)


@task(name="score a batch", retries=2, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=transient)
def score_batch(home: str, pipeline: str, champion: ModelRef, batch: ScoredBatch) -> ScoredBatch:
    """Predict a batch's unlabelled rows, a slice at a time, and commit them in one overwrite."""
    from treadle.infra import failpoint, outbox
    from treadle.infra.tables import connect
    from treadle.tasks.dataset import quote

    place = open_workplace(home, pipeline)
    model, tables, data = place.model(champion.version, champion.digest), place.stores.tables, place.config.data
    with connect(place.settings.state / "duckdb") as con:
        rows = con.sql(
            f"SELECT {', '.join(quote(name) for name in model.inputs)}, _ordinal, _batch_id "
            f"FROM {tables.without_label(data.target, data.key, [batch.batch_id])} ORDER BY _ordinal"
        ).to_arrow_reader(ROWS_AT_ONCE)
        reader = predicted(model, rows, lineage(place, champion), ["_ordinal", "_batch_id"])
        if place.config.score.output:
            # the file comes first: a kill before the commit makes the next run write the same file again
            stem = outbox.short(Path(batch.label).name.split(".")[0])
            name = f"{stem}-{batch.batch_id}-v{champion.version}.parquet"
            with failpoint.around("score.output"):
                reader = outbox.write_through(place.settings.home / place.config.score.output / name, reader)
        with failpoint.around("score.predictions"):
            total = tables.overwrite(
                "predictions",
                {"_batch_id": batch.batch_id, "purpose": champion.purpose, "model_digest": champion.digest},
                reader,
            )
    return batch.model_copy(update={"rows": total})


@task(name="answer for a file", task_run_name="answer for a file")
def answer(home: str, pipeline: str, champion: ModelRef, input: str, output: str) -> tuple[int, int]:
    """Write a prediction for every row of `input` to `output`; returns rows, and rows that break the contract."""
    from treadle.expectations.contract import answer as typed_rows
    from treadle.infra import outbox, sources
    from treadle.infra.tables import connect

    place = open_workplace(home, pipeline)
    model, data = place.model(champion.version, champion.digest), place.config.data
    warned = 0
    with connect(place.settings.state / "duckdb") as con:
        raw = sources.open_raw(con, Path(input), "input")
        rows = typed_rows(
            con,
            raw,
            place.suite(),
            target=data.target,
            timezone=data.timezone,
            missing=data.missing,
            needed=model.required,
        )
        reader = predicted(model, rows, {"model_version": champion.version}, ["_warning"])

        def counted() -> Iterator[pa.RecordBatch]:
            nonlocal warned
            for batch in reader:
                warned += batch.num_rows - batch["_warning"].null_count
                yield batch

        total = outbox.write(Path(output), reader.schema, counted())
    return total, warned


def lineage(place: Workplace, champion: ModelRef) -> dict[str, str | int | datetime]:
    """The columns that say of every prediction which model made it, from which data, in which run."""
    return {
        "purpose": champion.purpose,
        "model_version": champion.version,
        "model_digest": champion.digest,
        "data_version": place.stores.data_version(),
        "_run_id": this_run(),
        "_scored_at": datetime.now(UTC),
    }


def predicted(
    model: Model,
    rows: pa.RecordBatchReader,
    constants: Mapping[str, str | int | datetime],
    carried: list[str],
) -> pa.RecordBatchReader:
    """A stream of typed rows as a stream of predictions: identity, prediction columns, `carried` columns, lineage."""
    import pyarrow as pa

    from treadle.tasks import bundle

    def slices() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            table = pa.table({name: batch[name] for name in model.identity})
            for column in (scored := bundle.predict(model, batch)).column_names:
                table = table.append_column(column, scored[column])
            for name in carried:
                table = table.append_column(rows.schema.field(name), batch[name])
            for name, value in constants.items():
                table = table.append_column(name, pa.repeat(_scalar(value), len(table)))
            yield from table.combine_chunks().to_batches()

    empty = bundle.predict(model, rows.schema.empty_table())
    fields = [rows.schema.field(name) for name in model.identity]
    fields += [*empty.schema, *(rows.schema.field(name) for name in carried)]
    fields += [*(pa.field(name, _scalar(value).type) for name, value in constants.items())]
    return pa.RecordBatchReader.from_batches(pa.schema(fields), slices())


def _scalar(value: str | int | datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(value, pa.timestamp("us", tz="UTC")) if isinstance(value, datetime) else pa.scalar(value)
