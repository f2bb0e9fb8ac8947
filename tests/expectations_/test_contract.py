"""What becomes of each row: accepted as typed, quarantined as it came, or a duplicate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.expectations_.batches import ARRIVED, GOOD, HEADER, accepted, expect, quarantined, run, suite
from treadle.tasks.dataset import quarantine_schema

if TYPE_CHECKING:
    from pathlib import Path


def test_good_rows_are_accepted_typed_and_in_order(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + GOOD)
    contract = suite(expect("column_values_to_be_between", "Dep Delay", min_value=0))
    validation = run(con, file, contract)
    report = validation.report
    assert (report.rows_in, report.accepted, report.quarantined, report.duplicates) == (3, 3, 0, 0)
    assert (report.labelled, report.equal_rows, report.refused, report.warnings) == (2, 0, "", ())
    reader = validation.accepted_reader(ARRIVED)
    assert reader.schema.names == [*contract.schema.names, "_batch_id", "_ordinal", "_ingested_at", "_row_hash"]
    table = reader.read_all()
    assert table.select(contract.schema.names).schema == contract.schema.arrow()
    assert table["Dep Delay"].to_pylist() == [10.0, 20.5, None]
    assert table["_ordinal"].to_pylist() == [0, 1, 2]
    assert set(table["_ingested_at"].to_pylist()) == {ARRIVED}


@pytest.mark.parametrize(
    ("row", "expectation", "rule", "column", "value", "reason"),
    [
        ("x,1,a,2013-01-01,", None, "of_type", "id", "x", "id is x (contract: a whole number)"),
        ("1,inf,a,2013-01-01,", None, "of_type", "Dep Delay", "inf", "(contract: a number)"),
        ("1,1,a,2013-02-30,", None, "of_type", "day", "2013-02-30", "(contract: a date)"),
        ("1,1,a,2013-01-01,maybe", None, "of_type", "late", "maybe", "late is maybe (contract: true or false)"),
        (
            "1,1500,a,2013-01-01,",
            expect("column_values_to_be_between", "Dep Delay", max_value=1440),
            "be_between",
            "Dep Delay",
            "1500",
            "Dep Delay is 1500 (contract: <= 1440)",
        ),
        (
            "1,,a,2013-01-01,",
            expect("column_values_to_not_be_null", "Dep Delay"),
            "not_be_null",
            "Dep Delay",
            "",
            "missing",
        ),
        (
            "1,1,z,2013-01-01,",
            expect("column_values_to_be_in_set", "kind", value_set=["a", "b"]),
            "in_set",
            "kind",
            "z",
            "kind is z (contract: one of 'a', 'b')",
        ),
        (
            "1,1,a?'%,2013-01-01,",
            expect("column_values_to_match_regex", "kind", regex="^[a-z]$"),
            "regex",
            "kind",
            "a?'%",
            "like",
        ),
        (
            "1,1,abcdef,2013-01-01,",
            expect("column_value_lengths_to_be_between", "kind", min_value=1, max_value=5),
            "lengths",
            "kind",
            "abcdef",
            "1 to 5",
        ),
        (
            "1,1,a,2012-01-01,",
            expect("column_values_to_be_between", "day", min_value="2013-01-01"),
            "be_between",
            "day",
            "2012-01-01",
            ">= 2013-01-01",
        ),
    ],
)
def test_a_row_that_breaks_a_rule_is_quarantined_as_it_came(
    con: duckdb.DuckDBPyConnection,
    file: Path,
    row: str,
    expectation: dict[str, Any] | None,
    rule: str,
    column: str,
    value: str,
    reason: str,
) -> None:
    file.write_text(HEADER + "7,1,b,2013-05-05,true\n" + row + "\n")
    validation = run(con, file, suite(*([expectation] if expectation else [])))
    (found,) = quarantined(validation)
    assert set(found) == set(quarantine_schema().names)
    assert (found["scope"], found["_ordinal"], found["file"], found["_batch_id"]) == ("row", 1, "small.csv", "b1")
    assert len(found["rules"]) == 1
    assert rule in found["rules"][0]
    assert (found["columns"], found["values"]) == ([column], [value])
    assert reason in found["reason"]
    assert list(json.loads(found["row"]).values()) == row.split(",")
    assert [kept["id"] for kept in accepted(validation)] == [7]


def test_a_row_names_every_rule_that_it_broke(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + GOOD + "x,1500,z,2013-01-01,true\n")
    contract = suite(
        expect("column_values_to_be_between", "Dep Delay", max_value=1440),
        expect("column_values_to_be_in_set", "kind", value_set=["a", "b"]),
    )
    (row,) = quarantined(run(con, file, contract))
    assert row["columns"] == ["id", "Dep Delay", "kind"]
    assert row["values"] == ["x", "1500", "z"]


def test_the_report_counts_in_sentences(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + GOOD + "4,1500,a,2013-01-01,true\n")
    report = run(con, file, suite(expect("column_values_to_be_between", "Dep Delay", max_value=1440))).report
    assert report.warnings == ("column 'Dep Delay': 1 of 3 values above 1,440 (contract: <= 1440)",)
    document = report.document()
    assert json.loads(json.dumps(document)) == document


def test_the_key_counts_duplicates_and_refuses_conflicts_and_gaps(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    rows = [
        "1,1,a,2013-01-01,true",
        "2,1,a,2013-01-01,",
        "2,9,a,2013-01-01,",
        ",1,a,2013-01-01,",
        "1,1.0,a,2013-01-01,TRUE",
    ]
    file.write_text(HEADER + "\n".join([*rows, "3,2,b,2013-01-01,"]) + "\n")
    contract = suite(expect("column_values_to_be_unique", "id"))
    validation = run(con, file, contract, key=("id",))
    report = validation.report
    assert (report.rows_in, report.accepted, report.quarantined, report.duplicates) == (6, 2, 3, 1)
    assert [row["_ordinal"] for row in accepted(validation)] == [0, 5]
    assert [(row["_ordinal"], row["rules"]) for row in quarantined(validation)] == [
        (1, ["key"]),
        (2, ["key"]),
        (3, ["key"]),
    ]
    assert report.warnings == (
        "key id: 1 of 6 rows without a key",
        "key id: 2 of 6 rows share their key with another row that differs",
    )


def test_a_duplicate_is_as_if_it_had_not_come(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + "1,1,a,2013-01-01,true\n" * 3)
    contract = suite(
        expect("compound_columns_to_be_unique", column_list=["kind", "day"]),
        expect("table_row_count_to_be_between", max_value=1),
    )
    report = run(con, file, contract, key=("id",)).report
    assert (report.accepted, report.duplicates, report.refused) == (1, 2, "")


def test_without_a_key_equal_rows_are_accepted_and_counted(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text(HEADER + "1,1,a,2013-01-01,true\n" * 3 + "1,1,,2013-01-01,true\n")
    report = run(con, file, suite()).report
    assert (report.accepted, report.duplicates, report.equal_rows) == (4, 0, 2)


def test_parquet_rows_are_quarantined_as_valid_json(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    table = {
        "id": [1, 2],
        "Dep Delay": [float("inf"), float("nan")],
        "kind": ["a", None],
        "day": ["x", None],
        "late": [True, None],
    }
    pq.write_table(pa.table(table), path)
    (row,) = quarantined(run(con, path, suite()))
    assert json.loads(row["row"]) == {"id": 1, "Dep Delay": "inf", "kind": "a", "day": "x", "late": True}


cells = st.sampled_from(["", "1", "2", "x", "1500", "2013-01-01", "true", "a", "NA"])


@settings(max_examples=25)
@given(
    rows=st.lists(st.tuples(*[cells] * 5), max_size=12),
    key=st.sampled_from([(), ("id",), ("kind", "day")]),
    max_bad_rows=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_rows_in_are_accepted_quarantined_or_duplicates(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], key: tuple[str, ...], max_bad_rows: float
) -> None:
    path = tmp_path_factory.mktemp("rows") / "small.csv"
    path.write_text(HEADER + "".join(",".join(row) + "\n" for row in rows))
    contract = suite(
        expect("column_values_to_be_between", "Dep Delay", max_value=1440),
        expect("column_values_to_not_be_null", "kind"),
    )
    with duckdb.connect() as con:
        validation = run(con, path, contract, key=key, max_bad_rows=max_bad_rows)
        report = validation.report
        held = [] if report.refused else [row["_ordinal"] for row in accepted(validation)]
        refused = [row["_ordinal"] for row in quarantined(validation) if row["_ordinal"] is not None]
    assert report.rows_in == len(rows)
    assert report.rows_in == report.accepted + report.quarantined + report.duplicates
    assert (len(held), len(refused)) == (report.accepted, report.quarantined)
    assert not set(held) & set(refused)
    assert held == sorted(held)
