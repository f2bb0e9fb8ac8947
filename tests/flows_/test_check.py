"""`treadle check` finds what does not fit before anything runs, and is quick about it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.customers import customers
from treadle.flows.project import check, init
from treadle.infra.settings import at
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.project.check import CheckResult


@pytest.fixture
def home(tmp_path: Path) -> Path:
    customers(400).to_csv(tmp_path / "sales.csv", index=False)
    init.run_init(at(tmp_path), tmp_path / "sales.csv", "Left?")
    return tmp_path


def look(home: Path, *changes: tuple[str, str]) -> CheckResult:
    path = home / "pipelines" / "sales.toml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return check.run_check(at(home), load_config(path))


def test_what_init_wrote_fits(home: Path) -> None:
    result = look(home)
    assert (result.findings, result.exit_code()) == ((), 0)
    assert (result.columns, result.files, result.looked_at) == (13, 1, "sales.csv")


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (('target = "Left?"', 'target = "left"'), "data.target", "no column 'left'"),
        (('positive = "Yes"', "positive = true"), "data.positive", "is no text"),
        (('positive = "Yes"', 'positive = "Maybe"'), "data.positive", "does not allow 'Maybe'"),
        (('time = "Signed Up"', 'time = "Signed-Up"'), "data.time", "no column 'Signed-Up'"),
        (('time = "Signed Up"', 'time = "Gender"'), "data.time", "holds text"),
        (('  "Plan Type",', '  "Balance",'), "data.categories", "holds number"),
        (('  "Country",', '  "Land",'), "data.drop", "no column 'Land'"),
        (("[split]", "[gate]\nslices = ['Sex']\n[split]"), "gate.slices", "no column 'Sex'"),
        (
            ("[split]", "[model]\nmonotone = { Gender = 1 }\n[split]"),
            "model.monotone",
            "'Gender' is a category: its codes",
        ),
        (
            ("[split]", "[model]\nmonotone = { 'Plan Type' = 1 }\n[split]"),
            "model.monotone",
            "'Plan Type' is a category: its codes have no order",
        ),
        (
            ("[split]", "[model]\nmonotone = { 'Signed Up' = -1 }\n[split]"),
            "model.monotone",
            "'Signed Up' is a date: the model sees its parts",
        ),
        (("drop = [", "forbid = ['Countri']\ndrop = ["), "data.forbid", "no column 'Countri'"),
        (
            ("[split]", "[model]\ninteractions = [['Age', 'Ages']]\n[split]"),
            "model.interactions",
            "no column 'Ages'",
        ),
        (
            ("[split]", "[model]\nobjective = 'losses:own'\n[split]"),
            "model.objective",
            "does not exist: pipelines/losses.py",
        ),
    ],
)
def test_a_config_that_does_not_fit_the_suite_is_a_problem(
    home: Path, change: tuple[str, str], where: str, message: str
) -> None:
    result = look(home, change)
    assert result.exit_code() == 2
    (problem,) = result.findings
    assert problem.where == where
    assert message in problem.message
    assert problem.fix


def test_a_file_that_does_not_fit_the_suite_is_a_problem(home: Path) -> None:
    customers(50).rename(columns={"Age": "age (years)"}).to_csv(home / "data/inbox/sales/new.csv", index=False)
    problem, warning = look(home).findings
    assert (problem.level, problem.where) == ("problem", "new.csv")
    assert "no column 'Age'" in problem.message
    assert (warning.level, "age (years)" in warning.message) == ("warning", True)


def test_rows_to_be_scored_fit_without_the_target(home: Path) -> None:
    customers(50).drop(columns="Left?").to_csv(home / "data/inbox/sales/new.csv", index=False)
    assert look(home).findings == ()


def test_a_damaged_suite_or_file_is_a_finding_and_no_crash(home: Path) -> None:
    (home / "data/inbox/sales/new.csv").write_bytes(b"")
    assert "is empty" in look(home).findings[0].message
    (home / "expectations/sales.json").write_text("{")
    assert look(home).exit_code() == 2
    (home / "expectations/sales.json").unlink()
    assert "no such suite" in look(home).findings[0].message


def test_nothing_waiting_is_a_warning(home: Path) -> None:
    (home / "sales.csv").unlink()
    result = look(home)
    assert result.exit_code() == 0
    assert "no file waits" in result.findings[0].message


def test_neither_check_nor_init_loads_what_is_slow(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from treadle.flows.project import check, init; "
        "from treadle.infra.settings import at; from treadle.tasks.config.load import load_config; "
        "home = Path(sys.argv[1]); "
        "loaded = lambda *names: [name for name in names if name in sys.modules]; "
        "check.run_check(at(home), load_config(home / 'pipelines' / 'sales.toml')); "
        "after_check = loaded('xgboost'); "  # init questions columns by a small model
        "init.run_init(at(home), home / 'sales.csv', 'Left?', name='again'); "
        "print([*after_check, *loaded('great_expectations', 'prefect', 'mlflow')])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
