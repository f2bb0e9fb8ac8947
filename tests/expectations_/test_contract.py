from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.contract import answer
from infra import sources
from tasks.dataset import quarantine_schema
from tasks.errors import ConfigError, DataError
from tests.expectations_.batches import ARRIVED, MISSING, accepted, expect, quarantined, run, suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "id,Dep Delay,kind,day,late\n"
GOOD = "1,10,a,2013-01-01,true\n2,20.5,b,2013-01-02,\n3,NA,a,2013-01-03,false\n"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "small.csv"


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


def test_an_answer_has_every_row_in_order_with_its_warnings(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("kind,id,Dep Delay,extra\nz,1,9,\na,x,,\na,1,1500,\na,1,1500,\n")
    contract = suite(
        expect("column_values_to_be_in_set", "kind", value_set=["a", "b"]),
        expect("column_values_to_be_between", "Dep Delay", max_value=1440),
        expect("column_values_to_not_be_null", "day"),
        expect("column_values_to_be_unique", "id"),
        expect("table_row_count_to_be_between", min_value=1000),
    )
    raw = sources.open_raw(con, file, "b1")
    table = answer(con, raw, contract, target="late", timezone="", missing=MISSING, needed=("id", "kind")).read_all()
    assert table.schema.names == [*contract.schema.names, "_warning"]
    assert table["id"].to_pylist() == [1, None, 1, 1]
    assert table["day"].to_pylist() == [None] * 4
    assert table["_warning"].to_pylist() == [
        "kind is z (contract: one of 'a', 'b')",
        "id is x (contract: a whole number)",
        "Dep Delay is 1500 (contract: <= 1440)",
        "Dep Delay is 1500 (contract: <= 1440)",
    ]


def test_an_answer_needs_its_columns(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("ID,kind\n1,a\n")
    raw = sources.open_raw(con, file, "b1")
    with pytest.raises(DataError, match=r"'id' is missing \(it has 'ID': renamed\?\); column 'Dep Delay' is missing"):
        answer(con, raw, suite(), target="late", timezone="", missing=MISSING, needed=("id", "Dep Delay"))


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
