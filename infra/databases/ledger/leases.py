"""Leases in the ledger's database: who may do one kind of work on a pipeline, each holder with a higher token.

For what a file's lock cannot tell: that its holder was stopped, and may wake up after another took over. Whoever
writes in the holder's name shows the token in the same transaction (`renew_lease`), which an outdated one rolls back.
"""

from __future__ import annotations

import sqlalchemy as sa

from treadle.infra.databases.ledger import records
from treadle.infra.databases.ledger.records import Lease
from treadle.tasks.errors import Fenced

TABLE = records.leases.c


def read_lease(con: sa.Connection, pipeline: str, work: str) -> Lease | None:
    """The lease as it is; None before its first holder."""
    row = con.execute(sa.select(records.leases).where(TABLE.pipeline == pipeline, TABLE.work == work)).first()
    return Lease(*row) if row else None


def take_lease(con: sa.Connection, mine: Lease, seen: Lease | None) -> bool:
    """Be the next holder, if the lease is still as it was `seen`: one sign of life since, and it is not taken.

    Raises IntegrityError where it was nobody's, and is somebody's by now.
    """
    values = {"token": mine.token, "beats": mine.beats, "holder": mine.holder, "process": mine.process}
    if seen is None:
        con.execute(sa.insert(records.leases).values(pipeline=mine.pipeline, work=mine.work, **values))
        return True
    same = (TABLE.token == seen.token, TABLE.beats == seen.beats, TABLE.process == seen.process)
    taken = con.execute(
        sa.update(records.leases).where(TABLE.pipeline == mine.pipeline, TABLE.work == mine.work, *same).values(values)
    )
    return taken.rowcount == 1


def renew_lease(con: sa.Connection, pipeline: str, work: str, token: int, *, last: bool = False) -> None:
    """Give a sign of life; with `last` the lease is free afterwards. Raises Fenced where another holds it by now."""
    values = {"beats": TABLE.beats + 1, **({"process": ""} if last else {})}
    mine = (TABLE.pipeline == pipeline, TABLE.work == work, TABLE.token == token)
    if con.execute(sa.update(records.leases).where(*mine).values(values)).rowcount == 0:
        now = read_lease(con, pipeline, work)
        raise Fenced(
            f"this process stood still and {now.holder if now else 'another'} took over `{work}` of {pipeline}: "
            + ("nothing was promoted here" if work == "train" else "it did no more here"),
            "see what came of it: treadle models" if work == "train" else "the other goes on with it",
        )
