"""Which kind a column is: its native type where the file has one, else what all of its text reads as.

A column is judged by its tally: each distinct value once, with its number of rows and the first of them. So a
column of few values costs next to nothing, whatever is tried on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from treadle.tasks.dataset.schema import Column, ColumnKind, literal, quote
from treadle.tasks.dataset.typing import NUMBER, SPACE, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.tasks.dataset.schema import RawTable

DATES = (
    "%Y%m%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%m/%d/%y", "%d/%m/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
)  # fmt: skip
TIMES = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", "T%H:%M", " %H:%M:%S.%f")
TIMESTAMPS = (
    *(day + time for day in ("%Y-%m-%d", *DATES[1:]) for time in TIMES),
    "%Y%m%d%H%M%S",
    "%Y-%m-%d %H",
)
NATIVE: dict[str, ColumnKind] = {
    "BOOLEAN": "boolean",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "number"),
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "timestamp"),
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
WHOLE = r"[+-]?(0|[1-9]\d*)"
PADDED = r"[+-]?0\d+"
FEW_BAD = 0.005
"""A column is a number although this share of its values is not: those rows are wrong, not the column."""
ODD_VALUES = 25
"""Among numbers, so many different texts are no slips any more."""


STRAYS = frozenset(
    ("-", "--", "---", ".", "..", "*", "none", "unknown", "missing", "undefined", "n/a", "na", "n.a.", "nil")
)
"""Texts that mean missing among numbers; elsewhere they may be a name like any other."""
ALWAYS_MISSING = ("n/a", "#N/A", "<NA>", "\\N", "NaT", "Null", "NAN", "#NULL!", "(null)", "(blank)")
"""Texts that mean missing wherever they are, beyond those that every config takes so."""


@dataclass(frozen=True, slots=True)
class InferredColumn:
    """A column's kind and the reason for it, in one phrase.

    `also` is another format as which every date reads as well, empty where there is none, so that a person must choose.
    `examples` are values that do not read as the kind; `marks` the texts taken as missing that occur; `strays`
    marks that mean missing in this column only (`-` among numbers).
    """

    column: Column
    raw_type: str
    why: str
    also: str = ""
    examples: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """A column's distinct values as a DuckDB table: the column as it came, `_tally` rows of it, the first `_ordinal`.

    `missing` are the texts that mean no value.
    """

    con: duckdb.DuckDBPyConnection
    name: str
    raw_type: str
    missing: tuple[str, ...]

    TABLE = "column_tally"

    @classmethod
    def of_column(cls, con: duckdb.DuckDBPyConnection, raw: RawTable, name: str, missing: Sequence[str]) -> Tally:
        """Count the column's values; replaces the tally of the column before."""
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {cls.TABLE} AS SELECT {quote(name)}, count(*) AS _tally, "
            f"min(_ordinal) AS _ordinal FROM {quote(raw.view)} GROUP BY 1"
        )
        return cls(con, name, dict(raw.columns)[name], tuple(missing))

    @property
    def text(self) -> str:
        """SQL: the column as trimmed text."""
        return f"trim(CAST({quote(self.name)} AS VARCHAR), {literal(SPACE)})"

    @property
    def marks(self) -> str:
        """SQL: the list of texts that mean no value."""
        return f"({', '.join(literal(mark) for mark in self.missing)})"

    @property
    def values(self) -> str:
        """SQL: a relation of the values as trimmed text `v`, missing ones left out, with `_tally` and `_ordinal`."""
        return (
            f"(SELECT {self.text} AS v, _tally, _ordinal FROM {self.TABLE} "
            f"WHERE {quote(self.name)} IS NOT NULL AND {self.text} NOT IN {self.marks})"
        )

    def row(self, sql: str) -> tuple[Any, ...]:
        """The single row that an aggregate gives."""
        found: tuple[Any, ...] = self.con.execute(sql).fetchone()
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A few rows."""
        found: list[tuple[Any, ...]] = self.con.execute(sql).fetchall()
        return found


@dataclass(frozen=True, slots=True)
class _Shape:
    """How many rows of a text column read as what; `witnesses` are the least, the greatest and the first text."""

    rows: int
    whole: int
    numbers: int
    padded: int
    booleans: int
    witnesses: tuple[str, ...]


def infer_kind(tally: Tally) -> InferredColumn:
    """The column's kind. Text that means missing is no value; a column without values is text."""
    base = tally.raw_type.split("(", maxsplit=1)[0].strip().upper()
    if base not in NATIVE:
        return _from_text(tally)
    kind, form, why = NATIVE[base], "", f"{tally.raw_type} in the file"
    if kind == "integer" and _are_days(tally):
        kind, form, why = "date", "%Y%m%d", "every value is a day written YYYYMMDD"
    return InferredColumn(Column(name=tally.name, kind=kind, format=form), tally.raw_type, why)


