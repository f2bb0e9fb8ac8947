"""Column types in the three languages that a table speaks: Arrow, Delta, DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def storable(schema: pa.Schema) -> pa.Schema:
    """What Delta keeps of an Arrow schema.

    Dictionaries become their values, large strings strings, times UTC microseconds (naive ones are UTC
    already by our ingest), unsigned integers and halves the next wider type; all columns are nullable.
    Columns of no type at all (only nulls) become text.
    """
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _storable(field.type)) for field in schema])


def _storable(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _storable(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(_storable(kind.value_type))
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC")
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.string()
    if types.is_unsigned_integer(kind):
        return pa.int64()
    return pa.float32() if types.is_float16(kind) else kind


def duckdb_type(kind: pa.DataType) -> str:
    """The DuckDB type of a stored column."""
    from pyarrow import types

    if types.is_list(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    if types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP"
    if types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    names = {
        "bool": "BOOLEAN",
        "int8": "TINYINT",
        "int16": "SMALLINT",
        "int32": "INTEGER",
        "int64": "BIGINT",
        "float": "FLOAT",
        "double": "DOUBLE",
        "string": "VARCHAR",
        "large_string": "VARCHAR",
        "string_view": "VARCHAR",
        "binary": "BLOB",
        "date32[day]": "DATE",
    }
    return names[str(kind)]


def merge_types(table: str, stored: pa.Schema, new: pa.Schema) -> tuple[str, ...]:
    """Check that `new` rows fit into what is `stored`, and return the stored columns that must become DOUBLE first.

    More columns or fewer are fine, integers fit into numbers, and a column of integers may become one of numbers.
    Delta itself would cast silently: 1.5 into an integer column became 1 (measured). Raises DataError naming
    the first column whose type changed otherwise.
    """
    widened = []
    spelt = {name.casefold(): name for name in stored.names}
    for field in new:
        stored_name = spelt.get(field.name.casefold(), field.name)
        if stored_name != field.name:
            raise DataError(
                f"column {field.name!r} of the new rows is called {stored_name!r} in table {table}",
                "SQL takes upper and lower case for the same: spell the column as before",
            )
        if field.name not in stored.names:
            continue
        before, now = (duckdb_type(_storable(kind)) for kind in (stored.field(field.name).type, field.type))
        if (before, now) == ("BIGINT", "DOUBLE"):
            widened.append(field.name)
        elif before != now and (before, now) != ("DOUBLE", "BIGINT"):
            raise DataError(
                f"column {field.name!r} holds {before} in table {table}, the new rows {now}",
                "give the column its old type again in the suite, or begin anew: treadle init --name OTHER",
            )
    return tuple(widened)
