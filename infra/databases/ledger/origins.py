"""In which run of Prefect's a batch was settled or a version judged, in the ledger's database."""

from __future__ import annotations

import sqlalchemy as sa

from treadle.infra.databases.ledger.records import origins


def read_origins(con: sa.Connection, pipeline: str) -> dict[str, str]:
    """Ids of runs, by the batch id or version (`version 3`) that each produced."""
    asked = sa.select(origins.c.about, origins.c.run).where(origins.c.pipeline == pipeline)
    return {str(about): str(run) for about, run in con.execute(asked)}


def write_origin(con: sa.Connection, pipeline: str, about: str, run: str) -> None:
    """Note the run, in place of one that was noted before; an empty one is none."""
    con.execute(sa.delete(origins).where(origins.c.pipeline == pipeline, origins.c.about == about))
    if run:
        con.execute(sa.insert(origins).values(pipeline=pipeline, about=about, run=run))
