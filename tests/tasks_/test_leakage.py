from __future__ import annotations

import numpy as np
import pytest

from treadle.tasks import leakage
from treadle.tasks.booster import MatrixRows

NAMES = {"age": [0], "income": [1], "branch": [2], "date": [3, 4]}


def rows(count: int = 4_000) -> np.ndarray:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(count, 5)).astype(np.float32)
    X[:, 2] = draw.integers(0, 40, count)
    X[::9, 0] = np.nan
    return X


def noisy(X: np.ndarray) -> np.ndarray:
    return (np.nan_to_num(X[:, 0]) + X[:, 1] + np.random.default_rng(1).normal(size=len(X))).astype(np.float32)


TASKS = {
    "binary": lambda value: (value > 0).astype(np.float32),
    "multiclass": lambda value: np.digitize(value, [-1, 1]).astype(np.float32),
    "regression": lambda value: value.astype(np.float32),
}


@pytest.mark.parametrize("task", TASKS)
def test_honest_columns_are_no_leak(task: str) -> None:
    X = rows()
    assert leakage.find_leaks(task, MatrixRows(X, TASKS[task](noisy(X))), columns=NAMES, seed=0) == ()


@pytest.mark.parametrize("task", TASKS)
def test_a_copy_of_the_target_is_found_by_name(task: str) -> None:
    X = rows()
    y = TASKS[task](noisy(X))
    X[:, 3] = 7 - 2 * y
    (leak,) = leakage.find_leaks(task, MatrixRows(X, y), columns=NAMES, seed=0)
    assert leak.columns == ("date",)
    assert leak.score >= leakage.THRESHOLD


def test_two_columns_that_give_the_target_only_together_are_found() -> None:
    X = rows()
    X[:, 1] = np.random.default_rng(2).integers(0, 2, len(X))
    X[:, 2] = np.random.default_rng(3).integers(0, 2, len(X))
    y = (X[:, 1] == X[:, 2]).astype(np.float32)
    (leak,) = leakage.find_leaks("binary", MatrixRows(X, y), columns=NAMES, seed=0)
    assert set(leak.columns) == {"income", "branch"}


def test_parts_of_a_total_are_found_although_neither_gives_it_alone() -> None:
    X = rows()
    y = 3 * X[:, 1] + X[:, 2] * 0.5
    (leak,) = leakage.find_leaks("regression", MatrixRows(X, y), columns=NAMES, seed=0)
    assert set(leak.columns) == {"income", "branch"}
    assert leak.metric == "R²"


def test_the_one_leak_among_a_hundred_columns_is_found() -> None:
    X = np.random.default_rng(0).normal(size=(20_000, 100)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.float32)
    leaks = leakage.find_leaks("binary", MatrixRows(X, y), columns={f"c{i}": [i] for i in range(100)}, seed=0)
    assert [leak.columns for leak in leaks] == [("c0",)]


def test_what_the_model_found_is_looked_at_although_the_quick_look_did_not_find_it() -> None:
    X = np.random.default_rng(4).normal(size=(300, 12)).astype(np.float32)
    X[:, :2] = np.random.default_rng(5).integers(0, 2, (300, 2))
    y = (X[:, 0] != X[:, 1]).astype(np.float32)
    columns = {f"c{i}": [i] for i in range(12)}
    (leak,) = leakage.find_leaks("binary", MatrixRows(X, y), columns=columns, seed=0, achieved=1.0, used=["c1", "c0"])
    assert set(leak.columns) == {"c0", "c1"}


def test_a_copy_of_a_rare_label_is_found() -> None:
    X = rows(60_000)
    y = (np.random.default_rng(1).random(len(X)) < 0.002).astype(np.float32)
    X[:, 2] = y
    (leak,) = leakage.find_leaks("binary", MatrixRows(X, y), columns=NAMES, seed=0)
    assert leak.columns == ("branch",)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("leaks", [True, False])
def test_a_copy_is_a_leak_where_it_is_one_in_the_rows_that_count(task: str, leaks: bool) -> None:
    X = rows()
    y = TASKS[task](noisy(X))
    some = np.random.default_rng(6).random(len(y)) < 0.5
    X[:, 2] = np.where(some, 7 - 2 * y, X[:, 2])
    weight = np.where(some == leaks, 1.0, 1e-6)
    found = leakage.find_leaks(task, MatrixRows(X, y, weight), columns=NAMES, seed=0)
    assert [leak.columns for leak in found] == ([("branch",)] if leaks else [])


@pytest.mark.parametrize("leaks", [True, False])
def test_parts_of_a_total_add_up_in_the_rows_that_count(leaks: bool) -> None:
    X = rows()
    some = np.random.default_rng(7).random(len(X)) < 0.5
    y = np.where(some, 3 * X[:, 1] + X[:, 2] * 0.5, noisy(X)).astype(np.float32)
    weight = np.where(some == leaks, 1.0, 1e-9)
    found = leakage.find_leaks("regression", MatrixRows(X, y, weight), columns=NAMES, seed=0)
    assert [set(leak.columns) for leak in found] == ([{"income", "branch"}] if leaks else [])


def test_correlations_of_whole_weights_are_those_of_rows_that_come_so_often() -> None:
    draw = np.random.default_rng(8)
    values, times = draw.normal(size=(50, 3)), draw.integers(1, 5, 50)
    values[:, 1] += values[:, 0]
    again = leakage.correlations(np.repeat(values, times, axis=0))
    assert leakage.correlations(values, times * 0.5) == pytest.approx(again)
