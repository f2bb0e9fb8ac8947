"""A batch in DuckDB while it is validated: its typed rows, its broken rules, and the result for each row.

Three things stand beside the raw view: a table of the typed rows, a table of which row broke which rule by which
value, and in the first a column that says what becomes of the row. All of it is SQL on a database that lies on disk;
Python holds counts and one slice of rows at a time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from treadle.tasks.dataset.schema import RawTable, literal, quarantine_schema, quote
from treadle.tasks.dataset.typing import cast
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from treadle.tasks.dataset.schema import Schema

FATE = quote("treadle:fate")
ROWS_AT_ONCE = 50_000
LONGEST_VALUE = 200


class Fate(IntEnum):
    """What becomes of a row."""

    ACCEPTED = 0
    QUARANTINED = 1
    DUPLICATE = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that rows can break: its name, the columns it looks at, whether it refuses, what it wants in words."""

    name: str
    columns: tuple[str, ...]
    critical: bool
    contract: str


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A batch between raw and accepted; `con` holds `<view>_typed` and `<view>_broken`."""

    con: duckdb.DuckDBPyConnection
    raw: RawTable
    schema: Schema

    @property
    def typed(self) -> str:
        """The table of typed rows: `_ordinal`, the schema's columns, `_row_hash`, marks of ours."""
        return f"{self.raw.view}_typed"

    @property
    def broken(self) -> str:
        """The table of broken rules: `_ordinal`, `rule` (a number), `value` (text)."""
        return f"{self.raw.view}_broken"

    @property
    def checked(self) -> str:
        """The view that expectations see: `_ordinal` and the schema's columns of all rows but duplicates."""
        return f"{self.raw.view}_checked"

    def count(self, query: str) -> int:
        """The one number that `query` gives."""
        row = self.con.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0


def empty(con: duckdb.DuckDBPyConnection, raw: RawTable, schema: Schema) -> StagedBatch:
    """A batch that is refused before it is typed: nothing but an empty table of broken rules."""
    staged = StagedBatch(con, raw, schema)
    con.execute(f"CREATE OR REPLACE TABLE {quote(staged.broken)} (_ordinal BIGINT, rule INTEGER, value VARCHAR)")
    return staged


def stage_batch(
    con: duckdb.DuckDBPyConnection, raw: RawTable, schema: Schema, missing: Sequence[str], timezone: str
) -> StagedBatch:
    """Type all rows; what cannot be typed is NULL and marked, and columns that the file lacks are NULL.

    `_row_hash` is the md5 of the row's typed values, each as its length and its text: equal rows have equal hashes.

    Raises DataError where DuckDB does not know the time zone or a column's date format.
    """
    import duckdb

    staged = empty(con, raw, schema)
    con.execute("SET TimeZone = 'UTC'")
    types = dict(raw.columns)
    read, kept, hashed = ["_ordinal"], ["_ordinal", f"CAST({Fate.ACCEPTED} AS TINYINT) AS {FATE}"], []
    for number, column in enumerate(schema.columns):
        name, mark = quote(column.name), _mark(number)
        value, gone = "NULL", "TRUE"
        if column.name in types:
            expression = cast(column, types[column.name], missing, timezone)
            value, gone = expression.value, expression.gone
        # What is bad is derived from the value one step later, so that the value is computed once.
        read += [f"CAST({value} AS {column.duckdb_type}) AS {name}", f"{gone} AS {mark}"]
        kept += [name, f"(NOT {mark} AND {name} IS NULL) AS {mark}"]
        text = f"CAST({name} AS VARCHAR)"
        hashed.append(f"coalesce(strlen({text}) || ':' || {text}, '-')")
    try:
        con.execute(
            f"CREATE OR REPLACE TABLE {quote(staged.typed)} AS "
            f"SELECT {', '.join(kept)}, md5(concat({', '.join(hashed)})) AS _row_hash "
            f"FROM (SELECT {', '.join(read)} FROM {quote(raw.view)})"
        )
    except (duckdb.InvalidInputException, duckdb.BinderException, duckdb.NotImplementedException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"the columns cannot be typed: {reason}", "look at the time zone and at meta.format in the suite"
        ) from error
    names = ", ".join(quote(name) for name in schema.names)
    con.execute(
        f"CREATE OR REPLACE VIEW {quote(staged.checked)} AS SELECT _ordinal, {names} "
        f"FROM {quote(staged.typed)} WHERE {FATE} <> {Fate.DUPLICATE}"
    )
    return staged


