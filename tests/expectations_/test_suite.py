from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.expectations_.batches import expect, suite
from treadle.expectations.contract import load_suite, parse
from treadle.tasks.dataset import Column
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def typed(column: str, kind: str, **more: Any) -> dict[str, Any]:
    return {**expect("column_values_to_be_of_type", column, type_=kind), **more}


def test_the_types_make_the_schema_in_order(tmp_path: Path) -> None:
    path = tmp_path / "flights.json"
    listed = [
        typed("Dep Delay", "DOUBLE"),
        typed("day", "date", meta={"format": "%Y%m%d"}),
        typed("n", "DECIMAL(9, 2)"),
    ]
    path.write_text(json.dumps({"name": "flights", "expectations": listed, "meta": {}}))
    found = load_suite(path)
    assert found.name == "flights"
    assert found.schema.columns == (
        Column(name="Dep Delay", kind="number"),
        Column(name="day", kind="date", format="%Y%m%d"),
        Column(name="n", kind="number"),
    )


def test_the_digest_is_of_what_the_file_says_not_of_how(tmp_path: Path) -> None:
    document = {"name": "x", "expectations": [typed("a", "BIGINT")]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "b.json").write_text(json.dumps(document, indent=4, sort_keys=True))
    assert load_suite(tmp_path / "a.json").digest == load_suite(tmp_path / "b.json").digest
    document["expectations"] = [typed("a", "DOUBLE")]
    assert parse(document).digest != load_suite(tmp_path / "a.json").digest  # type: ignore[arg-type]


def test_required_are_the_columns_that_may_never_be_missing() -> None:
    found = suite(
        expect("column_values_to_not_be_null", "id"),
        expect("column_values_to_not_be_null", "kind", "warning"),
        expect("column_values_to_not_be_null", "day", mostly=0.5),
    )
    assert found.required == ("id", "day")


def test_an_expectation_about_the_table_is_about_no_column_of_it() -> None:
    assert suite(expect("table_columns_to_match_set", column_list=["id", "more"])).expectations[-1].columns == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{\n'a'", "suite.json:2: not JSON"),
        ("[]", "no list of expectations"),
        ('{"expectations": []}', "no list of expectations"),
        ('{"expectations": [{"kwargs": {}}]}', "expectation 1: type: Field required"),
        ('{"expectations": [{"type": "x", "severity": "fatal"}]}', "expectation 1: severity: Input should be"),
        ('{"expectations": [{"type": "expect_table_row_count_to_be_between"}]}', "no column has a type"),
        (
            json.dumps({"expectations": [typed("a", "MONEY")]}),
            "column 'a': unknown type 'MONEY'\nallowed: BOOLEAN, BIGINT",
        ),
        (json.dumps({"expectations": [typed("a", "DATE"), typed("a", "DATE")]}), "column 'a' is there twice"),
        (
            json.dumps(
                {"expectations": [typed("Dep Delay", "DATE"), expect("column_values_to_be_unique", "dep_delay")]}
            ),
            "expectation 2 is about column 'dep_delay', which has no expect_column_values_to_be_of_type\ndid you mean",
        ),
    ],
)
def test_a_file_that_is_no_suite_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_suite(path)
    assert reason in str(refused.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="treadle init"):
        load_suite(tmp_path / "gone.json")


def test_reading_a_suite_loads_neither_gx_nor_pandas() -> None:
    code = "import sys, treadle.expectations.contract as _; "
    code += "print({'great_expectations', 'pandas', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