def _from_text(tally: Tally) -> InferredColumn:
    """Boolean, date, timestamp, whole number, number, else text; all values must agree.

    Numbers forgive a few values: known words for 'missing' become marks, and up to FEW_BAD of other text is bad.
    """
    shape, odd = _shape(tally), dict[str, int]()
    kind: ColumnKind = "text"
    form, also, why = "", "", "its values are text"
    if shape.rows == 0:
        why = "it never holds a value"
    elif shape.booleans == shape.rows:
        kind, why = "boolean", "every value is true or false"
    elif dated := _dated(tally, shape):
        kind, form, also, why = dated
    elif shape.padded:
        # 01234 is a code: a number would lose its zero
        why = "leading zeros make its values codes"
    elif shape.numbers == shape.rows:
        kind = "integer" if shape.whole == shape.rows else "number"
        why = f"every value is a {'whole ' if kind == 'integer' else ''}number"
    elif shape.numbers > 0.5 * shape.rows:
        odd = _odd(tally)
        wrong = sum(count for text, count in odd.items() if text.lower() not in STRAYS)
        if wrong <= FEW_BAD * shape.rows and len(odd) < ODD_VALUES:
            kind = "integer" if shape.whole + sum(odd.values()) == shape.rows else "number"
            why = f"{shape.numbers:,} of {shape.rows:,} values are numbers"
        else:
            odd, why = {}, "many of its values are no numbers"
    return InferredColumn(
        Column(name=tally.name, kind=kind, format=form),
        tally.raw_type,
        why,
        also,
        examples=tuple(text for text in odd if text.lower() not in STRAYS)[:3],
        marks=tuple(
            mark
            for (mark,) in tally.rows(
                f"SELECT DISTINCT {tally.text} AS t FROM {tally.TABLE} WHERE t IN {tally.marks} AND t <> '' ORDER BY t"
            )
        ),
        strays=tuple(sorted(text for text in odd if text.lower() in STRAYS)),
    )


def _shape(tally: Tally) -> _Shape:
    counts = (
        "true",
        f"regexp_full_match(v, '{WHOLE}') AND try_cast(v AS BIGINT) IS NOT NULL",
        f"regexp_full_match(v, '{NUMBER}') AND isfinite(try_cast(v AS DOUBLE))",
        f"regexp_full_match(v, '{PADDED}')",
        "lower(v) IN ('true', 'false')",
    )
    parts = [f"coalesce(sum(_tally) FILTER ({test}), 0)" for test in counts]
    row = tally.row(f"SELECT {', '.join(parts)}, min(v), max(v), arg_min(v, _ordinal) FROM {tally.values}")
    rows, whole, numbers, padded, booleans = (int(count) for count in row[:5])
    return _Shape(rows, whole, numbers, padded, booleans, tuple(text for text in row[5:] if text))


def _odd(tally: Tally) -> dict[str, int]:
    """How many rows each text has that is no number: the most frequent ones."""
    found = tally.rows(
        f"SELECT v, sum(_tally) AS n FROM {tally.values} "
        f"WHERE NOT (regexp_full_match(v, '{NUMBER}') AND isfinite(try_cast(v AS DOUBLE))) "
        f"GROUP BY v ORDER BY n DESC, v LIMIT {ODD_VALUES}"
    )
    return {str(text): int(count) for text, count in found}


def _dated(tally: Tally, shape: _Shape) -> tuple[ColumnKind, str, str, str] | None:
    """(kind, format, another format that fits as well, why) of a text column of dates or timestamps, else None."""
    fractions = shape.numbers == shape.rows and shape.whole < shape.rows
    if fractions or not all(len(text) >= 6 and any(map(str.isdigit, text)) for text in shape.witnesses):
        return None
    if all(text[:4].isdigit() and text[4:5] == "-" for text in shape.witnesses):
        for kind in ("date", "timestamp"):
            # a timestamp reads as a date as well: a date is what never says more than the day
            longer = "false" if kind == "timestamp" else f"length({tally.text}) > 10"
            bad = cast(Column(name=tally.name, kind=kind), "VARCHAR", tally.missing, "").bad
            present = f"{quote(tally.name)} IS NOT NULL AND {tally.text} NOT IN {tally.marks}"
            if not tally.row(f"SELECT bool_or({bad} OR ({present} AND {longer})) FROM {tally.TABLE}")[0]:
                return kind, "", "", f"every value is a {kind}, year first"
    formats = [form for form in (*DATES, *TIMESTAMPS) if all(_reads(text, form) for text in shape.witnesses)]
    if shape.whole != shape.rows:
        formats = [form for form in formats if form != "%Y%m%d"]
    if not formats:
        return None
    tests = (f"count(*) FILTER (year(try_strptime(v, {literal(form)})) BETWEEN 1900 AND 2100)" for form in formats)
    total, *counts = tally.row(f"SELECT count(*), {', '.join(tests)} FROM {tally.values}")
    fitting = [form for form, count in zip(formats, counts, strict=True) if count == total]
    if not fitting or (fitting[0] == "%Y%m%d" and total < 2):
        return None
    also = fitting[1] if len(fitting) > 1 and sorted(fitting[0]) == sorted(fitting[1]) else ""
    why = f"every value reads as {fitting[0]}" + (f", and as {also} too: say which" if also else "")
    return ("timestamp" if set(fitting[0]) & set("HI") else "date"), fitting[0], also, why


def _are_days(tally: Tally) -> bool:
    """Whether every value of a whole-number column is a day written YYYYMMDD."""
    row = tally.row(
        "SELECT count(*), count(*) FILTER (try_cast(v AS BIGINT) BETWEEN 19000101 AND 21001231), "
        f"count(try_strptime(v, '%Y%m%d')) FROM {tally.values}"
    )
    return bool(row[0] >= 2 and row[0] == row[1] == row[2])


def _reads(text: str, form: str) -> bool:
    try:
        moment = datetime.strptime(text, form)
    except ValueError:
        return False
    return 1900 <= moment.year <= 2100