def _mark(number: int) -> str:
    return quote(f"treadle:bad:{number}")


def untyped(staged: StagedBatch, name: str) -> str:
    """SQL for the rows whose value in column `name` cannot be typed."""
    return f"SELECT _ordinal FROM {quote(staged.typed)} WHERE {_mark(staged.schema.names.index(name))}"


def untypable(staged: StagedBatch) -> dict[str, int]:
    """How many values of each column cannot be typed."""
    counts = ", ".join(f"count_if({_mark(number)})" for number in range(len(staged.schema.columns)))
    row = staged.con.execute(f"SELECT {counts} FROM {quote(staged.typed)}").fetchone() or ()
    return dict(zip(staged.schema.names, (int(count) for count in row), strict=True))


def count_present(staged: StagedBatch) -> dict[str, int]:
    """How many values each column has, after typing, duplicates left out."""
    counts = ", ".join(f"count({quote(name)})" for name in staged.schema.names)
    row = staged.con.execute(f"SELECT {counts} FROM {quote(staged.checked)}").fetchone() or ()
    return dict(zip(staged.schema.names, (int(count) for count in row), strict=True))


def keyless(staged: StagedBatch, key: Sequence[str]) -> str:
    """SQL for the rows in which a key column is missing (one that cannot be typed is refused for that)."""
    tests = [f"({quote(name)} IS NULL AND NOT {_mark(staged.schema.names.index(name))})" for name in key]
    return f"SELECT _ordinal FROM {quote(staged.typed)} WHERE {' OR '.join(tests)}"


def identify(staged: StagedBatch, key: Sequence[str]) -> tuple[int, str]:
    """Mark the rows that say what an earlier row with the same key says, and count them.

    Gives the count and SQL for the rows whose key another row uses for other content. Rows with a value that cannot
    be typed are never duplicates: they go to quarantine as they came.
    """
    con, typed, keys = staged.con, quote(staged.typed), quote(f"{staged.raw.view}_keys")
    names = ", ".join(quote(name) for name in key)
    given = " AND ".join(f"{quote(name)} IS NOT NULL" for name in key)
    con.execute(
        f"CREATE OR REPLACE TABLE {keys} AS SELECT {names}, min(_row_hash) <> max(_row_hash) AS conflict "
        f"FROM {typed} WHERE {given} GROUP BY {names} HAVING count(*) > 1"
    )
    fine = " AND ".join(f"NOT {_mark(number)}" for number in range(len(staged.schema.columns)))
    again = (
        f"SELECT _ordinal FROM (SELECT _ordinal, row_number() OVER (PARTITION BY {names} ORDER BY _ordinal) AS nth "
        f"FROM {typed} SEMI JOIN (FROM {keys} WHERE NOT conflict) USING ({names}) WHERE {fine}) WHERE nth > 1"
    )
    duplicates = staged.count(f"SELECT count(*) FROM ({again})")
    if duplicates:
        con.execute(f"UPDATE {typed} SET {FATE} = {Fate.DUPLICATE} WHERE _ordinal IN ({again})")
    return duplicates, f"SELECT _ordinal FROM {typed} SEMI JOIN (FROM {keys} WHERE conflict) USING ({names})"


def record(staged: StagedBatch, number: int, rule: Rule, query: str) -> int:
    """Record that the rows of `query` break rule `number`, with the raw values, and count them."""
    names = [name for name in rule.columns if name in staged.raw.names]
    if len(rule.columns) == 1 and names:
        value = f"CAST(raw.{quote(names[0])} AS VARCHAR)"
    elif names:
        parts = ", ".join(
            f"{literal(name + '=')} || coalesce(CAST(raw.{quote(name)} AS VARCHAR), 'NULL')" for name in names
        )
        value = f"concat_ws(', ', {parts})"
    else:
        value = "NULL"
    staged.con.execute(
        f"INSERT INTO {quote(staged.broken)} SELECT raw._ordinal, {number}, {value} "
        f"FROM {quote(staged.raw.view)} AS raw SEMI JOIN ({query}) USING (_ordinal)"
    )
    return staged.count(f"SELECT count(*) FROM {quote(staged.broken)} WHERE rule = {number}")


