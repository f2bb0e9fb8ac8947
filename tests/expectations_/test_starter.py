"""The starter suite neither cries wolf nor sleeps: what it came from passes, parts of it pass, damage does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.customers import customers, look, rides, table, visits
from treadle.expectations import starter
from treadle.expectations.contract import parse, validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.expectations.contract import Suite, ValidationReport
    from treadle.tasks.dataset.proposal import Proposal

TABLES = {"Left?": customers, "cnt": rides, "readmitted": visits}


class Contract:
    """A suite made of a table, and what it says of others."""

    def __init__(self, frame: pd.DataFrame, target: str) -> None:
        with duckdb.connect() as con:
            facts, self.proposal = look(con, frame, target)
        self.document = starter.starter("sales", facts, self.proposal)
        self.suite: Suite = parse(self.document)
        self.target = target

    def judge(self, frame: pd.DataFrame) -> ValidationReport:
        proposal: Proposal = self.proposal
        with duckdb.connect() as con:
            found = validate(
                con,
                table(con, frame),
                self.suite,
                key=proposal.key,
                target=self.target,
                timezone="",
                missing=proposal.missing,
                max_bad_rows=0.05,
            )
        return found.report


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    return {target: Contract(make(6_000), target) for target, make in TABLES.items()}


def assert_passes(report: ValidationReport, rows: int, but: str = "row count") -> None:
    assert not report.refused
    assert (report.accepted, report.quarantined) == (rows, 0)
    assert [told for told in report.warnings if but not in told] == []


@pytest.mark.parametrize("target", TABLES)
def test_the_table_itself_passes_without_a_word(contracts: dict[str, Contract], target: str) -> None:
    assert_passes(contracts[target].judge(TABLES[target](6_000)), 6_000, but="no word is allowed")


@pytest.mark.parametrize("target", TABLES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_500_of_its_rows_pass(contracts: dict[str, Contract], target: str, seed: int) -> None:
    some = TABLES[target](6_000).sample(500, random_state=seed).reset_index(drop=True)
    assert_passes(contracts[target].judge(some), 500)


@pytest.mark.parametrize("target", TABLES)
def test_20_000_other_rows_pass(contracts: dict[str, Contract], target: str) -> None:
    assert_passes(contracts[target].judge(TABLES[target](20_000, seed=7)), 20_000)


@pytest.mark.parametrize("target", TABLES)
def test_rows_to_be_scored_pass_without_the_target(contracts: dict[str, Contract], target: str) -> None:
    frame = TABLES[target](600)
    assert_passes(contracts[target].judge(frame.drop(columns=target)), 600)
    assert_passes(contracts[target].judge(frame.assign(**{target: pd.Series([None] * 600, dtype=object)})), 600)


def damage(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def apply(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy()
        frame[column] = frame[column].astype(object)
        frame.loc[:4, column] = value
        return frame.astype({column: str}) if not isinstance(value, float) else frame

    return apply


DAMAGE = [
    ("Left?", damage("Spend ($)", "-1")),
    ("Left?", damage("Spend ($)", "a lot")),
    ("Left?", damage("Spend ($)", "inf")),
    ("Left?", damage("Gender", "x")),
    ("Left?", damage("Left?", "Maybe")),
    ("Left?", damage("Customer ID", "")),
    ("Left?", damage("Signed Up", "2021-13-45")),
    ("Left?", damage("Uses App", "perhaps")),
    ("Left?", damage("Zip Code", "9" * 50_000)),
    ("cnt", damage("temp", -0.5)),
    ("cnt", damage("hr", 1.5)),
    ("readmitted", damage("time_in_hospital", -1.0)),
]


@pytest.mark.parametrize(("target", "harm"), DAMAGE)
def test_damaged_rows_are_refused_and_only_they(
    contracts: dict[str, Contract], target: str, harm: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    report = contracts[target].judge(harm(TABLES[target](600)))
    assert not report.refused
    assert report.quarantined == 5


@pytest.mark.parametrize(("column", "value"), [("Product", "e"), ("Balance", "-3.5"), ("Age", "120")])
def test_what_may_well_come_is_not_refused(contracts: dict[str, Contract], column: str, value: str) -> None:
    report = contracts["Left?"].judge(damage(column, value)(customers(600)))
    assert report.quarantined == 0
    assert not report.refused


def test_another_unit_is_told_but_not_refused(contracts: dict[str, Contract]) -> None:
    cents = customers(600)
    cents["Age"] = pd.to_numeric(cents["Age"], errors="coerce").mul(365).astype(str)
    report = contracts["Left?"].judge(cents)
    assert report.quarantined == 0
    assert any("'Age'" in told for told in report.warnings)


def test_every_expectation_says_how_severe_it_is_and_why(contracts: dict[str, Contract]) -> None:
    for contract in contracts.values():
        for expectation in contract.suite.expectations:
            assert expectation.notes
            assert expectation.severity in ("critical", "warning")


def test_a_closed_set_says_that_it_is_one(contracts: dict[str, Contract]) -> None:
    sets = [one for one in contracts["Left?"].suite.expectations if one.type == "expect_column_values_to_be_in_set"]
    closed = {one.columns[0] for one in sets if one.severity == "critical"}
    assert closed == {"Gender", "Left?"}
    assert all("closed set" in str(one.notes) for one in sets if one.columns[0] == "Gender")


@pytest.mark.parametrize("target", TABLES)
def test_there_are_no_ranges_on_keys_ids_times_and_target(contracts: dict[str, Contract], target: str) -> None:
    contract = contracts[target]
    free = {target, *contract.proposal.key, *contract.proposal.drop, contract.proposal.time, contract.proposal.group}
    ranged = {
        one.columns[0]
        for one in contract.suite.expectations
        if one.columns and "between" in one.type and "length" not in one.type
    }
    assert not free & ranged


def test_great_expectations_reads_the_suite(contracts: dict[str, Contract]) -> None:
    import great_expectations as gx

    for contract in contracts.values():
        suite = gx.ExpectationSuite(**contract.document)
        assert len(suite.expectations) == len(contract.suite.expectations)
        assert {one.severity.value for one in suite.expectations} == {"critical", "warning"}


def test_the_file_has_one_expectation_a_line_and_is_the_same_suite(contracts: dict[str, Contract]) -> None:
    import json

    for contract in contracts.values():
        text = starter.suite_text(contract.document)
        assert json.loads(text) == contract.document
        assert len(text.splitlines()) == len(contract.suite.expectations) + 6


@pytest.mark.parametrize("rows", [2, 30])
def test_tiny_tables_get_a_suite_that_they_pass(rows: int) -> None:
    frame = pd.DataFrame({"x": np.arange(30) % 7, "t": [None, "a", "b"] * 10, "y": ["yes", "no"] * 15})
    contract = Contract(frame, "y")
    assert_passes(contract.judge(frame.head(rows)), rows)
