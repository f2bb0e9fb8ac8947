"""The steps of `treadle score`: each loads by `infra`, calls `tasks`, and stores by `infra`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from pydantic import BaseModel, ConfigDict

from treadle.flows.champion.forbidden import check_in_service
from treadle.flows.champion.moves import settle_champion
from treadle.flows.champion.pending import no_champion_error
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace, this_run
from treadle.tasks.health import UnseenLevels  # noqa: TC001 - Prefect looks results' types up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from treadle.tasks.bundle import Model
    from treadle.tasks.health import UnseenCount

ROWS_AT_ONCE = 50_000


class ModelRef(BaseModel):
    """The champion, pinned by version and digest, so that every step loads the same model."""

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    purpose: str


class ScoredBatch(BaseModel):
    """One batch's predictions; `unseen` counts rows with a level that the model does not know, by column."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    label: str
    rows: int
    unseen: dict[str, int] = {}


@task(name="resolve the champion", task_run_name="resolve the champion")
def resolve_champion(home: str, pipeline: str, purpose: str, *, answers: bool = True) -> ModelRef:
    """The current champion by the ledger, after interrupted moves are completed.

    Raises NothingPromoted without one; and, where it is to answer, ForbiddenColumn for one that is out of service.
    """
    place = open_workplace(home, pipeline)
    stores = place.stores
    settle_champion(stores, place.config)
    if answers:
        check_in_service(stores, place.config)
    champion = stores.ledger.champion(pipeline)
    if champion is None:
        raise no_champion_error(stores.ledger, pipeline)
    return ModelRef(version=champion.version_to, digest=champion.digest, purpose=purpose)


@task(name="find unscored batches", task_run_name="find unscored batches")
def unscored_batches(home: str, pipeline: str, champion: ModelRef) -> tuple[list[ScoredBatch], int]:
    """Batches with unlabelled rows that no model has scored (or, rescoring, not this model), oldest first.

    The second value counts the batches with unlabelled rows that were scored already.
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


@retried_task("score a batch")
def score_batch(home: str, pipeline: str, champion: ModelRef, batch: ScoredBatch) -> ScoredBatch:
    """Predict a batch's unlabelled rows, a slice at a time, and commit them in one overwrite."""
    from treadle.infra import failpoint
    from treadle.infra.files import outbox
    from treadle.infra.tables import connect
    from treadle.tasks.dataset import quote
    from treadle.tasks.health import UnseenCount

    place = open_workplace(home, pipeline)
    model, tables, data = place.model(champion.version, champion.digest), place.stores.tables, place.config.data
    unseen = UnseenCount(model.features)
    with connect(place.settings.state / "duckdb") as con:
        rows = con.sql(
            f"SELECT {', '.join(quote(name) for name in model.inputs)}, _ordinal, _batch_id "
            f"FROM {tables.without_label(data.target, data.key, [batch.batch_id])} ORDER BY _ordinal"
        ).to_arrow_reader(ROWS_AT_ONCE)
        reader = predicted(model, rows, lineage(place, champion), ["_ordinal", "_batch_id"], unseen)
        if place.config.score.output:
            # the file comes first: a kill before the commit makes the next run write the same file again
            stem = outbox.short_name(Path(batch.label).name.split(".")[0])
            name = f"{stem}-{batch.batch_id}-v{champion.version}.parquet"
            with failpoint.around("score.output"):
                reader = outbox.write_through(place.settings.home / place.config.score.output / name, reader)
        with failpoint.around("score.predictions"):
            total = tables.overwrite(
                "predictions",
                {"_batch_id": batch.batch_id, "purpose": champion.purpose, "model_digest": champion.digest},
                reader,
            )
    return batch.model_copy(update={"rows": total, "unseen": unseen.columns()})


@task(name="unseen levels", task_run_name="unseen levels")
def unseen_beside_training(
    home: str, pipeline: str, champion: ModelRef, unseen: dict[str, int], rows: int
) -> tuple[UnseenLevels, ...]:
    """The counts of unseen levels over `rows` rows, beside the champion's training rows where there are any."""
    from treadle.tasks import bundle, health

    reference: tuple[health.ColumnShares, ...] = ()
    if any(unseen.values()):
        place = open_workplace(home, pipeline)
        model = place.model(champion.version, champion.digest)
        training = bundle.reference(place.stores.bundle_folder(champion.version))
        reference = health.shares(model.features, [training])[1]
    return health.unseen_levels(unseen, rows, reference)


@task(name="score the rows of a file", task_run_name="score the rows of a file")
def score_rows_of_file(
    home: str, pipeline: str, champion: ModelRef, input: str, output: str
) -> tuple[int, int, dict[str, int]]:
    """Write a prediction for every row of `input` to `output`.

    Returns rows, rows that break the contract, and by column the rows with a level that the model does not know.
    """
    from treadle.expectations.contract import rows_with_warnings as typed_rows
    from treadle.infra import sources
    from treadle.infra.files import outbox
    from treadle.infra.tables import connect
    from treadle.tasks.health import UnseenCount

    place = open_workplace(home, pipeline)
    model, data = place.model(champion.version, champion.digest), place.config.data
    warned, unseen = 0, UnseenCount(model.features)
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
        reader = predicted(model, rows, {"model_version": champion.version}, ["_warning"], unseen)

        def counted() -> Iterator[pa.RecordBatch]:
            nonlocal warned
            for batch in reader:
                warned += batch.num_rows - batch["_warning"].null_count
                yield batch

        total = outbox.write_output(Path(output), reader.schema, counted())
    return total, warned, unseen.columns()


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
    passed_through: list[str],
    unseen: UnseenCount | None = None,
) -> pa.RecordBatchReader:
    """A stream of predictions for typed `rows`: identity, prediction columns, `passed_through` columns, `constants`.

    `unseen` counts the rows as they go by.
    """
    import pyarrow as pa

    from treadle.tasks import bundle

    def slices() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            if unseen is not None:
                unseen.add(batch)
            table = pa.table({name: batch[name] for name in model.identity})
            for column in (scored := bundle.predict_table(model, batch)).column_names:
                table = table.append_column(column, scored[column])
            for name in passed_through:
                table = table.append_column(rows.schema.field(name), batch[name])
            for name, value in constants.items():
                table = table.append_column(name, pa.repeat(_scalar(value), len(table)))
            yield from table.combine_chunks().to_batches()

    empty = bundle.predict_table(model, rows.schema.empty_table())
    fields = [rows.schema.field(name) for name in model.identity]
    fields += [*empty.schema, *(rows.schema.field(name) for name in passed_through)]
    fields += [*(pa.field(name, _scalar(value).type) for name, value in constants.items())]
    return pa.RecordBatchReader.from_batches(pa.schema(fields), slices())


def _scalar(value: str | int | datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(value, pa.timestamp("us", tz="UTC")) if isinstance(value, datetime) else pa.scalar(value)
