"""Which batches of rows were declared to correct earlier ones, in the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import corrections

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def read_corrections(con: sa.Connection, pipeline: str) -> AbstractSet[str]:
    """The ids of the batches that were declared to correct."""
    return set(con.execute(sa.select(corrections.c.batch_id).where(corrections.c.pipeline == pipeline)).scalars())


def write_correction(con: sa.Connection, pipeline: str, batch_id: str) -> None:
    """Note that a batch corrects; what was noted stays as it was."""
    if batch_id not in read_corrections(con, pipeline):
        con.execute(sa.insert(corrections).values(pipeline=pipeline, batch_id=batch_id, at=datetime.now(UTC)))
