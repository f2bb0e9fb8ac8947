"""`treadle quarantine release` and `drop`: a person's decision about a batch, written so that a kill can be mended.

A release is noted as pending, then its rows are written under a batch of their own, then the quarantine keeps the
rest, then the note is completed. Whatever a kill leaves half done is finished by the next decision: rows that are in
their table are not asked again, and those that are not were never taken in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.context.workplace import open_workplace
from treadle.flows.ingest import labels
from treadle.flows.project.quarantine.batches import HeldBatch, choose_batch, held_batches
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    import duckdb

    from treadle.expectations.contract import LabelValidation, Validation
    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import QuarantineDecision
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

REVALIDATED = "asked today's contract again"


class ReleaseResult(BaseModel):
    """What was taken in and what stays; `into` is the batch that the released rows form, empty where none passed."""

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
    """A batch that is settled: its rows stay in the quarantine table, and are never listed again."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batch_id: str
    file: str
    dropped: int
    reason: str
    who: str

    def exit_code(self) -> int:
        """Always 0: what cannot be dropped raises."""
        return 0


def run_release(settings: Settings, config: PipelineConfig, batch: str, reason: str = "") -> ReleaseResult:
    """Take the rows of `batch` through today's contract as they came, and take in those that pass.

    What the contract says of batches as a whole is asked where the batch was refused whole; `max_bad_rows` is not,
    because a person has looked. Raises UsageError for a batch that is not there, was dropped or could not be read.
    """
    return _release(str(settings.home), config.name, batch, reason.strip() or REVALIDATED)


def run_drop(settings: Settings, config: PipelineConfig, batch: str, reason: str) -> DropResult:
    """Settle `batch` for good. Raises UsageError without a reason, or for a batch that is not there or was dropped."""
    if not reason.strip():
        raise UsageError("to drop a batch needs a reason", "say it with --reason '...'")
    return _drop(str(settings.home), config.name, batch, reason.strip())


@one_at_a_time("ingest")
def _release(home: str, pipeline: str, batch: str, reason: str) -> ReleaseResult:
    from treadle.infra.tables import connect

    place = open_workplace(home, pipeline)
    with connect(place.settings.state / "duckdb") as con:
        one = _undecided(place, con, batch)
        if one.scope == "file":
            raise UsageError(
                f"{one.file} could not be read, so there are no rows to release",
                f"have it sent again, then: treadle quarantine drop {one.batch_id} --reason '...'",
            )
        events.emit("quarantine", f"{one.file}: {one.rows:,} rows meet today's contract, or do not")
        nth = 1 + sum(earlier.action == "release" for earlier in one.decisions)
        pending = one.interrupted or _note(place, one, "release", reason, into=f"{one.batch_id}-r{nth}", pending=True)
        done, refused = _carry_out(place, con, one, pending)
    return ReleaseResult(
        pipeline=pipeline,
        batch_id=one.batch_id,
        file=one.file,
        kind="labels" if one.labels else "rows",
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
        one = _undecided(place, con, batch)
        if one.interrupted:
            _carry_out(place, con, one, one.interrupted)
            one = _undecided(place, con, one.batch_id)
    noted = _note(place, one, "drop", reason, rows=one.rows)
    return DropResult(
        pipeline=pipeline, batch_id=one.batch_id, file=one.file, dropped=one.rows, reason=reason, who=noted.who
    )


def _undecided(place: Workplace, con: duckdb.DuckDBPyConnection, batch: str) -> HeldBatch:
    one = choose_batch(held_batches(place, con), batch)
    if settled := one.dropped:
        when = f"{settled.at:%Y-%m-%d %H:%M}"
        raise UsageError(
            f"{one.batch_id} ({one.file}) was dropped by {settled.who} on {when}: {settled.reason}",
            "a corrected file is taken in by: treadle ingest",
        )
    return one


def _note(
    place: Workplace, one: HeldBatch, action: str, reason: str, *, rows: int = 0, into: str = "", pending: bool = False
) -> QuarantineDecision:
    from treadle.infra.databases.ledger import QuarantineDecision

    return place.stores.ledger.decide(
        QuarantineDecision(
            pipeline=place.config.name,
            seq=0,
            batch_id=one.batch_id,
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


def _carry_out(
    place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch, pending: QuarantineDecision
) -> tuple[QuarantineDecision, str]:
    """Do what a pending release says, from where a kill left it; with it, why the batch as a whole was refused."""
    import pyarrow as pa

    from treadle.infra import failpoint

    tables, name = place.stores.tables, "labels" if one.labels else "rows"
    there = pending.into in tables.batches(name)
    if there and not _still_kept(place, con, one, name, pending.into):
        taken = con.sql(f"SELECT count(*) FROM {tables.relation(name, batches=[pending.into])}").fetchall()[0][0]
        return _complete(place, pending, int(taken), one.rows), ""
    validation = _validate(place, con, one, pending.into)
    accepted = 0 if validation.refused else validation.accepted
    if accepted or there:
        nothing = pa.RecordBatchReader.from_batches(tables.columns(name), [])
        with failpoint.around("release.rows"):
            rows = validation.accepted_reader(one.at) if accepted else nothing
            tables.overwrite_batch(name, pending.into, rows)
    left = one.rows
    if not validation.refused:
        raw = replace(validation.staged.raw, batch_id=one.batch_id)
        rest = replace(validation, staged=replace(validation.staged, raw=raw)).quarantine_reader(one.file, one.at)
        with failpoint.around("release.quarantine"):
            left = tables.overwrite_batch("quarantine", one.batch_id, rest)
    return _complete(place, pending, accepted, left), validation.refused


def _still_kept(place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch, name: str, into: str) -> bool:
    """Whether the quarantine still has rows that were taken in already."""
    tables = place.stores.tables
    query = (
        f"SELECT count(*) FROM {tables.relation('quarantine', batches=[one.batch_id])} "
        f"SEMI JOIN {tables.relation(name, batches=[into])} USING (_ordinal)"
    )
    return bool(con.sql(query).fetchall()[0][0])


def _validate(
    place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch, into: str
) -> Validation | LabelValidation:
    """The rows as they came, taken through today's contract; those that pass are known by the batch `into`."""
    from treadle.expectations.contract import reopen, validate

    data = place.config.data
    raw = reopen(con, place.stores.tables.relation("quarantine", batches=[one.batch_id]), into)
    if one.labels:
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
        rows_only=one.scope == "row",
    )


def _complete(place: Workplace, pending: QuarantineDecision, rows: int, left: int) -> QuarantineDecision:
    done = replace(pending, rows=rows, left=left, pending=False)
    place.stores.ledger.decided(done)
    return done
