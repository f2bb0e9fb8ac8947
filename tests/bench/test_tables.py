"""Tables of the benchmarks are read and parted as declared; here those that the project's own packages ship."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.bench import models, portfolio, protocol, tables

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_unique_and_what_is_named_fits() -> None:
    assert len({table.name for table in tables.TABLES}) == len(tables.TABLES)
    for table in tables.TABLES:
        assert bool(table.positive) == (table.task == "binary")
        assert bool(table.time) == (table.split == "time")
        assert bool(table.group) == (table.split == "group")
        assert table.target not in table.drop
        assert not table.group or table.group in table.drop


def test_every_second_of_the_last_sixteen_tables_is_unseen_and_no_setting_is_measured_on_them() -> None:
    assert [table.unseen for table in tables.TABLES[-16:]] == [False, True] * 8
    assert not any(table.unseen for table in tables.TABLES[:-16])
    unseen = {table.name for table in tables.TABLES if table.unseen}
    assert unseen & {sample.table for sample in portfolio.SAMPLES} == set()


def test_known_and_unseen_of_the_last_sixteen_are_alike_in_tasks() -> None:
    known, unseen = (sorted(table.task for table in tables.TABLES[-16 + start :: 2]) for start in (0, 1))
    assert known == unseen


def test_the_default_run_leaves_unseen_tables_out() -> None:
    found = {table.name: table for table in tables.TABLES}
    options = models.options_of([])
    ran = {table.name for _, table, _ in models.wanted(options, found, set())}
    assert ran == {table.name for table in tables.TABLES if not table.unseen}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tables", "digits,spam_mail"], "table 'spam_mail' is held back for the last comparison. fix: --unseen"),
        (["--tables", "digits,spam_mail", "--unseen"], ""),
        (["--tables", "digits,nass_deaths"], ""),
        (["--tables", "digit", "--unseen"], "no table 'digit': there are digits, "),
    ],
)
def test_a_named_table_runs_if_it_is_there_and_unseen_ones_are_allowed(arguments: list[str], says: str) -> None:
    found = {table.name: table for table in tables.TABLES}
    said = models.refusal(models.options_of(arguments), found)
    assert said.startswith(says)
    assert bool(said) == bool(says)


def test_systems_have_short_names_where_one_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    options = models.options_of(["--systems", "treadle,optuna,flaml,histgb,xgb_default"])
    assert options.systems == ["treadle", "optuna_xgb", "flaml", "histgb_default", "xgb_default"]
    with pytest.raises(SystemExit):
        models.options_of(["--systems", "ag"])
    assert "no system 'ag': there are treadle, " in capsys.readouterr().err


def test_what_is_done_is_not_run_again() -> None:
    found = {table.name: table for table in tables.TABLES}
    options = models.options_of(["--tables", "digits", "--systems", "treadle,flaml", "--folds", "0,1"])
    left = models.wanted(options, found, {("digits", 0, "treadle"), ("digits", 1, "flaml")})
    assert [(system, table.name, fold) for system, table, fold in left] == [
        ("flaml", "digits", 0),
        ("treadle", "digits", 1),
    ]


@pytest.mark.parametrize(("name", "rows", "labels"), [("digits", 1_797, 10), ("breast_cancer", 569, 2)])
def test_a_shipped_table_is_read_and_its_folds_part_it(name: str, rows: int, labels: int) -> None:
    table = tables.available(None, None)[name]
    tested = []
    for fold in range(protocol.FOLDS):
        parts = protocol.load(table, fold)
        assert len(parts.train) + len(parts.test) == rows
        assert len(parts.labels) == labels
        tested.append(len(parts.test))
    assert sum(tested) == rows


def test_a_dated_table_is_tested_on_what_came_later() -> None:
    table = tables.available(None, None)["flights_late"]
    frame = tables.read(table)
    assert set(frame["late"]) == {"yes", "no"}
    windows = [protocol.rows(table, frame, fold) for fold in range(protocol.FOLDS)]
    times = frame[table.time].to_numpy()
    for train, test in windows:
        assert times[train].max() < times[test].min()
    assert times[windows[1][1]].max() < times[windows[0][1]].min()
    assert not {"arr_delay", "dep_delay", "air_time"} & set(protocol.load(table, 0).test)


def test_a_folders_tables_are_found_by_their_sidecars(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": [20240101 + row for row in range(20)], "x": range(20), "y": np.arange(20) * 1.5})
    frame.to_parquet(tmp_path / "own.parquet")
    about = {"target": "y", "task": "regression", "split": "time", "time_column": "day", "drop": ["x"], "group": None}
    (tmp_path / "own.json").write_text(json.dumps(about), encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    table = tables.available(tmp_path, None)["own"]
    parts = protocol.load(table, 0)
    assert (len(parts.train), len(parts.test), list(parts.test)) == (16, 4, ["day", "y"])
    assert models.dated(table, parts).test["day"].dt.day.tolist() == [17, 18, 19, 20]


@pytest.mark.parametrize(
    ("task", "truth", "predicted", "error"),
    [
        ("binary", ["n", "y", "y", "y"], {"probability": [0.5, 0.4, 0.9, 0.8]}, 1 / 3),
        ("regression", [1.0, 3.0], {"prediction": [1.0, 1.0]}, np.sqrt(2)),
        ("multiclass", ["a", "b"], {"b": [0.2, 0.5], "a": [0.8, 0.5]}, -(np.log(0.8) + np.log(0.5)) / 2),
        ("multiclass", ["a", "c"], {"a": [1.0, 1.0], "b": [0.0, 0.0]}, -np.log(protocol.LEAST) / 2),
    ],
)
def test_an_error_is_what_its_definition_says(task: str, truth: list, predicted: dict, error: float) -> None:
    table = tables.Table("t", "", "", "y", task, positive="y")
    labels = ["a", "b", "c"]
    found = protocol.error(table, labels, pd.Series(truth), pd.DataFrame(predicted))
    assert found == pytest.approx(error, abs=1e-5)


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan]])
def test_missing_predictions_are_refused(values: list[float]) -> None:
    table = tables.Table("t", "", "", "y", "regression")
    with pytest.raises(ValueError, match="predictions for 2 rows"):
        protocol.error(table, [], pd.Series([1.0, 2.0]), pd.DataFrame({"prediction": values}))


def test_draws_of_two_systems_are_the_same_rows() -> None:
    table = tables.Table("t", "", "", "y", "regression")
    truth, slips = (pd.Series(column) for column in np.random.default_rng(0).normal(size=(2, 50)))
    one, two = (
        protocol.resampled(table, [], truth, pd.DataFrame({"prediction": truth + times * slips})) for times in (1, 2)
    )
    assert np.std(one) > 0
    assert two == pytest.approx(2 * np.array(one))
