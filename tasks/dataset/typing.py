"""DuckDB's SQL that types the values of a raw column, and marks those that cannot be typed.

Whatever the file's own type, the same rules hold, so a CSV, a Parquet file and a frame written by pandas that say the
same thing become the same rows:

- A missing token (compared after trimming), NULL and NaN are missing: NULL, and not bad.
- integer: `3`, `+3`, `3.0`, `3e0` and 3.0; not `3.5`, `0x1F`, `1_000`, nor what 64 bits cannot hold.
- number: decimal and scientific notation; infinity is bad, also where `1e400` overflows into it, and so is what lies
  beyond float32 (3.4e38), in which models compute.
- boolean: true and false in any case; of numbers, 0 and 1.
- text: as it came, untrimmed. A whole float becomes an integer's text, so that 3.0 (a column with gaps) is `3`.
- date: ISO 8601, the column's `format`, or the local date of a timestamp.
- timestamp: ISO 8601 or the column's `format`; without an offset it is read in the pipeline's time zone (else UTC).
  A local time that a clock change skips is taken as if the clock had not changed yet.

The scorer repeats the rules for pandas (infra/tracking/scorer/reading.py, values.py); a property test keeps the two
equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.centring import LARGEST
from treadle.tasks.dataset.schema import literal, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.tasks.dataset.schema import Column, RawTable, Schema

SPACE = " \t\r\n"
NOT_A_NUMBER = frozenset(sign + name for sign in ("", "+", "-") for name in ("nan", "NaN", "NAN", "Nan"))
INTEGER = r"[+-]?\d+"
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
DAY = r"\d{4}-\d{2}-\d{2}"
NAIVE = DAY + r"([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
AWARE = DAY + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)"

_WHOLE = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)


@dataclass(frozen=True, slots=True)
class Cast:
    """SQL expressions over the raw column: `value` (typed, or NULL), and two that are never NULL.

    `gone` is true where there is no value, `bad` where there is one and it cannot be typed.
    """

    value: str
    gone: str
    bad: str


def cast(column: Column, raw_type: str, missing: Sequence[str], timezone: str) -> Cast:
    """How `column` is read from a raw column of the same name and of DuckDB type `raw_type`.

    `missing` are the tokens that mean no value; those that are numbers count in numeric columns, too. `timezone` is
    an IANA name; empty means UTC.
    """
    source = _source(raw_type)
    raw = quote(column.name)
    if source == "other":
        raw, source = f"CAST({raw} AS VARCHAR)", "text"
    gone = _missing(raw, source, missing, column)
    zone = literal(timezone or "UTC")
    readers = {
        "boolean": _boolean(raw, source),
        "integer": _integer(raw, source),
        "number": _number(raw, source),
        "text": _text(raw, source),
        "date": _date(raw, source, column.format, zone),
        "timestamp": _timestamp(raw, source, column.format, zone),
    }
    value = readers[column.kind]
    return Cast(
        value=f"CASE WHEN {gone} THEN NULL ELSE {value} END",
        gone=gone,
        bad=f"(NOT {gone} AND ({value}) IS NULL)",
    )


def typed_relation(raw: RawTable, schema: Schema, missing: Sequence[str], timezone: str) -> str:
    """SQL that selects `_ordinal` and the schema's columns, typed; NULL where that fails or the column is absent."""
    types = dict(raw.columns)
    columns = ["_ordinal"]
    for column in schema.columns:
        present = column.name in types
        value = cast(column, types[column.name], missing, timezone).value if present else "NULL"
        columns.append(f"CAST({value} AS {column.duckdb_type}) AS {quote(column.name)}")
    return f"SELECT {', '.join(columns)} FROM {quote(raw.view)}"


def _source(raw_type: str) -> str:
    """What a DuckDB type is to us: text, boolean, whole, decimal, float, date, naive, aware or other."""
    name = raw_type.upper().split("(")[0]
    if name in _WHOLE:
        return "whole"
    sources = {
        "VARCHAR": "text",
        "BOOLEAN": "boolean",
        "DECIMAL": "decimal",
        "FLOAT": "float",
        "DOUBLE": "float",
        "DATE": "date",
        "TIMESTAMP": "naive",
        "TIMESTAMP_S": "naive",
        "TIMESTAMP_MS": "naive",
        "TIMESTAMP_NS": "naive",
        "TIMESTAMP WITH TIME ZONE": "aware",
    }
    return sources.get(name, "other")


