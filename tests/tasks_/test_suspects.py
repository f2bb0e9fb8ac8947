"""Columns to question, against planted leaks and against honest columns; rates over many worlds are in the audit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import suspects
from treadle.tasks.booster import MatrixRows

NAMES = {"age": [0], "income": [1], "branch": [2], "date": [3, 4]}
TASKS = {
    "binary": lambda value: (value > 0).astype(np.float32),
    "multiclass": lambda value: np.digitize(value, [-1, 1]).astype(np.float32),
    "regression": lambda value: value.astype(np.float32),
}
SEEDS = range(3)


def world(task: str, seed: int, rows: int = 3_000) -> MatrixRows:
    """Five features that share the signal, one of them with gaps, beside noise."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, 5)).astype(np.float32)
    X[:, 2] = draw.integers(0, 40, rows)
    signal = X[:, 0] + X[:, 1] + X[:, 3] - X[:, 4] + draw.normal(size=rows)
    X[draw.random(rows) < 0.2, 0] = np.nan
    return MatrixRows(X, TASKS[task](signal))


def questioned(task: str, rows: MatrixRows) -> list[suspects.Suspect]:
    found = suspects.question_columns(task, rows, columns=NAMES, classes=("no", "yes", "maybe"), seed=0)
    return list(found)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_honest_columns_are_not_questioned(task: str, seed: int) -> None:
    assert questioned(task, world(task, seed)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_noisy_copy_of_the_target_is_questioned_with_figures(task: str, seed: int) -> None:
    rows, draw = world(task, seed), np.random.default_rng(seed + 100)
    copied = rows.y if task != "regression" else rows.y + draw.normal(size=len(rows.y)) * 0.1 * rows.y.std()
    rows.X[:, 2] = np.where(draw.random(len(rows.y)) < 0.03, draw.permutation(rows.y), copied)
    (found,) = questioned(task, rows)
    assert (found.column, found.suspicion) == ("branch", "carries most of what the columns tell")
    assert "with it alone" in found.evidence


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_column_that_is_filled_for_one_class_only_is_questioned(task: str, seed: int) -> None:
    rows, draw = world(task, seed), np.random.default_rng(seed + 100)
    happened = rows.y > (0 if task != "regression" else rows.y.mean())
    rows.X[:, 2] = np.where(happened & (draw.random(len(rows.y)) < 0.8), draw.integers(0, 5, len(rows.y)), np.nan)
    (found,) = [one for one in questioned(task, rows) if "gaps" in one.suspicion]
    assert found.column == "branch"
    assert "without a value" in found.evidence if task == "regression" else "empty in" in found.evidence


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("what", ["carries most of what the columns tell", "its gaps alone tell the target"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_columns_are_questioned_by_the_rows_that_count(task: str, what: str, counts: bool) -> None:
    """A copy of the target, or gaps that tell, in half of the rows: of weight 5, or of next to none."""
    rows, draw = world(task, 0), np.random.default_rng(7)
    some = draw.random(len(rows.y)) < 0.5
    if "gaps" in what:
        planted = np.where(rows.y > (0 if task == "binary" else rows.y.mean()), rows.X[:, 2], np.nan)
    else:
        planted = np.where(draw.random(len(rows.y)) < 0.03, draw.permutation(rows.y), rows.y)
    rows.X[:, 2] = np.where(some, planted, rows.X[:, 2])
    weight = np.where(some == counts, 5.0, 5e-6)
    found = [(one.column, one.suspicion) for one in questioned(task, MatrixRows(rows.X, rows.y, weight))]
    assert ("branch", what) in found if counts else found == []


def test_few_rows_and_pure_noise_raise_no_suspicion() -> None:
    few = world("binary", 0, rows=suspects.FEWEST - 1)
    few.X[:, 2] = few.y
    assert questioned("binary", few) == []
    noise = MatrixRows(world("binary", 0).X, (np.arange(3_000) % 2).astype(np.float32))
    assert questioned("binary", noise) == []


def dated(seed: int, rows: int = 4_000) -> dict[str, np.ndarray]:
    """Two years of rows: a season, an outage that ended, a column that came late, and honest gaps."""
    draw = np.random.default_rng(seed)
    day = np.sort(draw.integers(0, 730, rows))
    return {
        "day": (np.datetime64("2024-01-01") + day).astype("datetime64[us]"),
        "age": 729 - day,
        "season": np.where((day % 365) > 270, 0.0, 1.0),
        "outage": np.where((day > 200) & (day < 260), np.nan, 1.0),
        "new": np.where(day < 500, np.nan, 1.0),
        "gaps": np.where(draw.random(rows) < 0.3, np.nan, draw.normal(size=rows)),
    }


def later(
    columns: dict[str, np.ndarray], labelled: np.ndarray | None = None, time: str = "day"
) -> list[suspects.Suspect]:
    rows = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items() if name != "age"})
    shuffled = np.random.default_rng(5).permutation(len(rows))
    mask = None if labelled is None else labelled[shuffled]
    names = [name for name in rows.column_names if name != "day"]
    return list(suspects.filled_later(rows.take(shuffled), names, time=time, labelled=mask))


@pytest.mark.parametrize("seed", SEEDS)
def test_seasons_outages_and_new_columns_are_not_questioned(seed: int) -> None:
    assert later(dated(seed)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("days", [10, 40, 100])
@pytest.mark.parametrize("nothing_yet", [np.nan, 0.0, False])
def test_a_column_that_is_filled_in_after_days_is_questioned(days: int, nothing_yet: float | bool, seed: int) -> None:
    columns = dated(seed)
    settled = columns["age"] >= np.random.default_rng(seed).exponential(days, len(columns["age"]))
    columns["settled"] = np.where(settled, nothing_yet is False or 1.0, nothing_yet)
    (found,) = later(columns)
    assert (found.column, found.suspicion) == ("settled", "is filled in only after a while")
    assert "of the newest" in found.evidence


def test_a_column_that_rows_without_a_label_lack_is_questioned() -> None:
    columns = dated(0)
    draw = np.random.default_rng(0)
    labelled = draw.random(len(columns["age"])) < 0.9
    columns["reason"] = np.where(labelled | (draw.random(len(labelled)) < 0.5), 1.0, np.nan)
    (found,) = later(columns, labelled, time="")
    assert found.column == "reason"
    assert "without a label" in found.evidence


def test_dates_text_and_booleans_may_be_empty_too() -> None:
    columns = dated(0)
    rows = pa.table({"day": columns["day"], "when": columns["day"], "who": ["x"] * len(columns["day"])})
    young = pa.array(columns["age"] < 20)
    emptied = {
        name: pa.array(
            [None if gone else value for gone, value in zip(young.to_pylist(), rows[name].to_pylist(), strict=True)]
        )
        for name in ("when", "who")
    }
    rows = pa.table({"day": columns["day"], **emptied})
    assert {one.column for one in suspects.filled_later(rows, ["when", "who"], time="day")} == {"when", "who"}
