"""The cases of which receivers of alerts were notified and that are not over, in the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import notified
from treadle.tasks.alerts import Case, News

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def read_notified(con: sa.Connection, pipeline: str, receiver: str) -> AbstractSet[Case]:
    """The cases of a pipeline of which the receiver was notified."""
    asked = sa.select(notified.c.kind, notified.c.about).where(
        notified.c.pipeline == pipeline, notified.c.receiver == receiver
    )
    return {Case(*row) for row in con.execute(asked)}


def write_notified(con: sa.Connection, pipeline: str, receiver: str, news: News) -> None:
    """Note which cases the receiver was notified of and which are over; a second call changes nothing."""
    at = datetime.now(UTC)
    for case in news.over | news.new:
        mine = {"pipeline": pipeline, "receiver": receiver, "kind": case.kind, "about": case.id}
        con.execute(sa.delete(notified).where(*(notified.c[name] == value for name, value in mine.items())))
        if case in news.new:
            con.execute(sa.insert(notified).values(at=at, **mine))
