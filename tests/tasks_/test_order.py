"""Rows in time order are told from rows that any column sorts, from rows by groups and from shuffled ones."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset import time_columns
from treadle.tasks.dataset.folds import rolling_folds
from treadle.tasks.dataset.order import FileOrder, file_order, quick_losses, sorting_column
from treadle.tasks.dataset.time_columns import (
    FEWEST_FITTED,
    MOST_FITTED,
    Hurting,
    gain_in_errors,
    hurting_columns,
    rising_columns,
    season_comes_back,
    time_telling_columns,
)

ROWS = 2_000
WEIGHTS = np.array([1.0, 0.8, 0.5, 0.0, 0.0])


def made(kind: str, seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Five columns and a target, in the order of the file."""
    draw = np.random.default_rng(seed)
    X, noise, t = draw.normal(size=(rows, 5)), draw.normal(size=rows), np.linspace(0, 1, rows)
    if kind == "relation changes":
        return X, X @ WEIGHTS * (1 - 2 * t) + noise
    if kind == "columns drift":
        X[:, 0] += 3 * t
        return X, 2 * np.sin(2 * X[:, 0]) + X @ WEIGHTS + noise
    if kind == "level rises":
        return X, X @ WEIGHTS + 4 * t + noise
    if kind == "a column drifts that does not matter":
        X[:, 4] += 3 * t
    if kind == "patients side by side":
        patient = np.repeat(np.arange(rows), draw.integers(3, 9, rows))[:rows]
        X = draw.normal(size=(rows, 5))[patient] + 0.3 * X
        return X, X @ WEIGHTS + draw.normal(size=rows)[patient] + noise
    return X, X @ WEIGHTS + noise


def looked_at(X: np.ndarray, y: np.ndarray, task: str = "regression", **more: object) -> FileOrder:
    rows = pa.table({**{f"x{one}": X[:, one] for one in range(X.shape[1])}, **more, "y": y})
    part = MatrixRows(X=X.astype(np.float32), y=y.astype(np.float32))
    return file_order(task, part, rows, target="y", codes=["site"])


@pytest.mark.parametrize("kind", ["relation changes", "columns drift", "level rises"])
def test_rows_whose_columns_or_target_drift_are_in_time_order(kind: str) -> None:
    found = [looked_at(*made(kind, seed, 4_000)) for seed in range(2)]
    assert all(one.in_time for one in found), found
    assert all("tells early rows from late ones" in one.sentence() for one in found)


@pytest.mark.parametrize("kind", ["shuffled", "patients side by side", "a column drifts that does not matter"])
def test_nothing_is_proposed_where_order_means_nothing_or_does_not_matter(kind: str) -> None:
    """Measured on 290 shuffled tables of 600 to 6,000 rows: no false alarm; so at most 1 of 20 is allowed here."""
    found = [looked_at(*made(kind, seed)) for seed in range({"shuffled": 20, "patients side by side": 8}.get(kind, 2))]
    assert sum(one.in_time for one in found) <= 1
    if kind == "shuffled":
        assert sum(one.drifts for one in found) <= 1
    if kind == "a column drifts that does not matter":
        assert all(one.drifts for one in found)


def test_classes_drift_too() -> None:
    X, y = made("level rises", 0, 4_000)
    assert looked_at(X, (y > y.mean()).astype(float), "binary").in_time
    assert looked_at(X, np.digitize(y, np.quantile(y, [0.3, 0.6])).astype(float), "multiclass").in_time


@pytest.mark.parametrize("by", ["the target", "a column", "a column, from its end", "an id", "files that are sorted"])
def test_a_sorted_file_is_in_the_order_of_what_sorts_it(by: str) -> None:
    X, y = made("columns drift", 0)
    ident = np.random.default_rng(1).permutation(len(y)) * 7
    keys = {"the target": y, "a column": X[:, 0], "a column, from its end": -X[:, 0], "an id": ident}
    order = np.argsort(keys.get(by, X[:, 0]), kind="stable")
    if by == "files that are sorted":
        order = np.concatenate([order[start::5] for start in range(5)])
    found = looked_at(X[order], y[order], client_id=ident[order])
    assert found.sorted_by.endswith({"the target": "y", "an id": "client_id"}.get(by, "x0"))
    assert not found.in_time


