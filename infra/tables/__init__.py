"""A pipeline's tables: Delta Lake on disk, written batch by batch, read through DuckDB."""

from __future__ import annotations

from treadle.infra.tables.pipeline import Tables
from treadle.infra.tables.scratch import connect

__all__ = ["Tables", "connect"]
