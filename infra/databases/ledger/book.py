"""The ledger's writes and reads, each one transaction."""

from __future__ import annotations

import operator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from treadle.infra import failpoint
from treadle.infra.databases import engines
from treadle.infra.databases.ledger import (
    arrivals,
    corrections,
    leases,
    notified,
    opening,
    origins,
    records,
    retirements,
)
from treadle.infra.databases.ledger.records import (
    BatchRecord,
    Declined,
    LabelRecord,
    Lease,
    Promotion,
    QuarantineDecision,
    VersionRecord,
    Withdrawal,
)
from treadle.infra.databases.ledger.withdrawals import read_withdrawal, write_withdrawal
from treadle.tasks.commands import Command
from treadle.tasks.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from treadle.tasks.alerts import Case, News

Record = TypeVar("Record", BatchRecord, LabelRecord, QuarantineDecision, Declined, VersionRecord, Promotion)


class Ledger:
    """The ledger behind a SQLAlchemy URL; made on first use.

    Every method raises ServiceError where the database does not answer, UsageError where it cannot be reached by
    this URL or with these rights.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def find_batch(self, pipeline: str, sha256: str) -> BatchRecord | None:
        """The record of the batch with this content; None where there is none."""
        return self._one(BatchRecord, records.batches, pipeline, records.batches.c.sha256 == sha256)

    def find_label_batch(self, pipeline: str, sha256: str) -> LabelRecord | None:
        """The record of the late labels with this content; None where there is none."""
        return self._one(LabelRecord, records.label_batches, pipeline, records.label_batches.c.sha256 == sha256)

    @failpoint.around("ledger.batch")
    def record_batch(self, record: BatchRecord | LabelRecord, run: str = "") -> None:
        """Note what became of a batch, and in which `run`; the same batch again replaces what was noted."""
        table = records.batches if isinstance(record, BatchRecord) else records.label_batches
        with self._write() as con:
            con.execute(sa.delete(table).where(table.c.pipeline == record.pipeline, table.c.sha256 == record.sha256))
            con.execute(sa.insert(table).values(asdict(record)))
            origins.write_origin(con, record.pipeline, record.batch_id, run)

    def label_batches(self, pipeline: str) -> tuple[LabelRecord, ...]:
        """All files of late labels that were settled, oldest first."""
        table = records.label_batches
        return self._select(LabelRecord, table, pipeline, order=(table.c.at, table.c.batch_id))

    def decisions(self, pipeline: str) -> tuple[QuarantineDecision, ...]:
        """What people decided about batches in quarantine, oldest first."""
        return self._select(QuarantineDecision, records.decisions, pipeline, order=(records.decisions.c.seq,))

    @failpoint.around("ledger.decision")
    def decide(self, decision: QuarantineDecision) -> QuarantineDecision:
        """Note a decision under the next free `seq`, whatever its own; returns what is noted.

        Raises Conflict where another process decided at the same moment.
        """
        noted = replace(decision, seq=len(self.decisions(decision.pipeline)) + 1)
        try:
            with self._write() as con:
                con.execute(sa.insert(records.decisions).values(asdict(noted)))
        except IntegrityError:
            raise Conflict("another decision about the quarantine came first", Command("quarantine list")) from None
        return noted

    @failpoint.around("ledger.decided")
    def decided(self, decision: QuarantineDecision) -> None:
        """Mark a pending decision as completely written; a second call changes nothing."""
        table = records.decisions
        with self._write() as con:
            con.execute(
                sa.update(table)
                .where(table.c.pipeline == decision.pipeline, table.c.seq == decision.seq, table.c.pending)
                .values(pending=False, rows=decision.rows, left=decision.left)
            )

    def batches(self, pipeline: str) -> tuple[BatchRecord, ...]:
        """All batches that were settled, oldest first."""
        return self._select(
            BatchRecord, records.batches, pipeline, order=(records.batches.c.at, records.batches.c.batch_id)
        )

    def declare_correction(self, pipeline: str, batch_id: str) -> None:
        """Note that a batch of rows corrects earlier ones; a second call changes nothing."""
        with self._write() as con:
            corrections.write_correction(con, pipeline, batch_id)

    def corrections(self, pipeline: str) -> AbstractSet[str]:
        """The batches that were declared to correct."""
        with self._read() as con:
            return corrections.read_corrections(con, pipeline)

    def arrivals_token(self, pipeline: str) -> str:
        """An opaque token that changes whenever data is accepted or released; empty before the first batch."""
        with self._read() as con:
            return arrivals.arrivals_token(con, pipeline)

    def moment(self, pipeline: str) -> datetime:
        """The time to note for a new batch: now, or just after the newest batch where the clock was set back."""
        with self._read() as con:
            return max(datetime.now(UTC), arrivals.newest_arrival(con, pipeline) + timedelta(microseconds=1))

    @failpoint.around("ledger.version")
    def add_version(self, record: VersionRecord, run: str = "") -> VersionRecord:
        """Note a version, judged in `run`, and return what is noted; a known run key changes nothing."""
        try:
            with self._write() as con:
                con.execute(sa.insert(records.versions).values(asdict(record)))
                origins.write_origin(con, record.pipeline, f"version {record.version}", run)
        except IntegrityError:
            existing = self.by_run(record.pipeline, record.run_key)
            if existing is None:
                raise Conflict(
                    f"version {record.version} of {record.pipeline} is in the ledger already, of another run",
                    ("see: ", Command("models")),
                ) from None
            return existing
        return record

    def origins(self, pipeline: str) -> dict[str, str]:
        """Ids of Prefect's runs, by the batch id or version (`version 3`) that each produced."""
        with self._read() as con:
            return origins.read_origins(con, pipeline)

    def version(self, pipeline: str, version: int) -> VersionRecord | None:
        """One version; None where there is no such."""
        return self._one(VersionRecord, records.versions, pipeline, records.versions.c.version == version)

    def versions(self, pipeline: str) -> tuple[VersionRecord, ...]:
        """All versions, newest first."""
        return self._select(VersionRecord, records.versions, pipeline, order=(records.versions.c.version.desc(),))

    def by_run(self, pipeline: str, run_key: str) -> VersionRecord | None:
        """The version that a run made; None for a run that has not finished."""
        return self._one(VersionRecord, records.versions, pipeline, records.versions.c.run_key == run_key)

    def decline(self, record: Declined) -> None:
        """Note that a person rejected a pending version; a second call changes nothing."""
        with suppress(IntegrityError), self._write() as con:
            con.execute(sa.insert(records.declined).values(asdict(record)))

    def declined(self, pipeline: str) -> dict[int, Declined]:
        """What was declined, by version."""
        return {one.version: one for one in self._select(Declined, records.declined, pipeline)}

    def champion(self, pipeline: str) -> Promotion | None:
        """The move that made today's champion; None before the first."""
        return next(iter(self.history(pipeline)), None)

    def history(self, pipeline: str) -> tuple[Promotion, ...]:
        """All moves of the champion, newest first."""
        return self._select(Promotion, records.promotions, pipeline, order=(records.promotions.c.seq.desc(),))

    @failpoint.around("ledger.promotion")
    def promote(
        self,
        pipeline: str,
        *,
        expected: int | None,
        to: int,
        verdict: str,
        reason: str,
        who: str,
        bundle: str,
        digest: str,
        token: int | None = None,
    ) -> Promotion:
        """Make `to` the champion if today's is still `expected` (None: no champion): compare and swap.

        The move is pending until `complete`. Raises Conflict where another promotion came first or `to` was deleted,
        Fenced where `token` is given and another process holds the lease for training this pipeline.
        """
        last = self.champion(pipeline)
        now = last.version_to if last else None
        move = Promotion(
            pipeline=pipeline,
            seq=last.seq + 1 if last else 1,
            at=datetime.now(UTC),
            version_from=expected,
            version_to=to,
            verdict=verdict,
            reason=reason,
            who=who,
            bundle=bundle,
            digest=digest,
            pending=True,
        )
        if now == expected:
            try:
                with self._write() as con:  # the primary key admits one of two with the same seq
                    # `retire` writes what is checked here, and checks what is written here
                    engines.exclusive_transaction(con)
                    if token is not None:
                        leases.renew_lease(con, pipeline, "train", token)
                    con.execute(sa.insert(records.promotions).values(asdict(move)))
                    retirements.check_not_champion(con, pipeline, to)
            except IntegrityError:
                last = self.champion(pipeline)
                now = last.version_to if last else None
            else:
                return move
        raise Conflict(
            f"the champion of {pipeline} is {_named(now)} by now, not {_named(expected)}",
            ("look at it, then decide again: ", Command("models")),
        )

    def pending(self, pipeline: str) -> tuple[Promotion, ...]:
        """The newest move, if MLflow's alias has not followed it yet; those that it replaced need none."""
        last = self.champion(pipeline)
        return (last,) if last and last.pending else ()

    @failpoint.around("ledger.complete")
    def complete(self, pipeline: str, seq: int) -> None:
        """Note that the alias has followed the move `seq`; those before it are over as well."""
        with self._write() as con:
            con.execute(
                sa.update(records.promotions)
                .where(records.promotions.c.pipeline == pipeline, records.promotions.c.seq <= seq)
                .values(pending=False)
            )

    @failpoint.around("ledger.withdrawal")
    def withdraw(self, pipeline: str, seq: int, columns: str, who: str) -> None:
        """Take the champion of the move `seq` out of service because of `columns`; empty: it is in service again."""
        with self._write() as con:
            engines.exclusive_transaction(con)
            write_withdrawal(con, pipeline, seq, columns, who)

    def withdrawn(self, pipeline: str) -> Withdrawal | None:
        """The withdrawal of the current champion; None where it is in service, or there is none."""
        with self._read() as con:
            return read_withdrawal(con, pipeline)

    @failpoint.around("ledger.retired")
    def retire(self, pipeline: str, version: int) -> None:
        """Note that a version's model is cleared away; raises Conflict for one that is or was champion."""
        with self._write() as con:
            engines.exclusive_transaction(con)
            retirements.write_retirement(con, pipeline, version)
            retirements.check_not_champion(con, pipeline, version)

    def retired(self, pipeline: str) -> dict[int, datetime]:
        """The versions whose models are gone, and since when."""
        with self._read() as con:
            return retirements.read_retirements(con, pipeline)

    @failpoint.around("ledger.holdout")
    def read_holdout(
        self, pipeline: str, holdout: str, run_key: str, alike: Callable[[str, str], bool] = operator.eq
    ) -> int:
        """Note that a run reads a holdout; return how many distinct runs have by now, this one included.

        `alike` says of two holdouts by their names whether they are as good as the same.
        """
        mine = {"pipeline": pipeline, "holdout": holdout, "run_key": run_key, "at": datetime.now(UTC)}
        try:
            with self._write() as con:
                con.execute(sa.insert(records.reads).values(mine))
        except IntegrityError:
            pass  # the same run again
        table = records.reads.c
        every = sa.select(table.holdout, table.run_key).where(table.pipeline == pipeline)
        with self._read() as con:
            return len({key for name, key in con.execute(every) if alike(holdout, name)})

    def lease(self, pipeline: str, work: str) -> Lease | None:
        """The lease for `work` as it is; None before its first holder."""
        with self._read() as con:
            return leases.read_lease(con, pipeline, work)

    @failpoint.around("ledger.lease")
    def take_lease(self, mine: Lease, expected: Lease | None) -> bool:
        """Make `mine` the lease if it still equals `expected` (None: there is none); whether it did."""
        try:
            with self._write() as con:
                return leases.take_lease(con, mine, expected)
        except IntegrityError:
            return False

    def renew_lease(self, pipeline: str, work: str, token: int, *, last: bool = False) -> None:
        """Renew the lease of the holder with this token, or release it with `last`; raises Fenced for an old token."""
        with self._write() as con:
            leases.renew_lease(con, pipeline, work, token, last=last)

    def notified(self, pipeline: str, receiver: str) -> AbstractSet[Case]:
        """The cases of which the receiver was notified and that are not known to be over."""
        with self._read() as con:
            return notified.read_notified(con, pipeline, receiver)

    def note_notified(self, pipeline: str, receiver: str, what: News) -> None:
        """Note that the receiver was notified, unless another process has just done so."""
        with suppress(IntegrityError), self._write() as con:
            notified.write_notified(con, pipeline, receiver, what)

    def _one(self, kind: type[Record], table: sa.Table, pipeline: str, *where: sa.ColumnElement[bool]) -> Record | None:
        return next(iter(self._select(kind, table, pipeline, *where)), None)

    def _select(
        self,
        kind: type[Record],
        table: sa.Table,
        pipeline: str,
        *where: sa.ColumnElement[bool],
        order: tuple[sa.ColumnElement[object], ...] = (),
    ) -> tuple[Record, ...]:
        names = [field.name for field in fields(kind)]
        query = sa.select(*(table.c[name] for name in names)).where(table.c.pipeline == pipeline, *where)
        with self._read() as con:
            return tuple(kind(*row) for row in con.execute(query.order_by(*order)))

    @cached_property
    def _engine(self) -> sa.Engine:
        return opening.ledger_engine(self.url)

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with (
            opening.ledger_errors(self.url),
            self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as con,
        ):
            yield con

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with opening.ledger_errors(self.url), self._engine.begin() as con:
            yield con


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"