@pytest.mark.parametrize("values", [["south", "north", "east", "west"], [3, 1, 4, 2]], ids=["text", "codes"])
def test_a_file_in_blocks_of_one_site_each_is_not_in_time_order(values: list[object]) -> None:
    X, y = made("shuffled", 0)
    site = np.repeat(np.arange(4), ROWS // 4)
    X[:, 0] += 2 * site
    found = looked_at(X, y + site, site=np.array(values)[site])
    assert found.sorted_by == "the file has blocks of one site"


@pytest.mark.parametrize(
    ("name", "sorts"), [("year", False), ("yr", False), ("period", False), ("year_built", True), ("price", True)]
)
def test_a_year_may_sort_a_file_in_time_order(name: str, sorts: bool) -> None:
    rows = pa.table({name: np.repeat([2019, 2020, 2021], 300), "y": np.random.default_rng(0).normal(size=900)})
    assert bool(sorting_column(rows, target="y")) == sorts


def test_what_hardly_changes_or_counts_rows_sorts_nothing() -> None:
    draw = np.random.default_rng(0)
    rows = pa.table(
        {
            "row": np.arange(900),
            "flag": np.arange(900) >= 895,
            "level": np.sin(np.arange(900) / 40),
            "word": draw.choice(["a", "b"], 900),
            "gaps": pa.array([None] * 900, pa.float64()),
            "_ordinal": np.arange(900),
            "y": draw.normal(size=900),
        }
    )
    assert sorting_column(rows, target="y", counters=["row"]) == ""
    assert sorting_column(rows, target="y") == "the file is sorted by row"


def test_columns_that_tell_time_are_found_whatever_their_shape_and_no_others() -> None:
    draw, t = np.random.default_rng(0), np.linspace(0, 1, ROWS)
    columns = {
        "index": 5 * t + draw.normal(size=ROWS) * 0.1,
        "year": np.floor(3 * t),
        "gone later": np.where((t > 0.5) & (draw.random(ROWS) < 0.9), np.nan, draw.normal(size=ROWS)),
        "noise": draw.normal(size=ROWS),
        "season": np.sin(40 * t),
        "constant": np.zeros(ROWS),
        "empty": np.full(ROWS, np.nan),
    }
    X = np.column_stack(list(columns.values())).astype(np.float32)
    found = time_telling_columns(X, {name: [at] for at, name in enumerate(columns)})
    assert {one.column for one in found} == {"index", "year", "gone later"}
    assert [one.auc for one in found] == sorted((one.auc for one in found), reverse=True)
    assert found[0].auc > 0.97
    shuffled = [time_telling_columns(X[draw.permutation(ROWS)], {"index": [0], "noise": [3]}) for _ in range(20)]
    assert shuffled == [()] * 20


def test_an_index_goes_where_it_misleads_and_stays_where_it_helps() -> None:
    draw, rows = np.random.default_rng(0), 3_000
    t = np.linspace(0, 1, rows)
    X = np.column_stack([draw.normal(size=(rows, 2)), 5 * t + draw.normal(size=rows) * 0.1]).astype(np.float32)
    columns, folds = {"a": [0], "b": [1], "index": [2]}, rolling_folds(t, [0.6, 0.75])
    # what a means turns eight times: by the index a model knows the turns that have been
    turning = X[:, 0] * (1 - 2 * (np.floor(8 * t) % 2)) + X[:, 1] + draw.normal(size=rows)
    rising = X[:, 0] + 6 * t + draw.normal(size=rows)
    went = [
        hurting_columns(
            "regression",
            MatrixRows(X=X, y=y.astype(np.float32)),
            columns=columns,
            candidates=["index", "gone"],
            folds=folds,
        ).columns
        for y in (turning, rising)
    ]
    assert went == [("index",), ()]


@pytest.mark.parametrize(
    ("history", "first_window", "horizon", "expected"),
    [
        (300, 120, 60, True),  # the months after the holdout are the first ones of the history
        (200, 120, 30, False),  # no season has been seen yet when the model is used
        (1_200, 800, 90, False),  # the windows themselves have seen their season
        (700, 340, 90, True),
    ],
)
def test_a_season_comes_back_that_no_window_has_seen(
    history: int, first_window: int, horizon: int, *, expected: bool
) -> None:
    assert season_comes_back(np.arange(history, dtype=float), first_window, horizon) == expected


def test_a_column_that_misleads_in_one_window_only_stays() -> None:
    wrong_once = [np.array([3.0, 3.1]), np.array([1.0, 1.1]), np.array([1.0, 1.1])]
    wrong_always = [np.array([2.0, 2.1])] * 3
    without = [np.array([1.0, 1.0])] * 3
    assert gain_in_errors(wrong_always, without) > 1
    assert 0 < gain_in_errors(wrong_once, without) < 1


def test_a_column_that_only_rises_stays_only_where_it_helps() -> None:
    draw, rows = np.random.default_rng(0), 3_000
    t = np.linspace(0, 1, rows)
    X = np.column_stack([draw.normal(size=(rows, 2)), np.floor(10 * t)]).astype(np.float32)
    columns, folds = {"a": [0], "b": [1], "month": [2]}, rolling_folds(t, [0.6, 0.75])
    assert rising_columns(X, columns) == {"month"}
    neutral = X[:, 0] + draw.normal(size=rows)
    growing = X[:, 0] + 6 * t + draw.normal(size=rows)

    def went(y: np.ndarray, **more: object) -> tuple[str, ...]:
        part = MatrixRows(X=X, y=y.astype(np.float32))
        return hurting_columns("regression", part, columns=columns, candidates=["month"], folds=folds, **more).columns

    assert went(neutral, rising={"month"}) == ("month",)
    assert went(growing, rising={"month"}) == ()
    assert went(growing, until=0.0) == ()


class Clock:
    """Moves on by a second for each 10,000 rows that a model is fitted on, and by half a second for the model.

    After the first model all take `slower` times as long.
    """

    def __init__(self, slower: float = 1.0) -> None:
        self.now, self.fitted, self.slower = 100.0, [0], slower

    def monotonic(self) -> float:
        return self.now

    def losses(self, task: str, X: np.ndarray, y: np.ndarray, fitted: np.ndarray, *more: object) -> np.ndarray:
        self.now += (0.5 + len(fitted) / 10_000) * (self.slower if self.fitted[1:] else 1)
        self.fitted.append(len(fitted))
        return quick_losses(task, X, y, fitted, *more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "slower", "rows", "neutral"),
    [
        (100.0, 1, MOST_FITTED, ("month",)),
        (5.5, 1, 7_250, ("month",)),
        (5.5, 9, 7_250, ()),  # the machine has other work now
        (2.0, 1, FEWEST_FITTED, ("month",)),  # and as long again, where that is enough
        (1.0, 1, FEWEST_FITTED, ()),  # one model shows that there is no time
        (0.0, 1, 0, ()),
    ],
)
def test_where_time_is_short_a_column_that_only_rises_is_measured_on_fewer_rows_and_unmeasured_it_stays(
    monkeypatch: pytest.MonkeyPatch, seconds: float, slower: float, rows: int, neutral: tuple[str, ...]
) -> None:
    draw, count = np.random.default_rng(0), 30_000
    t = np.linspace(0, 1, count)
    X = np.column_stack([draw.normal(size=count), np.floor(10 * t)]).astype(np.float32)
    columns, folds = {"a": [0], "month": [1]}, rolling_folds(t, [0.8, 0.9])
    for slope, expected in ((0, neutral), (6, ())):
        clock, y = Clock(slower), X[:, 0] + slope * t + 0.5 * draw.normal(size=count)
        monkeypatch.setattr(time_columns, "time", clock)
        monkeypatch.setattr(time_columns, "quick_losses", clock.losses)
        part, until = MatrixRows(X=X, y=y.astype(np.float32)), clock.now + seconds
        more = {"folds": folds, "until": until, "rising": {"month"}}
        found = hurting_columns("regression", part, columns=columns, candidates=["month"], **more)
        assert found.columns == expected
        assert found.by_clock is (rows < MOST_FITTED)
        assert max(clock.fitted) == pytest.approx(rows, rel=0.1)
        assert clock.now <= until + seconds or slower > 1


