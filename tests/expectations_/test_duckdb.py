"""The dialect against GX's own pandas engine: the same verdict and the same counts for the same rows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from treadle.expectations.duckdb import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = """
    SELECT i AS "Row Id", i % 7 AS "A b", i / 4 AS "half?", i % 3 = 0 AS flag,
        CASE WHEN i % 10 = 3 THEN NULL ELSE 'it''s 100% ' || chr(97 + (i % 5)::INTEGER) || '?' END AS "c:x%",
        CASE WHEN i % 4 = 1 THEN NULL ELSE i % 9 END AS gaps,
        CASE WHEN i % 4 = 1 THEN NULL ELSE sqrt(i) END AS root,
        DATE '2013-01-01' + (i % 40)::INTEGER AS day,
        TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_hours(i) AS moment,
    FROM range(200) AS numbers (i)
"""
TEXTS = [f"it's 100% {letter}?" for letter in "abcde"]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "Row Id"}),
    ("expect_column_values_to_not_be_null", {"column": "c:x%"}),
    ("expect_column_values_to_not_be_null", {"column": "gaps", "mostly": 0.7}),
    ("expect_column_values_to_not_be_null", {"column": "gaps", "mostly": 0.8}),
    ("expect_column_values_to_be_in_set", {"column": "c:x%", "value_set": TEXTS}),
    ("expect_column_values_to_be_in_set", {"column": "c:x%", "value_set": TEXTS[:3]}),
    ("expect_column_values_to_be_in_set", {"column": "A b", "value_set": [0, 1, 2, 3]}),
    ("expect_column_values_to_be_in_set", {"column": "gaps", "value_set": [0, 1, 2, 3], "mostly": 0.4}),
    ("expect_column_values_to_be_in_set", {"column": "flag", "value_set": [True]}),
    ("expect_column_values_to_be_between", {"column": "A b", "min_value": 0, "max_value": 6}),
    ("expect_column_values_to_be_between", {"column": "A b", "min_value": 1, "max_value": 5}),
    ("expect_column_values_to_be_between", {"column": "half?", "min_value": 0.25}),
    ("expect_column_values_to_be_between", {"column": "root", "max_value": 9, "strict_max": True}),
    ("expect_column_values_to_be_between", {"column": "gaps", "min_value": 0, "strict_min": True, "mostly": 0.9}),
    ("expect_column_value_lengths_to_be_between", {"column": "c:x%", "min_value": 12, "max_value": 12}),
    ("expect_column_value_lengths_to_be_between", {"column": "c:x%", "max_value": 11}),
    ("expect_column_values_to_match_regex", {"column": "c:x%", "regex": r"^it's 100% [a-e]\?$"}),
    ("expect_column_values_to_match_regex", {"column": "c:x%", "regex": "[ab]"}),
    ("expect_column_values_to_match_regex", {"column": "c:x%", "regex": "^[IT]", "mostly": 0.5}),
    ("expect_column_values_to_be_unique", {"column": "Row Id"}),
    ("expect_column_values_to_be_unique", {"column": "c:x%"}),
    ("expect_column_values_to_be_unique", {"column": "root"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["A b", "Row Id"]}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["A b", "flag"]}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["A b", "half?", "flag"]}),
    ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": 200}),
    ("expect_table_row_count_to_be_between", {"min_value": 201}),
    ("expect_column_mean_to_be_between", {"column": "gaps", "min_value": 3.5, "max_value": 4.5}),
    ("expect_column_mean_to_be_between", {"column": "root", "min_value": 100}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "Row Id", "min_value": 1}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "c:x%", "min_value": 0.5}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "A b", "value_set": list(range(7))}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "c:x%", "value_set": TEXTS[:2]}),
]

# The engines name types in their own ways.
TYPES = [
    ("Row Id", "BIGINT", "int64", True),
    ("Row Id", "VARCHAR", "str", False),
    ("half?", "DOUBLE", "float64", True),
    ("half?", "BIGINT", "int64", False),
    ("flag", "BOOLEAN", "bool", True),
    ("flag", "DOUBLE", "float64", False),
]


def _validate(batch: Any, expectations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import great_expectations as gx

    numbered = [{**item, "meta": {"number": number}} for number, item in enumerate(expectations)]
    suite = gx.ExpectationSuite(name="suite", expectations=numbered)
    results = batch.validate(suite, result_format="BASIC").to_json_dict()["results"]
    return sorted(results, key=lambda result: result["expectation_config"]["meta"]["number"])


def _suite(pandas: bool) -> list[dict[str, Any]]:
    typed = [
        ("expect_column_values_to_be_of_type", {"column": column, "type_": theirs if pandas else ours})
        for column, ours, theirs, _ in TYPES
    ]
    return [{"type": kind, "kwargs": kwargs} for kind, kwargs in [*CASES, *typed]]


@pytest.fixture(scope="module")
def context() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE TABLE batch AS {ROWS}")
        yield con


@pytest.fixture(scope="module")
def ours(context: Any, con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    with serving(con) as url:
        source = context.data_sources.add_sql("duckdb", connection_string=url, create_temp_table=False)
        asset = source.add_table_asset("batch", table_name="batch")
        return _validate(asset.add_batch_definition_whole_table("all").get_batch(), _suite(pandas=False))


@pytest.fixture(scope="module")
def theirs(context: Any, con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    frame = con.sql("SELECT * FROM batch").to_arrow_table().to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GX's pandas engine is not up to pandas 3
        asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("batch")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        return _validate(batch, _suite(pandas=True))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{kind[7:]}-{i}" for i, (kind, _) in enumerate(CASES)])
def test_duckdb_and_pandas_agree(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], number: int) -> None:
    mine, yours = ours[number], theirs[number]
    assert not mine["exception_info"].get("raised_exception", True)
    assert mine["success"] == yours["success"]
    for count in ("element_count", "unexpected_count", "missing_count"):
        assert mine["result"].get(count) == yours["result"].get(count), count
    seen, wanted = mine["result"].get("observed_value"), yours["result"].get("observed_value")
    assert seen == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


def test_a_column_may_be_called_by_any_word_that_duckdb_reserves(context: Any, con: duckdb.DuckDBPyConnection) -> None:
    reserved = "SELECT DISTINCT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    words = [str(row[0]) for row in con.execute(reserved).fetchall()]
    columns = ", ".join(f'1 AS "{word}"' for word in words)
    con.execute(f"CREATE OR REPLACE TABLE words AS SELECT {columns}")
    asked = ("expect_column_values_to_not_be_null", {}), ("expect_column_values_to_be_between", {"min_value": 2})
    suite = [{"type": kind, "kwargs": {"column": word, **kwargs}} for kind, kwargs in asked for word in words]
    with serving(con) as url:
        source = context.data_sources.add_sql("words", connection_string=url, create_temp_table=False)
        asset = source.add_table_asset("words", table_name="words")
        found = _validate(asset.add_batch_definition_whole_table("all").get_batch(), suite)
    assert "lambda" in words
    assert not [one for one in found if one["exception_info"].get("raised_exception", True)]
    assert [one["success"] for one in found] == [True] * len(words) + [False] * len(words)


@pytest.mark.parametrize("number", range(len(TYPES)))
def test_duckdb_and_pandas_agree_about_types(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], number: int
) -> None:
    verdicts = ours[len(CASES) + number]["success"], theirs[len(CASES) + number]["success"]
    assert verdicts == (TYPES[number][3], TYPES[number][3])


def test_the_cases_hold_passes_and_failures_of_every_expectation(ours: list[dict[str, Any]]) -> None:
    seen: dict[str, set[bool]] = {}
    for result in ours:
        seen.setdefault(result["expectation_config"]["type"], set()).add(result["success"])
    assert [kind for kind, verdicts in seen.items() if verdicts != {True, False}] == []


def test_a_time_is_a_point_in_utc_to_gx(context: Any, con: duckdb.DuckDBPyConnection) -> None:
    with serving(con) as url:
        source = context.data_sources.add_sql("times", connection_string=url, create_temp_table=False)
        batch = source.add_table_asset("batch", table_name="batch").add_batch_definition_whole_table("all").get_batch()
        bounds = {"min_value": "2013-01-01 00:00:00+00", "max_value": "2013-01-01 05:00:00+00"}
        between = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "moment", **bounds}}
        found = _validate(batch, [between])
    assert found[0]["result"]["unexpected_count"] == 194


def test_a_connection_is_served_only_within_its_block(con: duckdb.DuckDBPyConnection) -> None:
    import sqlalchemy as sa

    with serving(con) as url:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM batch")).scalar() == 200
        engine.dispose()
    with pytest.raises(sa.exc.DBAPIError, match="no DuckDB connection is served"):
        sa.create_engine(url).connect()
