"""Rows before any model: schema, typing, identity, parts."""

from __future__ import annotations

from treadle.tasks.dataset.schema import (
    Column,
    ColumnKind,
    RawTable,
    Schema,
    literal,
    nearest,
    quarantine_schema,
    quote,
)
from treadle.tasks.dataset.split import OpenParts, Parts, SplitSpec, split

__all__ = [
    "Column",
    "ColumnKind",
    "OpenParts",
    "Parts",
    "RawTable",
    "Schema",
    "SplitSpec",
    "literal",
    "nearest",
    "quarantine_schema",
    "quote",
    "split",
]
