"""What a table holds, column by column: kinds, gaps, levels, spans. The facts on which `infer` decides.

Everything is counted by DuckDB over all rows; Python sees one row of facts per column, never the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.tasks.dataset.kinds import ALWAYS_MISSING, Tally, infer_kind
from treadle.tasks.dataset.schema import Schema, quote
from treadle.tasks.dataset.typing import cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.tasks.dataset.kinds import InferredColumn
    from treadle.tasks.dataset.schema import Column, ColumnKind, RawTable

Level = str | bool | int | float

TYPED = "typed_tally"
MANY_LEVELS = 60
"""Levels are listed, with their counts, where there are at most so many."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of a table with `rows` rows.

    `values` are neither missing nor bad; `levels` are (value, rows, first row) by rows, empty where there are more
    than MANY_LEVELS. `low`, `high`: numbers of numeric columns, ISO text of dates. `mean`, `spread` (standard
    deviation): of numeric columns. `whole`: every number is whole. `longest`, `length` (mean): characters of text.
    `rises`: whole values that go up by one from row to row.
    """

    inferred: InferredColumn
    rows: int
    values: int
    bad: int
    distinct: int
    levels: tuple[tuple[Level, int, int], ...] = ()
    low: float | str | None = None
    high: float | str | None = None
    mean: float | None = None
    spread: float | None = None
    whole: bool = False
    longest: int = 0
    length: float = 0.0
    rises: bool = False

    @property
    def column(self) -> Column:
        """Name, kind and format."""
        return self.inferred.column

    @property
    def name(self) -> str:
        """The column's name."""
        return self.inferred.column.name

    @property
    def kind(self) -> ColumnKind:
        """The column's kind."""
        return self.inferred.column.kind

    @property
    def gaps(self) -> int:
        """Rows without a value."""
        return self.rows - self.values - self.bad

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in ("integer", "number")

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.rows > 1 and self.values == self.distinct == self.rows


@dataclass(frozen=True, slots=True)
class Profile:
    """A table's columns in order; `missing` are the texts that mean no value there."""

    rows: int
    columns: tuple[ColumnFacts, ...]
    missing: tuple[str, ...]
    raw: RawTable

    def __getitem__(self, name: str) -> ColumnFacts:
        return next(facts for facts in self.columns if facts.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(facts.name for facts in self.columns)

    @property
    def schema(self) -> Schema:
        """The columns with their inferred kinds."""
        return Schema(columns=tuple(facts.column for facts in self.columns))


def profile(con: duckdb.DuckDBPyConnection, raw: RawTable, missing: Sequence[str]) -> Profile:
    """Look at all rows of `raw`; `missing` grows by the marks that are found in the table."""
    tokens = (*missing, *(mark for mark in ALWAYS_MISSING if mark not in missing))
    rows = int(con.execute(f"SELECT count(*) FROM {quote(raw.view)}").fetchone()[0])
    columns = _columns(con, raw, tokens, rows)
    if strays := {stray for facts in columns for stray in facts.inferred.strays}:
        # what is missing in one column is missing in all: the config has one list
        tokens = (*tokens, *sorted(strays))
        columns = _columns(con, raw, tokens, rows)
    found = strays | {mark for facts in columns for mark in facts.inferred.marks}
    return Profile(rows, columns, (*missing, *sorted(found - set(missing))), raw)


def _columns(
    con: duckdb.DuckDBPyConnection, raw: RawTable, missing: tuple[str, ...], rows: int
) -> tuple[ColumnFacts, ...]:
    return tuple(_facts(Tally.of_column(con, raw, name, missing), rows) for name in raw.names)


def _facts(tally: Tally, rows: int) -> ColumnFacts:
    """Infer the column's kind, then count its typed values."""
    inferred = infer_kind(tally)
    read = cast(inferred.column, inferred.raw_type, tally.missing, "")
    # typed once and kept: a cast of text costs more than all that is counted here
    tally.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {TYPED} AS SELECT CAST({read.value} AS {inferred.column.duckdb_type}) AS x, "
        f"{read.bad} AS bad, _tally, _ordinal FROM {tally.TABLE}"
    )
    values, bad, distinct, low, high = tally.row(
        "SELECT coalesce(sum(_tally) FILTER (x IS NOT NULL), 0), coalesce(sum(_tally) FILTER (bad), 0), "
        f"count(DISTINCT x), min(x), max(x) FROM {TYPED}"
    )
    levels: list[tuple[Level, int, int]] = []
    if distinct <= MANY_LEVELS:
        levels = tally.rows(
            f"SELECT x, CAST(sum(_tally) AS BIGINT) AS n, min(_ordinal) FROM {TYPED} WHERE x IS NOT NULL "
            "GROUP BY x ORDER BY n DESC, x"
        )
    facts = ColumnFacts(
        inferred=inferred, rows=rows, values=int(values), bad=int(bad), distinct=int(distinct), levels=tuple(levels)
    )
    if facts.numeric and values:
        return _numbers(tally, replace(facts, low=low, high=high))
    if inferred.column.kind in ("date", "timestamp") and values:
        return replace(facts, low=str(low), high=str(high))
    if inferred.column.kind == "text" and values:
        longest, length = tally.row(
            f"SELECT max(length(x)), sum(length(x) * _tally) / sum(_tally) FROM {TYPED} WHERE x IS NOT NULL"
        )
        return replace(facts, longest=int(longest), length=float(length))
    return facts


def _numbers(tally: Tally, facts: ColumnFacts) -> ColumnFacts:
    x = "CAST(x AS DOUBLE)"
    mean, whole, r2 = tally.row(
        f"SELECT sum({x} * _tally) / sum(_tally), bool_and({x} = trunc({x})), regr_r2({x}, _ordinal) "
        f"FROM {TYPED} WHERE x IS NOT NULL"
    )
    (spread,) = tally.row(
        f"SELECT sqrt(sum(power({x} - CAST({float(mean)!r} AS DOUBLE), 2) * _tally) / sum(_tally)) "
        f"FROM {TYPED} WHERE x IS NOT NULL"
    )
    steps = whole and facts.unique and float(facts.high or 0) - float(facts.low or 0) == facts.rows - 1
    return replace(
        facts,
        mean=float(mean),
        spread=float(spread),
        whole=bool(whole),
        rises=bool(steps) and r2 is not None and float(r2) > 0.999999,
    )