def _missing(raw: str, source: str, missing: Sequence[str], column: Column) -> str:
    """SQL that is true where there is no value; never NULL."""
    tests = [f"{raw} IS NULL"]
    if source == "text":
        tokens = {token.strip(SPACE) for token in missing}
        if column.kind in ("integer", "number"):
            tokens |= NOT_A_NUMBER
        if tokens:
            # One pattern and not IN or a list: those cost DuckDB 2 to 5 ms a column, however few the rows.
            listed = "|".join(_pattern(token) for token in sorted(tokens))
            tests.append(f"regexp_full_match({_trim(raw)}, {literal(f'(?:{listed})')})")
    if source == "float":
        tests.append(f"isnan({raw})")
    if source in ("whole", "decimal", "float"):
        numbers = sorted(number for token in missing if (number := _number_or_none(token)) is not None)
        if numbers:
            tests.append(f"CAST({raw} AS DOUBLE) IN ({', '.join(f'{number!r}::DOUBLE' for number in numbers)})")
    return f"({' OR '.join(tests)})"


def _pattern(token: str) -> str:
    """A regular expression (RE2) that matches `token` and nothing else."""
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\x{{{ord(letter):x}}}" for letter in token)


def _number_or_none(token: str) -> float | None:
    try:
        number = float(token)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _boolean(raw: str, source: str) -> str:
    if source == "boolean":
        return raw
    if source == "text":
        return f"CASE lower({_trim(raw)}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if source in ("whole", "decimal", "float"):
        return f"CASE WHEN {raw} = 1 THEN TRUE WHEN {raw} = 0 THEN FALSE END"
    return "CAST(NULL AS BOOLEAN)"


def _integer(raw: str, source: str) -> str:
    if source == "text":
        trimmed = _trim(raw)
        exact = f"TRY_CAST({_only(trimmed, INTEGER)} AS BIGINT)"
        return f"coalesce({exact}, {_whole(f'TRY_CAST({_only(trimmed, NUMBER)} AS DOUBLE)')})"
    if source in ("boolean", "whole"):
        return f"TRY_CAST({raw} AS BIGINT)"
    if source in ("decimal", "float"):
        return _whole(raw)
    return "CAST(NULL AS BIGINT)"


def _number(raw: str, source: str) -> str:
    if source == "text":
        number = f"TRY_CAST({_only(_trim(raw), NUMBER)} AS DOUBLE)"
    elif source in ("boolean", "whole", "decimal", "float"):
        number = f"TRY_CAST({raw} AS DOUBLE)"
    else:
        return "CAST(NULL AS DOUBLE)"
    return f"CASE WHEN abs({number}) <= {LARGEST!r}::DOUBLE THEN {number} END"


def _text(raw: str, source: str) -> str:
    if source == "text":
        return raw
    if source == "float":
        return f"coalesce(CAST({_whole(raw)} AS VARCHAR), CAST({raw} AS VARCHAR))"
    return f"CAST({raw} AS VARCHAR)"


def _date(raw: str, source: str, form: str, zone: str) -> str:
    if source == "date":
        return raw
    if source == "naive":
        return f"CAST({raw} AS DATE)"
    if source == "aware":
        return f"CAST({raw} AT TIME ZONE {zone} AS DATE)"
    if source not in ("text", "whole", "decimal", "float"):
        return "CAST(NULL AS DATE)"
    if form and not _has_offset(form):
        return f"CAST(try_strptime({_written(raw, source)}, {literal(form)}) AS DATE)"
    local = f"CAST(({_timestamp(raw, source, form, zone)}) AT TIME ZONE {zone} AS DATE)"
    return f"coalesce(TRY_CAST({_only(_written(raw, source), DAY)} AS DATE), {local})" if not form else local


def _timestamp(raw: str, source: str, form: str, zone: str) -> str:
    if source == "aware":
        return f"CAST({raw} AS TIMESTAMPTZ)"
    if source in ("naive", "date"):
        return f"(CAST({raw} AS TIMESTAMP) AT TIME ZONE {zone})"
    if source not in ("text", "whole", "decimal", "float"):
        return "CAST(NULL AS TIMESTAMPTZ)"
    written = _written(raw, source)
    if form:
        read = f"try_strptime({written}, {literal(form)})"
        return read if _has_offset(form) else f"({read} AT TIME ZONE {zone})"
    naive = f"(TRY_CAST({_only(written, NAIVE)} AS TIMESTAMP) AT TIME ZONE {zone})"
    return f"coalesce({naive}, TRY_CAST({_only(written, AWARE)} AS TIMESTAMPTZ))"


def _written(raw: str, source: str) -> str:
    """A date as text: trimmed, or a whole number's digits."""
    return _trim(raw) if source == "text" else f"CAST({_whole(raw)} AS VARCHAR)"


def _has_offset(form: str) -> bool:
    return "%z" in form or "%Z" in form


def _trim(raw: str) -> str:
    return f"trim({raw}, {literal(SPACE)})"


def _only(text: str, pattern: str) -> str:
    """`text` where the whole of it matches `pattern`, else NULL: DuckDB's own casts are more generous than we are."""
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {text} END"


def _whole(number: str) -> str:
    return f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END"
