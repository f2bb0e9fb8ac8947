from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.tasks.centring import LARGEST
from treadle.tasks.dataset import Column, ColumnKind, RawTable, Schema
from treadle.tasks.dataset.typing import cast, typed_relation

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = ("", "?", "NA", "null", "-999")
BAD = object()
con: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module", autouse=True)
def _connection() -> Iterator[None]:
    global con  # noqa: PLW0603 - Hypothesis has no use for fixtures of its own
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    yield
    con.close()


def read(value: object, kind: ColumnKind, raw: str = "VARCHAR", form: str = "", zone: str = "") -> object:
    """What becomes of one raw value: the typed value, None where it is missing, BAD where it cannot be typed."""
    found = cast(Column(name="a b", kind=kind, format=form), raw, MISSING, zone)
    row = con.execute(
        f"SELECT CAST({found.value} AS {Column(name='x', kind=kind).duckdb_type}), {found.bad} "
        f'FROM (SELECT CAST(? AS {raw}) AS "a b")',
        [value],
    ).fetchone()
    assert row is not None
    if row[1]:
        assert row[0] is None
        return BAD
    return row[0]


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("3", "integer", 3),
        (" +3\t", "integer", 3),
        ("3.0", "integer", 3),
        ("3e2", "integer", 300),
        ("9223372036854775807", "integer", 9223372036854775807),
        ("3.5", "integer", BAD),
        ("1_000", "integer", BAD),
        ("0x1F", "integer", BAD),
        ("9223372036854775808", "integer", BAD),
        ("three", "integer", BAD),
        ("NaN", "integer", None),
        ("-.5", "number", -0.5),
        ("1e-3", "number", 0.001),
        ("nan", "number", None),
        ("inf", "number", BAD),
        ("-Infinity", "number", BAD),
        ("1e400", "number", BAD),
        ("1e39", "number", BAD),
        ("-1e300", "number", BAD),
        ("3.4028234663852886e38", "number", 3.4028234663852886e38),
        ("1,5", "number", BAD),
        ("-999", "number", None),
        ("True", "boolean", True),
        ("FALSE ", "boolean", False),
        ("yes", "boolean", BAD),
        ("1", "boolean", BAD),
        (" kept as it is ", "text", " kept as it is "),
        ("nan", "text", "nan"),
        (" ? ", "text", None),
        ("2013-02-28", "date", date(2013, 2, 28)),
        ("2013-02-30", "date", BAD),
        ("infinity", "date", BAD),
        ("2013-02-28 23:30:00", "date", date(2013, 2, 28)),
        ("28.02.2013", "date", BAD),
        ("2013-01-01T05:00:00", "timestamp", datetime(2013, 1, 1, 5, tzinfo=UTC)),
        ("2013-01-01 05:00", "timestamp", datetime(2013, 1, 1, 5, tzinfo=UTC)),
        ("2013-01-01", "timestamp", datetime(2013, 1, 1, tzinfo=UTC)),
        ("2013-01-01T05:00:00Z", "timestamp", datetime(2013, 1, 1, 5, tzinfo=UTC)),
        ("2013-01-01 05:00:00.25+02:00", "timestamp", datetime(2013, 1, 1, 3, 0, 0, 250000, tzinfo=UTC)),
        ("2013-01-01T05:00:00-0500", "timestamp", datetime(2013, 1, 1, 10, tzinfo=UTC)),
        ("2013-01-01 25:00:00", "timestamp", BAD),
        ("yesterday", "timestamp", BAD),
    ],
)
def test_text_becomes_what_it_says(text: str, kind: ColumnKind, wanted: object) -> None:
    found = read(text, kind)
    assert found is wanted if wanted is BAD or wanted is None else found == wanted


