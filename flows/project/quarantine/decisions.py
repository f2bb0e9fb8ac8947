"""`treadle quarantine release` and `drop`: a person's decision about a batch; an interrupted one can be completed.

A release is recorded as pending, then its rows are written as a batch of their own, then removed from the quarantine,
then the record is completed. After a kill the next decision completes it: rows that are in their table already are not
validated again, the others are.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.context.workplace import open_workplace
from treadle.flows.ingest import corrections, labels
from treadle.flows.project.quarantine.batches import HeldBatch, choose_batch, held_batches
from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    import duckdb

    from treadle.expectations.contract import LabelValidation, Validation
    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import QuarantineDecision
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

REVALIDATED = "validated again against the current contract"


class ReleaseResult(BaseModel):
    """How many rows were `released` and `left`; `into` is the batch of the released rows, empty where none passed."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batch_id: str
    file: str
    kind: str
    released: int
    left: int
    into: str
    refused: str
    reason: str
    who: str

    def exit_code(self) -> int:
        """3 when nothing passed and something stays, else 0."""
        return 3 if self.left and not self.released else 0


class DropResult(BaseModel):
    """A dropped batch: its rows stay in the quarantine table and are not listed again."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batch_id: str
    file: str
    dropped: int
    reason: str
    who: str

    def exit_code(self) -> int:
        """Always 0: a batch that cannot be dropped raises."""
        return 0


def run_release(settings: Settings, config: PipelineConfig, batch: str, reason: str = "") -> ReleaseResult:
    """Validate the original rows of `batch` against the current contract, and accept those that pass.

    The contract's rules for a whole batch apply where the batch was refused whole. `max_bad_rows` does not apply,
    because a person has reviewed the batch. Raises UsageError for a batch that is unknown, was dropped or could not be
    read.
    """
    return _release(str(settings.home), config.name, batch, reason.strip() or REVALIDATED)


def run_drop(settings: Settings, config: PipelineConfig, batch: str, reason: str) -> DropResult:
    """Drop `batch` permanently. Raises UsageError without a reason, or for a batch that is unknown or was dropped."""
    if not reason.strip():
        raise UsageError("dropping a batch needs a reason", "give it with --reason '...'")
    return _drop(str(settings.home), config.name, batch, reason.strip())


@one_at_a_time("ingest")
def _release(home: str, pipeline: str, batch: str, reason: str) -> ReleaseResult:
    from treadle.infra.tables import connect

    place = open_workplace(home, pipeline)
    with connect(place.settings.state / "duckdb") as con:
        held = _undecided(place, con, batch)
        if held.scope == "file":
            raise UsageError(
                f"{held.file} could not be read, so there are no rows to release",
                ("have it sent again, then: ", Command(f"quarantine drop {held.batch_id} --reason '...'")),
            )
        events.emit("quarantine", f"{held.file}: checking {held.rows:,} rows against the current contract")
        nth = 1 + sum(earlier.action == "release" for earlier in held.decisions)
        into = f"{held.batch_id}-r{nth}"
        pending = held.interrupted or _record(place, held, "release", reason, into=into, pending=True)
        done, refused = _complete_release(place, con, held, pending)
    return ReleaseResult(
        pipeline=pipeline,
        batch_id=held.batch_id,
        file=held.file,
        kind="labels" if held.labels else "rows",
        released=done.rows,
        left=done.left,
        into=done.into if done.rows else "",
        refused=refused,
        reason=done.reason,
        who=done.who,
    )


@one_at_a_time("ingest")
def _drop(home: str, pipeline: str, batch: str, reason: str) -> DropResult:
    from treadle.infra.tables import connect

    place = open_workplace(home, pipeline)
    with connect(place.settings.state / "duckdb") as con:
        held = _undecided(place, con, batch)
        if held.interrupted:
            _complete_release(place, con, held, held.interrupted)
            held = _undecided(place, con, held.batch_id)
    decision = _record(place, held, "drop", reason, rows=held.rows)
    return DropResult(
        pipeline=pipeline, batch_id=held.batch_id, file=held.file, dropped=held.rows, reason=reason, who=decision.who
    )


def _undecided(place: Workplace, con: duckdb.DuckDBPyConnection, batch: str) -> HeldBatch:
    """The batch called `batch`; raises UsageError where it is unknown, ambiguous or was dropped."""
    held = choose_batch(held_batches(place, con), batch)
    if dropped := held.dropped:
        when = f"{dropped.at:%Y-%m-%d %H:%M}"
        raise UsageError(
            f"{held.batch_id} ({held.file}) was dropped by {dropped.who} on {when}: {dropped.reason}",
            ("ingest a corrected file: ", Command("ingest")),
        )
    return held


def _record(
    place: Workplace, held: HeldBatch, action: str, reason: str, *, rows: int = 0, into: str = "", pending: bool = False
) -> QuarantineDecision:
    from treadle.infra.databases.ledger import QuarantineDecision

    return place.stores.ledger.decide(
        QuarantineDecision(
            pipeline=place.config.name,
            seq=0,
            batch_id=held.batch_id,
            action=action,
            reason=reason,
            who=place.settings.who,
            at=datetime.now(UTC),
            rows=rows,
            left=0,
            into=into,
            pending=pending,
        )
    )


def _complete_release(
    place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch, pending: QuarantineDecision
) -> tuple[QuarantineDecision, str]:
    """Complete a pending release, new or interrupted by a kill; returns it, and why the whole batch was refused."""
    import pyarrow as pa

    from treadle.infra import failpoint

    tables, name = place.stores.tables, "labels" if held.labels else "rows"
    written = pending.into in tables.batches(name)
    if written and not _still_held(place, con, held, name, pending.into):
        released = con.sql(f"SELECT count(*) FROM {tables.relation(name, batches=[pending.into])}").fetchall()[0][0]
        return _complete(place, pending, int(released), held.rows), ""
    validation = _validate(place, con, held, pending.into)
    accepted = 0 if validation.refused else validation.accepted
    if accepted or written:
        nothing = pa.RecordBatchReader.from_batches(tables.columns(name), [])
        with failpoint.around("release.rows"):
            rows = validation.accepted_reader(held.at) if accepted else nothing
            tables.overwrite_batch(name, pending.into, rows)
        corrections.mark_declared(place)
    left = held.rows
    if not validation.refused:
        raw = replace(validation.staged.raw, batch_id=held.batch_id)
        rest = replace(validation, staged=replace(validation.staged, raw=raw)).quarantine_reader(held.file, held.at)
        with failpoint.around("release.quarantine"):
            left = tables.overwrite_batch("quarantine", held.batch_id, rest)
    return _complete(place, pending, accepted, left), validation.refused


def _still_held(place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch, name: str, into: str) -> bool:
    """Whether the quarantine still has rows that were released already."""
    tables = place.stores.tables
    query = (
        f"SELECT count(*) FROM {tables.relation('quarantine', batches=[held.batch_id])} "
        f"SEMI JOIN {tables.relation(name, batches=[into])} USING (_ordinal)"
    )
    return bool(con.sql(query).fetchall()[0][0])


def _validate(
    place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch, into: str
) -> Validation | LabelValidation:
    """Validate the batch's original rows against the current contract; those that pass form the batch `into`."""
    from treadle.expectations.contract import reopen, validate

    data = place.config.data
    raw = reopen(con, place.stores.tables.relation("quarantine", batches=[held.batch_id]), into)
    if held.labels:
        return labels.labels_through_contract(place, con, raw)
    return validate(
        con,
        raw,
        place.suite(),
        key=data.key,
        target=data.target,
        timezone=data.timezone,
        missing=data.missing,
        max_bad_rows=1.0,
        rows_only=held.scope == "row",
    )


def _complete(place: Workplace, pending: QuarantineDecision, rows: int, left: int) -> QuarantineDecision:
    done = replace(pending, rows=rows, left=left, pending=False)
    place.stores.ledger.decided(done)
    return done
