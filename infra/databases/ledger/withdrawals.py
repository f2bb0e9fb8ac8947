"""Champions that were taken out of service, in the ledger's database: which columns were the reason, and until when.

A withdrawal is about one move of the champion: another move ends it without a write here.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import Withdrawal, promotions, withdrawals


def read_withdrawal(con: sa.Connection, pipeline: str) -> Withdrawal | None:
    """The withdrawal of the current champion; None where it is in service, or there is none."""
    row = con.execute(_open(pipeline, _newest_move(con, pipeline))).first()
    return None if row is None else Withdrawal(**row._mapping)


def write_withdrawal(con: sa.Connection, pipeline: str, seq: int, columns: str, who: str) -> None:
    """Note that the champion of the move `seq` is out of service because of `columns`, or with none in service again.

    Changes nothing where that is noted already, or where the champion has changed since. A champion that is in service
    again is pending, so that MLflow's alias follows.
    """
    now, mine = datetime.now(UTC), (withdrawals.c.pipeline == pipeline) & (withdrawals.c.seq == seq)
    noted = con.execute(_open(pipeline, seq)).first()
    if _newest_move(con, pipeline) != seq or (noted.columns if noted else "") == columns:
        return
    con.execute(sa.update(withdrawals).where(mine, withdrawals.c.until.is_(None)).values(until=now))
    if columns:
        con.execute(
            sa.insert(withdrawals).values(pipeline=pipeline, seq=seq, at=now, columns=columns, who=who, until=None)
        )
    else:
        moved = (promotions.c.pipeline == pipeline) & (promotions.c.seq == seq)
        con.execute(sa.update(promotions).where(moved).values(pending=True))


def _newest_move(con: sa.Connection, pipeline: str) -> int:
    newest = sa.select(sa.func.max(promotions.c.seq)).where(promotions.c.pipeline == pipeline)
    return int(con.execute(newest).scalar() or 0)


def _open(pipeline: str, seq: int) -> sa.Select[tuple[str, int, datetime, str, str, datetime | None]]:
    table = withdrawals.c
    columns = (table.pipeline, table.seq, table.at, table.columns, table.who, table.until)
    return sa.select(*columns).where(table.pipeline == pipeline, table.seq == seq, table.until.is_(None))
