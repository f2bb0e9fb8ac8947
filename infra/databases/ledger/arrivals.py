"""What has come into a pipeline, from the batches in the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.infra.databases.ledger import records

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = (records.batches, records.label_batches)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def arrivals_token(con: sa.Connection, pipeline: str) -> str:
    """An opaque token that changes whenever data is accepted or released; empty before the first batch."""
    found = list(_found(con, pipeline, "accepted"))
    decisions = records.decisions.c
    wanted = (decisions.pipeline == pipeline, decisions.action == "release", decisions.rows > 0, ~decisions.pending)
    released = con.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
    if not released and not any(count for count, _ in found):
        return ""
    words = [f"{count} {newest}" for count, newest in found]
    return " ".join([*words, f"{released} released"] if released else words)


def newest_arrival(con: sa.Connection, pipeline: str) -> datetime:
    """When the newest batch was accepted or refused; `LONG_AGO` before the first."""
    return max(newest or LONG_AGO for _, newest in _found(con, pipeline))


def _found(con: sa.Connection, pipeline: str, *statuses: str) -> Iterator[tuple[int, datetime | None]]:
    for table in TABLES:
        query = sa.select(sa.func.count(), sa.func.max(table.c.at)).where(table.c.pipeline == pipeline)
        count, newest = con.execute(query.where(table.c.status.in_(statuses)) if statuses else query).one()
        yield count, newest
