"""How rows are left out in turn: which layout a table and a budget get, and what its folds keep apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks_.test_refit import SPLITS, parted, table
from treadle.tasks import training, validation
from treadle.tasks.dataset import SplitSpec
from treadle.tasks.validation import FEW, FEWEST, Layout, choose_layout, search_folds


def layout(
    kind: str = "random", rows: int = 10_000, columns: int = 10, budget: float = 300, outputs: int = 1
) -> Layout:
    split = {"random": SplitSpec(), "group": SPLITS["group"], "time": SPLITS["time"]}[kind]
    return choose_layout(split, rows=rows, columns=columns, outputs=outputs, budget=budget, folds="auto")


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        ("random", FEWEST - 1, Layout(kind="folds", repeats=3)),
        ("random", FEW - 1, Layout(kind="folds", repeats=2)),
        ("group", FEW - 1, Layout(kind="folds", repeats=2)),
        ("random", FEW, Layout(kind="folds")),
        ("random", 30_000, Layout(kind="folds")),
        ("time", 500, Layout(kind="windows")),
        ("time", 30_000, Layout(kind="windows")),
        ("random", 3_000_000, Layout(dear=True)),
        ("time", 30_000_000, Layout(dear=True)),
    ],
)
def test_rows_are_left_out_in_turn_where_the_budget_allows_it(kind: str, rows: int, expected: Layout) -> None:
    assert layout(kind, rows) == expected


def test_a_longer_budget_never_takes_folds_away_and_more_work_never_adds_them() -> None:
    for rows in (1_000, 30_000, 100_000, 1_000_000):
        kinds = [layout(rows=rows, budget=budget).kind for budget in (1, 10, 100, 1_000, 10_000)]
        assert kinds == sorted(kinds, key=["single", "folds"].index)
        kinds = [layout(rows=rows, outputs=outputs, budget=45).kind for outputs in (1, 3, 10, 50)]
        assert kinds == sorted(kinds, key=["folds", "single"].index)


def test_few_rows_are_dealt_again_as_often_as_the_budget_allows_eight_trials_of_it() -> None:
    repeats = [layout(rows=FEWEST - 1, columns=70, budget=budget).repeats for budget in (40, 60, 90, 120, 150, 300)]
    assert (repeats[0], repeats[-1]) == (1, 3)
    assert repeats == sorted(repeats)
    assert 2 in repeats


def test_folds_can_be_turned_off() -> None:
    never = choose_layout(SplitSpec(), rows=1_000, columns=5, outputs=1, budget=300, folds="never")
    assert never == Layout()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("kind", SPLITS)
def test_each_row_is_answered_for_once_a_repeat_by_rows_that_may_know_it(task: str, kind: str) -> None:
    problem, parts = parted(task, kind, table(task, 900, seed=1))
    rows = pa.concat_tables([parts.train, parts.validation])
    y = training.labels_as_numbers(problem, rows)
    chosen = Layout(kind="windows") if kind == "time" else Layout(kind="folds", repeats=2)
    folds = search_folds(chosen, problem, parts.open(), SPLITS[kind], y, 0)
    times = np.zeros(len(rows), dtype=int)
    for fold in folds:
        times[fold.answered] += 1
        assert not set(fold.fitted) & set(fold.answered)
        if kind == "group":
            fitted, answered = (set(rows["shop"].take(pa.array(at)).to_pylist()) for at in (fold.fitted, fold.answered))
            assert not fitted & answered
        if kind == "time":
            days = rows["day"].cast(pa.int32()).to_numpy()
            assert days[fold.fitted].max() < days[fold.answered].min()
    if kind == "time":
        assert len(folds) == 3
        assert set(times) <= {0, 1}
        assert all(abs(len(fold.answered) - len(parts.holdout)) <= 20 for fold in folds)
    else:
        assert len(folds) == 10
        assert set(times) == {2}


def test_two_deals_of_rows_differ() -> None:
    problem, parts = parted("binary", "random", table("binary", 500, seed=1))
    rows = pa.concat_tables([parts.train, parts.validation])
    y = training.labels_as_numbers(problem, rows)
    folds = search_folds(Layout(kind="folds", repeats=2), problem, parts.open(), SplitSpec(), y, 0)
    assert not np.array_equal(folds[0].answered, folds[5].answered)


def test_without_a_class_in_every_fold_the_validation_rows_are_measured() -> None:
    rows = table("binary", 400, seed=1)
    rare = np.zeros(400, dtype=bool)
    rare[:2] = True
    rows = rows.set_column(rows.column_names.index("y"), "y", pa.array(rare))
    problem, parts = parted("binary", "random", table("binary", 400, seed=1))
    y = np.zeros(len(parts.train) + len(parts.validation))
    folds = search_folds(Layout(kind="folds"), problem, parts.open(), SplitSpec(), y, 0)
    assert len(folds) == 1
    assert len(folds[0].fitted) == len(parts.train)


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 2_000), st.integers(0, 5))
def test_other_holdout_rows_change_no_window(rows: int, seed: int) -> None:
    problem, parts = parted("regression", "time", table("regression", rows, seed=seed))
    y = training.labels_as_numbers(problem, pa.concat_tables([parts.train, parts.validation]))
    folds = search_folds(Layout(kind="windows"), problem, parts.open(), SPLITS["time"], y, 0)
    order = np.random.default_rng(seed).permutation(len(parts.holdout))
    import dataclasses

    other = dataclasses.replace(parts, holdout=parts.holdout.take(pa.array(order)))
    again = search_folds(Layout(kind="windows"), problem, other.open(), SPLITS["time"], y, 0)
    assert [(one.fitted.tolist(), one.answered.tolist()) for one in again] == [
        (one.fitted.tolist(), one.answered.tolist()) for one in folds
    ]


def test_mean_fitted_is_of_all_lanes() -> None:
    problem, parts = parted("regression", "random", table("regression", 1_000, seed=0))
    y = training.labels_as_numbers(problem, pa.concat_tables([parts.train, parts.validation]))
    folds = search_folds(Layout(kind="folds"), problem, parts.open(), SplitSpec(), y, 0)
    assert validation.mean_fitted(folds) == pytest.approx(len(y) * 0.8, abs=1)


def test_with_a_group_windows_of_time_measure_rows_of_new_groups_only() -> None:
    """The gate judges no others."""
    rows = table("regression", 900, seed=1)
    own = SplitSpec(strategy="time", group="shop")
    order = np.arange(900)
    shops = pa.array([f"s{number // 10 if number % 2 else number % 7}" for number in order])
    rows = rows.set_column(rows.column_names.index("shop"), "shop", shops)
    problem, parts = parted("regression", "time", rows)
    both = pa.concat_tables([parts.train, parts.validation])
    y = training.labels_as_numbers(problem, both)
    for fold in search_folds(Layout(kind="windows"), problem, parts.open(), own, y, 0):
        fitted, answered = (set(both["shop"].take(pa.array(at)).to_pylist()) for at in (fold.fitted, fold.answered))
        assert answered
        assert not fitted & answered
