"""Whatever Great Expectations knows works on columns of any name, or is an error; it never passes in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.expectations_.batches import GOOD, HEADER, expect, quarantined, run, suite
from treadle.tasks.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


@pytest.mark.parametrize(
    ("expectation", "refused"),
    [
        (expect("column_values_to_be_unique", "kind"), [0, 2]),
        (expect("compound_columns_to_be_unique", column_list=["kind", "late"]), []),
        (expect("compound_columns_to_be_unique", column_list=["kind", "id"]), []),
        (expect("column_pair_values_a_to_be_greater_than_b", column_A="Dep Delay", column_B="id"), []),
        (expect("column_pair_values_a_to_be_greater_than_b", column_A="id", column_B="Dep Delay"), [0, 1]),
        (
            expect(
                "column_values_to_be_between",
                "Dep Delay",
                max_value=5,
                row_condition='col("kind")=="b"',
                condition_parser="great_expectations",
            ),
            [1],
        ),
        (
            expect(
                "column_values_to_be_unique", "kind", row_condition='col("id")<3', condition_parser="great_expectations"
            ),
            [],
        ),
        (expect("column_values_to_not_match_regex", "kind", regex="a"), [0, 2]),
        (expect("column_values_to_not_be_in_set", "kind", value_set=["b"]), [1]),
        (expect("column_values_to_be_null", "Dep Delay"), [0, 1]),
    ],
)
def test_any_expectation_about_rows_that_gx_knows_refuses_the_rows_it_means(
    con: duckdb.DuckDBPyConnection, file: Path, expectation: dict[str, Any], refused: list[int]
) -> None:
    file.write_text(HEADER + GOOD)
    assert [row["_ordinal"] for row in quarantined(run(con, file, suite(expectation)))] == refused


@pytest.mark.parametrize(
    ("expectation", "passes"),
    [
        (
            {
                "type": "unexpected_rows_expectation",
                "kwargs": {"unexpected_rows_query": "SELECT * FROM {batch} WHERE id > 2"},
            },
            False,
        ),
        (
            {
                "type": "unexpected_rows_expectation",
                "kwargs": {"unexpected_rows_query": "SELECT * FROM {batch} WHERE id > 9"},
            },
            True,
        ),
        (expect("table_columns_to_match_ordered_list", column_list=["id", "Dep Delay", "kind", "day", "late"]), True),
        (expect("column_max_to_be_between", "Dep Delay", max_value=20), False),
        (expect("column_unique_value_count_to_be_between", "kind", max_value=2), True),
        (
            expect(
                "column_quantile_values_to_be_between",
                "Dep Delay",
                quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 30]]},
            ),
            True,
        ),
        (expect("column_stdev_to_be_between", "Dep Delay", max_value=1), False),
    ],
)
def test_any_expectation_about_the_batch_that_gx_knows_works(
    con: duckdb.DuckDBPyConnection, file: Path, expectation: dict[str, Any], passes: bool
) -> None:
    file.write_text(HEADER + GOOD)
    report = run(con, file, suite(expectation)).report
    assert (not report.refused) == passes, report.refused


@pytest.mark.parametrize(
    "expectation",
    [
        expect("column_values_to_be_pretty", "kind"),
        expect("column_values_to_be_between", "Dep Delay", least=3),
        expect("column_values_to_be_between", "Dep Delay", min_value=3, max_value=1),
        expect("column_values_to_match_regex", "kind", regex="("),
        expect("column_values_to_be_in_set", "id", value_set=["a"]),
        {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "SELECT nonsense FROM {batch}"}},
    ],
)
def test_what_cannot_be_evaluated_is_an_error_not_a_pass(
    con: duckdb.DuckDBPyConnection, file: Path, expectation: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(HEADER + GOOD)
    with pytest.raises(ConfigError, match="cannot be evaluated") as error:
        run(con, file, suite(expectation))
    assert "\n" not in error.value.message
    assert capfd.readouterr() == ("", "")


def test_a_clean_run_says_nothing_on_the_terminal(
    con: duckdb.DuckDBPyConnection, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(HEADER + GOOD)
    run(con, file, suite(expect("column_values_to_be_between", "Dep Delay", min_value=50)))
    assert capfd.readouterr() == ("", "")


ODD_NAMES = [
    'say "hi"',
    "it's",
    "a.b",
    "[x]",
    "50%",
    ":p",
    "?",
    "{batch}",
    "select",
    " lead",
    "ünï;",
    "`tick`",
    "A\\B",
    "_fate",
]


def test_columns_may_be_called_anything(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    rows = [[name, "z", name] for name in ODD_NAMES]
    table = pa.table(dict(zip(ODD_NAMES, rows, strict=True)))
    pq.write_table(table.append_column("n", pa.array([1, 2, 3])), path)
    expectations = []
    for name in ODD_NAMES:
        expectations += [
            expect("column_values_to_not_be_null", name),
            expect("column_values_to_be_in_set", name, value_set=[name]),
            expect("column_value_lengths_to_be_between", name, min_value=1),
            expect("column_values_to_match_regex", name, regex="."),
            expect("column_unique_value_count_to_be_between", name, max_value=2),
            expect("column_values_to_be_unique", name, "warning"),
            expect("column_distinct_values_to_be_in_set", name, value_set=[name, "z"]),
            expect("column_proportion_of_unique_values_to_be_between", name, min_value=0.1),
            expect("compound_columns_to_be_unique", column_list=[name, "n"]),
        ]
    contract = suite(*expectations, types={**dict.fromkeys(ODD_NAMES, "VARCHAR"), "n": "BIGINT"})
    validation = run(con, path, contract, key=(ODD_NAMES[0], "n"))
    assert (validation.report.accepted, validation.report.quarantined) == (2, 1)
    (row,) = quarantined(validation)
    assert row["columns"] == ODD_NAMES
    assert json.loads(row["row"]) == {**dict.fromkeys(ODD_NAMES, "z"), "n": 2}


@pytest.mark.parametrize(("mostly", "refused"), [(0.5, False), (0.9, True)])
def test_a_type_that_most_values_must_have_is_about_the_batch(
    con: duckdb.DuckDBPyConnection, file: Path, mostly: float, refused: bool
) -> None:
    file.write_text(HEADER + "1,1,a,2013-01-01,\n2,x,a,2013-01-01,\n3,3,a,2013-01-01,\n")
    loose = expect("column_values_to_be_of_type", "Dep Delay", type_="DOUBLE", mostly=mostly)
    contract = suite(loose, types={"id": "BIGINT"})
    report = run(con, file, contract).report
    assert (bool(report.refused), report.accepted) == (refused, 0 if refused else 3)


def test_a_date_format_that_does_not_exist_is_an_error(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + GOOD)
    typed = {**expect("column_values_to_be_of_type", "day", type_="DATE"), "meta": {"format": "%Q"}}
    with pytest.raises(DataError, match=r"cannot be typed: .*%Q"):
        run(con, file, suite(typed, types={"id": "BIGINT"}))