def test_a_column_is_asked_about_where_the_newest_rows_have_one_label() -> None:
    draw, count = np.random.default_rng(0), 6_000
    t = np.linspace(0, 1, count)
    X = np.column_stack([draw.normal(size=count), np.floor(10 * t)]).astype(np.float32)
    y = ((np.arange(count) % 50 == 0) & (np.abs(t - 0.7) > 0.2)).astype(np.float32)
    part, folds = MatrixRows(X=X, y=y), rolling_folds(t, [0.8, 0.9])
    more = {"folds": folds, "until": time.monotonic() + 1, "rising": {"month"}}
    assert hurting_columns("binary", part, columns={"a": [0], "month": [1]}, candidates=["month"], **more).columns


def test_what_falls_once_or_never_changes_does_not_rise() -> None:
    X = np.array([[0, 0, 1, np.nan, 1], [1, 2, 1, 1, 2], [1, 1, 1, np.nan, 3]], dtype=np.float32)
    assert rising_columns(X, {"a": [0], "b": [1], "c": [2], "d": [3], "both": [0, 4], "one": [0, 1]}) == {"a", "both"}


def test_the_last_column_and_a_fold_of_one_class_are_left_alone() -> None:
    X = np.random.default_rng(0).normal(size=(900, 1)).astype(np.float32)
    y = (np.arange(900) >= 800).astype(np.float32)
    folds = rolling_folds(np.arange(900.0), [600.0])
    part = MatrixRows(X=X, y=y)
    assert hurting_columns("binary", part, columns={"a": [0]}, candidates=["a"], folds=folds) == Hurting()
    turned = MatrixRows(X=X, y=y[::-1].copy())
    assert hurting_columns("binary", turned, columns={"a": [0]}, candidates=["a"], folds=folds) == Hurting()


def test_rows_with_an_event_before_those_without_are_sorted_by_the_target() -> None:
    draw = np.random.default_rng(0)
    hours = np.where(np.arange(900) < 300, draw.integers(1, 9, 900), 0)
    rows = pa.table({"x": draw.normal(size=900), "y": hours})
    assert sorting_column(rows, target="y") == "the file has rows of one y first"
    assert sorting_column(rows.take(draw.permutation(900)), target="y") == ""


def test_few_sites_one_after_the_other_seldom_look_like_time() -> None:
    """Two blocks can always be told apart; what is learned of some must hold for the others, in their order."""
    found = []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        site = np.sort(draw.integers(0, 12, 3_000))
        X = draw.normal(size=(3_000, 5)) + draw.normal(size=(12, 5))[site]
        found.append(looked_at(X, X @ WEIGHTS + draw.normal(size=12)[site] + draw.normal(size=3_000)).in_time)
    assert sum(found) <= 3