def settle_rows(staged: StagedBatch, rules: Sequence[Rule]) -> int:
    """Mark the rows that broke a critical rule as quarantined, and count them."""
    critical = [str(number) for number, rule in enumerate(rules) if rule.critical]
    if not critical:
        return 0
    broken = f"SELECT DISTINCT _ordinal FROM {quote(staged.broken)} WHERE rule IN ({', '.join(critical)})"
    count = staged.count(f"SELECT count(*) FROM ({broken})")
    if count:
        staged.con.execute(f"UPDATE {quote(staged.typed)} SET {FATE} = {Fate.QUARANTINED} WHERE _ordinal IN ({broken})")
    return count


def accepted(staged: StagedBatch, arrived: datetime) -> pa.RecordBatchReader:
    """The accepted rows in order: schema columns, `_batch_id`, `_ordinal`, `_ingested_at`, `_row_hash`."""
    import pyarrow as pa

    schema = staged.schema.arrow()
    for name, kind in (
        ("_batch_id", pa.string()),
        ("_ordinal", pa.int64()),
        ("_ingested_at", pa.timestamp("us", tz="UTC")),
        ("_row_hash", pa.string()),
    ):
        schema = schema.append(pa.field(name, kind))
    names = ", ".join(quote(name) for name in staged.schema.names)
    return stream(
        staged.con,
        f"SELECT {names}, {literal(staged.raw.batch_id)} AS _batch_id, _ordinal, {moment(arrived)} AS _ingested_at, "
        f"_row_hash FROM {quote(staged.typed)} WHERE {FATE} = {Fate.ACCEPTED}",
        schema,
    )


def quarantined(
    staged: StagedBatch, rules: Sequence[Rule], label: str, arrived: datetime, refused: str
) -> pa.RecordBatchReader:
    """The refused rows as they came, each with the critical rules that it broke.

    `refused` is the reason why the whole batch is refused, empty where it is not: then all rows are here, and a batch
    without rows gives one line that says so.
    """
    critical = {number: rule for number, rule in enumerate(rules) if rule.critical}
    cells = ", ".join(f"{literal(name)}, {_json(name, kind)}" for name, kind in staged.raw.columns)
    types = literal(json.dumps(dict(staged.raw.columns), ensure_ascii=False))
    reason = f"concat_ws('; ', nullif({literal(refused)}, ''), own.reason)"
    scope = "batch" if refused else "row"
    empty_list = "CAST([] AS VARCHAR[])"
    query = (
        f"SELECT {literal(staged.raw.batch_id)} AS _batch_id, {literal(label)} AS file, {literal(scope)} AS scope, "
        f"raw._ordinal, coalesce(own.rules, {empty_list}) AS rules, coalesce(own.columns, {empty_list}) AS columns, "
        f"coalesce(own.values, {empty_list}) AS values, coalesce(own.required, {empty_list}) AS required, "
        f"{reason} AS reason, "
        f"CAST(json_object({cells}) AS VARCHAR) AS row, {types} AS types, {moment(arrived)} AS quarantined_at "
        f"FROM {quote(staged.raw.view)} AS raw {'LEFT' if refused else 'INNER'} JOIN ({_own(staged, critical)}) AS own "
        f"USING (_ordinal)"
    )
    if refused:
        query += (
            f" UNION ALL SELECT {literal(staged.raw.batch_id)}, {literal(label)}, 'batch', NULL, {empty_list}, "
            f"{empty_list}, {empty_list}, {empty_list}, {literal(refused)}, NULL, NULL, {moment(arrived)} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {quote(staged.raw.view)})"
        )
    return stream(staged.con, query, quarantine_schema())


