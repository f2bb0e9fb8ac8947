"""Rows before any model: schema, typing, identity, parts."""

from __future__ import annotations

from treadle.tasks.dataset.schema import Column, Kind, RawTable, Schema, literal, nearest, quarantine_schema, quote
from treadle.tasks.dataset.split import Parts, SplitSpec, split

__all__ = [
    "Column",
    "Kind",
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