@pytest.mark.parametrize(
    ("value", "raw", "kind", "wanted"),
    [
        (3.0, "DOUBLE", "integer", 3),
        (3.5, "DOUBLE", "integer", BAD),
        (float("nan"), "DOUBLE", "integer", None),
        (float("inf"), "DOUBLE", "number", BAD),
        (float("nan"), "FLOAT", "number", None),
        (-999, "BIGINT", "integer", None),
        (2**100, "HUGEINT", "integer", BAD),
        ("3.50", "DECIMAL(9, 2)", "number", 3.5),
        ("3.50", "DECIMAL(9, 2)", "integer", BAD),
        (3.0, "DOUBLE", "text", "3"),
        (3.25, "DOUBLE", "text", "3.25"),
        (3, "INTEGER", "text", "3"),
        (True, "BOOLEAN", "integer", 1),
        (1, "BIGINT", "boolean", True),
        (2, "BIGINT", "boolean", BAD),
        (date(2013, 1, 1), "DATE", "timestamp", datetime(2013, 1, 1, tzinfo=UTC)),
        (date(2013, 1, 1), "DATE", "number", BAD),
        ("2013-01-01 05:00:00", "TIMESTAMP_NS", "date", date(2013, 1, 1)),
        ("12:30:00", "TIME", "text", "12:30:00"),
        ("12:30:00", "TIME", "integer", BAD),
        (None, "BOOLEAN", "boolean", None),
    ],
)
def test_a_parquet_column_becomes_what_the_contract_says(
    value: object, raw: str, kind: ColumnKind, wanted: object
) -> None:
    found = read(value, kind, raw)
    assert found is wanted if wanted is BAD or wanted is None else found == wanted


@pytest.mark.parametrize(
    ("value", "raw", "kind", "form", "wanted"),
    [
        ("20130105", "VARCHAR", "date", "%Y%m%d", date(2013, 1, 5)),
        (20130105, "BIGINT", "date", "%Y%m%d", date(2013, 1, 5)),
        (20130105.0, "DOUBLE", "date", "%Y%m%d", date(2013, 1, 5)),
        (20139905, "BIGINT", "date", "%Y%m%d", BAD),
        ("2013-01-05", "VARCHAR", "date", "%d.%m.%Y", BAD),
        ("05.01.2013 14:30", "VARCHAR", "timestamp", "%d.%m.%Y %H:%M", datetime(2013, 1, 5, 14, 30, tzinfo=UTC)),
        ("05.01.2013 +0200", "VARCHAR", "timestamp", "%d.%m.%Y %z", datetime(2013, 1, 4, 22, tzinfo=UTC)),
    ],
)
def test_dates_are_read_in_the_column_s_format(
    value: object, raw: str, kind: ColumnKind, form: str, wanted: object
) -> None:
    found = read(value, kind, raw, form)
    assert found is BAD if wanted is BAD else found == wanted


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2013-01-01 00:30:00", datetime(2013, 1, 1, 5, 30, tzinfo=UTC)),
        ("2013-07-01", datetime(2013, 7, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_read_in_the_pipeline_s_zone(text: str, utc: datetime) -> None:
    assert read(text, "timestamp", zone="America/New_York") == utc


def test_the_date_of_a_time_is_the_local_one() -> None:
    assert read("2013-01-01T03:00:00Z", "date", zone="America/New_York") == date(2012, 12, 31)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_survives_as_text(number: int) -> None:
    if number != -999:
        assert read(str(number), "integer") == number


@given(st.floats(allow_nan=False, min_value=-LARGEST, max_value=LARGEST))
def test_every_float_that_float32_can_hold_survives_as_text(number: float) -> None:
    if number != -999:
        assert read(repr(number), "number") == number


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_every_time_survives_as_iso_text(moment: datetime) -> None:
    assert read(moment.isoformat(), "timestamp") == moment.replace(tzinfo=UTC)


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.sampled_from(["integer", "number", "date", "timestamp"]),
)
def test_any_text_is_typed_missing_or_bad_and_never_an_error(text: str, kind: ColumnKind) -> None:
    read(text, kind)


def test_a_typed_relation_has_the_schema_s_columns_whatever_the_file_has() -> None:
    con.execute("""CREATE OR REPLACE VIEW raw_x AS SELECT 0::BIGINT AS _ordinal, 'x' AS "B b", '7' AS a, 'q' AS more""")
    raw = RawTable("raw_x", (("B b", "VARCHAR"), ("a", "VARCHAR"), ("more", "VARCHAR")), "b1")
    schema = Schema(
        columns=(
            Column(name="a", kind="integer"),
            Column(name="gone", kind="date"),
            Column(name="B b", kind="text"),
        )
    )
    found = con.execute(typed_relation(raw, schema, MISSING, ""))
    assert [(name, str(kind)) for name, kind, *_ in found.description] == [
        ("_ordinal", "BIGINT"),
        ("a", "BIGINT"),
        ("gone", "DATE"),
        ("B b", "VARCHAR"),
    ]
    assert found.fetchall() == [(0, 7, None, "x")]
