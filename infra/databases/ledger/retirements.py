"""Versions whose models were cleared away, in the ledger's database: their records and verdicts stay."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import promotions, retired
from treadle.tasks.commands import Command
from treadle.tasks.errors import Conflict


def read_retirements(con: sa.Connection, pipeline: str) -> dict[int, datetime]:
    """The versions that are gone, and since when."""
    asked = sa.select(retired.c.version, retired.c.at).where(retired.c.pipeline == pipeline)
    return {int(version): at for version, at in con.execute(asked)}


def write_retirement(con: sa.Connection, pipeline: str, version: int) -> None:
    """Note that a version goes; what was noted stays as it was."""
    if version not in read_retirements(con, pipeline):
        con.execute(sa.insert(retired).values(pipeline=pipeline, version=version, at=datetime.now(UTC)))


def check_not_champion(con: sa.Connection, pipeline: str, version: int) -> None:
    """Raise Conflict where a version was both cleared away and champion: then the transaction's own write is undone."""
    been = sa.select(promotions.c.seq).where(promotions.c.pipeline == pipeline, promotions.c.version_to == version)
    if version in read_retirements(con, pipeline) and con.execute(been).first() is not None:
        raise Conflict(
            f"version {version} of {pipeline} cannot be both champion and cleared away",
            ("look again: ", Command("models")),
        )
