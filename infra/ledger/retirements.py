"""Versions whose models were cleared away, in the ledger's database: their records and verdicts stay."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from infra.ledger.records import retired


def read(con: sa.Connection, pipeline: str) -> dict[int, datetime]:
    """The versions that are gone, and since when."""
    asked = sa.select(retired.c.version, retired.c.at).where(retired.c.pipeline == pipeline)
    return {int(version): at for version, at in con.execute(asked)}


def write(con: sa.Connection, pipeline: str, version: int) -> None:
    """Note that a version goes; what was noted stays as it was."""
    if version not in read(con, pipeline):
        con.execute(sa.insert(retired).values(pipeline=pipeline, version=version, at=datetime.now(UTC)))
