"""What is wrong with a whole batch: it is refused with a reason, or only told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.expectations_.batches import ARRIVED, GOOD, HEADER, accepted, expect, quarantined, run, suite
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_what_is_not_critical_only_reports(con: duckdb.DuckDBPyConnection, file: Path, severity: str) -> None:
    file.write_text(HEADER + GOOD)
    contract = suite(
        expect("column_values_to_be_between", "Dep Delay", severity, max_value=15),
        expect("table_row_count_to_be_between", severity=severity, min_value=100),
        expect("column_mean_to_be_between", "Dep Delay", severity, min_value=1000),
    )
    report = run(con, file, contract, max_bad_rows=0.0).report
    assert (report.accepted, report.quarantined, report.refused) == (3, 0, "")
    assert len(report.warnings) == 3


@pytest.mark.parametrize(
    ("expectation", "sentence"),
    [
        (expect("table_row_count_to_be_between", min_value=100), "the batch: row count is 3 (contract: >= 100)"),
        (
            expect("column_mean_to_be_between", "Dep Delay", max_value=1),
            "column 'Dep Delay': mean is 15.25 (contract: <= 1)",
        ),
        (expect("column_values_to_not_be_null", "Dep Delay", mostly=0.9), "1 of 3 values missing"),
        (expect("column_values_to_be_in_set", "kind", value_set=["b"], mostly=0.5), "2 of 3 values outside the set"),
        (expect("column_distinct_values_to_be_in_set", "kind", value_set=["b"]), "has 'a' (contract: one of 'b')"),
    ],
)
def test_a_broken_rule_about_the_batch_refuses_all_of_it(
    con: duckdb.DuckDBPyConnection, file: Path, expectation: dict[str, Any], sentence: str
) -> None:
    file.write_text(HEADER + GOOD)
    validation = run(con, file, suite(expectation))
    report = validation.report
    assert sentence in report.refused
    assert (report.rows_in, report.accepted, report.quarantined, report.duplicates) == (3, 0, 3, 0)
    rows = quarantined(validation)
    assert [row["scope"] for row in rows] == ["batch"] * 3
    assert all(report.refused in row["reason"] for row in rows)
    with pytest.raises(DataError, match="was refused"):
        validation.accepted_reader(ARRIVED)


def test_too_many_bad_rows_refuse_the_batch_and_each_keeps_its_own_rules(
    con: duckdb.DuckDBPyConnection, file: Path
) -> None:
    file.write_text(HEADER + GOOD + "x,1,a,2013-01-01,\n")
    validation = run(con, file, suite(), max_bad_rows=0.05)
    assert "1 of 4 rows break the contract (25.0%, max_bad_rows is 5.0%): column 'id'" in validation.report.refused
    assert [row["columns"] for row in quarantined(validation)] == [[], [], [], ["id"]]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("id,dep_delay,kind,day,late", "column 'Dep Delay' is missing (it has 'dep_delay': renamed?)"),
        ("id,Dep Delay,kind,late,x", "column 'day' is missing"),
    ],
)
def test_a_missing_column_refuses_the_batch_and_names_the_likely_new_one(
    con: duckdb.DuckDBPyConnection, file: Path, header: str, reason: str
) -> None:
    file.write_text(header + "\n1,2,a,2013-01-01,true\n")
    validation = run(con, file, suite())
    assert validation.report.refused == reason
    assert validation.report.quarantined == validation.report.rows_in == 1
    (row,) = quarantined(validation)
    assert list(json.loads(row["row"])) == header.split(",")


def test_an_extra_column_is_left_out_with_a_warning(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("more," + HEADER + "x,1,10,a,2013-01-01,true\n")
    validation = run(con, file, suite())
    assert validation.report.warnings == ("column 'more' is not in the contract and was left out",)
    assert "more" not in accepted(validation)[0]


def test_a_file_without_the_target_is_welcome(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("id,Dep Delay,kind,day\n1,10,a,2013-01-01\n")
    contract = suite(
        expect("column_values_to_not_be_null", "late"), expect("column_values_to_be_in_set", "late", value_set=[True])
    )
    validation = run(con, file, contract)
    assert (validation.report.accepted, validation.report.labelled) == (1, 0)
    assert accepted(validation)[0]["late"] is None


def test_no_rows_are_refused_and_leave_a_line_in_quarantine(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER)
    validation = run(con, file, suite())
    assert validation.report.refused == "it has no rows"
    assert validation.report.rows_in == 0
    (line,) = quarantined(validation)
    assert (line["scope"], line["row"], line["reason"]) == ("batch", None, "it has no rows")


@pytest.mark.parametrize("mostly", [1.0, 0.1])
def test_a_required_column_without_any_value_refuses(con: duckdb.DuckDBPyConnection, file: Path, mostly: float) -> None:
    file.write_text(HEADER + "1,,a,2013-01-01,true\n2,NA,b,2013-01-01,true\n")
    validation = run(con, file, suite(expect("column_values_to_not_be_null", "Dep Delay", mostly=mostly)))
    assert "column 'Dep Delay': all 2 values are missing (contract: required)" in validation.report.refused


def test_another_column_without_any_value_is_a_warning_not_a_silent_pass(
    con: duckdb.DuckDBPyConnection, file: Path
) -> None:
    file.write_text(HEADER + "1,,a,2013-01-01,true\n2,NA,b,2013-01-01,true\n")
    report = run(con, file, suite(expect("column_values_to_be_between", "Dep Delay", min_value=0))).report
    assert report.accepted == 2
    assert report.warnings == ("column 'Dep Delay' has no value at all: nothing of it was checked",)


def test_rows_without_any_value_are_refused(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + ",,,,\n,NA,,,\n")
    assert "nothing in it could be checked" in run(con, file, suite()).report.refused
