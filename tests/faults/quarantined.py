"""What is in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from treadle.infra import stores

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


def quarantined(settings: Settings, pipeline: str) -> list[dict[str, object]]:
    """Its rows, by file and place."""
    relation = stores.open(settings, pipeline).tables.relation("quarantine")
    with duckdb.connect() as con:
        rows = con.sql(f"SELECT * FROM {relation} ORDER BY file, _ordinal")
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
