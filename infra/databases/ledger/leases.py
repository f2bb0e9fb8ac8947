"""Leases in the ledger's database: who may do one kind of work on a pipeline, each holder with a higher token.

A file lock cannot show that its holder was suspended and may continue after another process took over. The holder's
writes therefore present its token in the same transaction (`renew_lease`); an outdated token rolls it back.
"""

from __future__ import annotations

import sqlalchemy as sa

from treadle.infra.databases.ledger import records
from treadle.infra.databases.ledger.records import Lease
from treadle.tasks.commands import Command
from treadle.tasks.errors import Fenced

TABLE = records.leases.c


def read_lease(con: sa.Connection, pipeline: str, work: str) -> Lease | None:
    """The lease as it is; None before its first holder."""
    row = con.execute(sa.select(records.leases).where(TABLE.pipeline == pipeline, TABLE.work == work)).first()
    return Lease(*row) if row else None


def take_lease(con: sa.Connection, mine: Lease, expected: Lease | None) -> bool:
    """Become the next holder if the lease still equals `expected`: fails if the holder has sent a heartbeat since.

    Returns whether the lease was taken. Raises IntegrityError where `expected` is None and a lease exists by now.
    """
    values = {"token": mine.token, "beats": mine.beats, "holder": mine.holder, "process": mine.process}
    if expected is None:
        con.execute(sa.insert(records.leases).values(pipeline=mine.pipeline, work=mine.work, **values))
        return True
    same = (TABLE.token == expected.token, TABLE.beats == expected.beats, TABLE.process == expected.process)
    taken = con.execute(
        sa.update(records.leases).where(TABLE.pipeline == mine.pipeline, TABLE.work == mine.work, *same).values(values)
    )
    return taken.rowcount == 1


def renew_lease(con: sa.Connection, pipeline: str, work: str, token: int, *, last: bool = False) -> None:
    """Send a heartbeat; with `last` release the lease. Raises Fenced where another process holds it by now."""
    values = {"beats": TABLE.beats + 1, **({"process": ""} if last else {})}
    mine = (TABLE.pipeline == pipeline, TABLE.work == work, TABLE.token == token)
    if con.execute(sa.update(records.leases).where(*mine).values(values)).rowcount == 0:
        now = read_lease(con, pipeline, work)
        raise Fenced(
            f"this process was suspended and {now.holder if now else 'another'} took over `{work}` of {pipeline}: "
            + ("nothing was promoted here" if work == "train" else "it did no more here"),
            ("see the result: ", Command("models")) if work == "train" else "the other goes on with it",
        )
