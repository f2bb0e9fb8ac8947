"""What a table's columns are called and what they hold, from the file to the Delta table."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

ColumnKind = Literal["boolean", "integer", "number", "text", "date", "timestamp"]

DUCKDB_TYPES: dict[ColumnKind, str] = {
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "text": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}

RESERVED = ("_batch_id", "_ordinal", "_ingested_at", "_row_hash", "_warning")
"""Columns that we add to rows; a file may not bring its own under these names."""


class Column(BaseModel):
    """One column: its name as in the file, what it holds, and how dates are written in text or integers.

    `format` is a strptime format such as `%Y%m%d`; empty means ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: ColumnKind
    format: str = ""

    @property
    def duckdb_type(self) -> str:
        """The SQL type that a typed value has, e.g. `BIGINT`."""
        return DUCKDB_TYPES[self.kind]


class Schema(BaseModel):
    """The columns of a table in order; names are unique even where upper and lower case are the same (SQL)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Column, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Schema:
        twice = repeated(self.names)
        if twice:
            raise ValueError(f"column {twice!r} is there twice (upper and lower case are the same to SQL)")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; raises DataError, with the nearest name, where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        close = nearest(name, self.names)
        raise DataError(f"there is no column {name!r}", f"did you mean {close!r}?" if close else "")

    def without(self, *names: str) -> Schema:
        """The same schema less `names`; names that it does not have are ignored."""
        return Schema(columns=tuple(column for column in self.columns if column.name not in names))

    def arrow(self) -> pa.Schema:
        """The typed columns in Arrow: bool, int64, float64, string, date32, timestamp[us, UTC]; all nullable."""
        import pyarrow as pa

        types = {
            "boolean": pa.bool_(),
            "integer": pa.int64(),
            "number": pa.float64(),
            "text": pa.string(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz="UTC"),
        }
        return pa.schema([pa.field(column.name, types[column.kind]) for column in self.columns])


@dataclass(frozen=True, slots=True)
class RawTable:
    """A file opened in DuckDB, as it came.

    `view` is a DuckDB view (or table) with the file's columns and `_ordinal` BIGINT, the row's place in the file from
    0; `columns` are the file's columns as (name, DuckDB type), without `_ordinal`.
    """

    view: str
    columns: tuple[tuple[str, str], ...]
    batch_id: str

    @property
    def names(self) -> tuple[str, ...]:
        """The file's column names in order."""
        return tuple(name for name, _ in self.columns)


def quarantine_schema() -> pa.Schema:
    """The quarantine table.

    `scope`: `row` (refused on its own account), `batch` (refused with its batch) or `file` (cannot be read; one row
    for all of it). `rules`, `columns` and `values` run in parallel: what was broken, where, by which value as text.
    `required` says in words what each of these rules requires (null in rows of an earlier version).
    `row` is a JSON object with the row as it came, `types` one with its columns' DuckDB types, so that it can be read
    again as it was; both null for a file.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("_batch_id", pa.string()),
            pa.field("file", pa.string()),
            pa.field("scope", pa.string()),
            pa.field("_ordinal", pa.int64()),
            pa.field("rules", pa.list_(pa.string())),
            pa.field("columns", pa.list_(pa.string())),
            pa.field("values", pa.list_(pa.string())),
            pa.field("required", pa.list_(pa.string())),
            pa.field("reason", pa.string()),
            pa.field("row", pa.string()),
            pa.field("types", pa.string()),
            pa.field("quarantined_at", pa.timestamp("us", tz="UTC")),
        ]
    )


def quote(name: str) -> str:
    """`name` as an SQL identifier: `na"me` -> `"na""me"`."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string: `te'xt` -> `'te''xt'`."""
    return "'" + text.replace("'", "''") + "'"


def repeated(names: Iterable[str]) -> str:
    """The first name that comes twice, upper and lower case being the same; empty where none does."""
    folded: set[str] = set()
    for name in names:
        if name.casefold() in folded:
            return name
        folded.add(name.casefold())
    return ""


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that `name` was probably meant to be; empty where none is near.

    Case, spaces and punctuation count for nothing, then the usual edit likeness decides.
    """
    plain = {candidate: _plain(candidate) for candidate in names}
    for candidate, text in plain.items():
        if text == _plain(name):
            return candidate
    close = difflib.get_close_matches(_plain(name), plain.values(), n=1, cutoff=0.6)
    return next((candidate for candidate, text in plain.items() if close and text == close[0]), "")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
