"""What receivers of alerts were told and is not over yet, in the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import notified
from treadle.tasks.alerts import Case, News

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def read_notified(con: sa.Connection, pipeline: str, receiver: str) -> AbstractSet[Case]:
    """What the receiver was told of a pipeline."""
    asked = sa.select(notified.c.kind, notified.c.about).where(
        notified.c.pipeline == pipeline, notified.c.receiver == receiver
    )
    return {Case(*row) for row in con.execute(asked)}


def write_notified(con: sa.Connection, pipeline: str, receiver: str, news: News) -> None:
    """Note what was told and what is over; the same twice does nothing."""
    at = datetime.now(UTC)
    for case in news.over | news.new:
        mine = {"pipeline": pipeline, "receiver": receiver, "kind": case.kind, "about": case.id}
        con.execute(sa.delete(notified).where(*(notified.c[name] == value for name, value in mine.items())))
        if case in news.new:
            con.execute(sa.insert(notified).values(at=at, **mine))