def reopen(con: duckdb.DuckDBPyConnection, kept: str, batch_id: str) -> RawTable:
    """The rows of one batch that quarantine keeps, as they came: their columns, types and ordinals.

    `kept` is SQL to stand after FROM, with the columns of `quarantine_schema()`; `batch_id` is the rows' new batch.
    Without rows there are no columns either.
    """
    view = "kept_" + re.sub(r"\W", "_", batch_id)
    found = con.sql(f"SELECT types FROM {kept} WHERE types IS NOT NULL LIMIT 1").fetchall()
    types: dict[str, str] = json.loads(found[0][0]) if found else {}
    texts = literal(json.dumps(dict.fromkeys(types, "VARCHAR"), ensure_ascii=False))
    cells = "".join(f", CAST(cells[{literal(name)}] AS {kind}) AS {quote(name)}" for name, kind in types.items())
    con.execute(
        f"CREATE OR REPLACE TABLE {quote(view)} AS SELECT _ordinal{cells} FROM "
        f"(SELECT _ordinal, json_transform(row, {texts}) AS cells FROM {kept} WHERE types IS NOT NULL)"
    )
    return RawTable(view=view, columns=tuple(types.items()), batch_id=batch_id)


def answered(staged: StagedBatch, rules: Sequence[Rule]) -> pa.RecordBatchReader:
    """All rows in order with `_warning`: what each broke, NULL where it broke nothing."""
    import pyarrow as pa

    names = ", ".join(f"typed.{quote(name)}" for name in staged.schema.names)
    return stream(
        staged.con,
        f"SELECT {names}, own.reason AS _warning FROM {quote(staged.typed)} AS typed "
        f"LEFT JOIN ({_own(staged, dict(enumerate(rules)))}) AS own USING (_ordinal) ORDER BY typed._ordinal",
        staged.schema.arrow().append(pa.field("_warning", pa.string())),
    )


def _own(staged: StagedBatch, rules: dict[int, Rule]) -> str:
    """SQL for what each row broke: `_ordinal`, lists `rules`, `columns`, `values`, `required`; `reason` in words."""
    if not rules:
        nothing = "CAST(NULL AS VARCHAR[])"
        return (
            f"SELECT CAST(NULL AS BIGINT) AS _ordinal, {nothing} AS rules, {nothing} AS columns, {nothing} AS values, "
            f"{nothing} AS required, CAST(NULL AS VARCHAR) AS reason WHERE FALSE"
        )
    listed = ", ".join(
        f"({number}, {literal(rule.name)}, {literal(', '.join(rule.columns))}, {literal(rule.contract)})"
        for number, rule in rules.items()
    )
    short = f"CASE WHEN length(value) > {LONGEST_VALUE} THEN value[:{LONGEST_VALUE}] || '...' ELSE value END"
    shown = f"coalesce(nullif(trim({short}), ''), 'missing')"
    reason = f"named.columns || ' is ' || {shown} || ' (contract: ' || named.contract || ')'"
    return (
        "SELECT _ordinal, list(named.name ORDER BY rule) AS rules, list(named.columns ORDER BY rule) AS columns, "
        f"list({short} ORDER BY rule) AS values, list(named.contract ORDER BY rule) AS required, "
        f"string_agg({reason}, '; ' ORDER BY rule) AS reason "
        f"FROM {quote(staged.broken)} JOIN (VALUES {listed}) AS named (rule, name, columns, contract) USING (rule) "
        "GROUP BY _ordinal"
    )


def _json(name: str, kind: str) -> str:
    """A raw cell for a JSON object; JSON has no infinity and NaN, so they are text."""
    cell = f"raw.{quote(name)}"
    if kind in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isfinite({cell}) OR {cell} IS NULL THEN to_json({cell}) ELSE to_json({cell}::VARCHAR) END"
    return cell


def moment(time: datetime) -> str:
    """A point in time as SQL."""
    return f"CAST({literal(time.isoformat())} AS TIMESTAMPTZ)"


def stream(con: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> pa.RecordBatchReader:
    """`query` as a stream of `schema`; a cursor of its own, so that other work on `con` does not cut it off."""
    import pyarrow as pa

    cursor = con.cursor()
    cursor.execute("SET TimeZone = 'UTC'")

    def slices() -> Iterator[pa.RecordBatch]:
        with cursor:
            for batch in cursor.sql(query).to_arrow_reader(ROWS_AT_ONCE):
                yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, slices())
