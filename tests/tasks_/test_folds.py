"""Every row is answered for by a model that has not seen it, nor anything that must be kept together with it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.tasks.dataset import folds


@given(st.lists(st.integers(0, 3), min_size=10, max_size=200), st.integers(0, 5))
def test_dealt_folds_leave_every_row_out_once_and_share_the_classes_out(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    found = folds.dealt_folds(y, seed)
    assert sorted(np.concatenate([fold.answered for fold in found])) == list(range(len(y)))
    for fold in found:
        assert not set(fold.fitted) & set(fold.answered)
        assert len(fold.fitted) + len(fold.answered) == len(y)
    for label in np.unique(y):
        counts = [int((y[fold.answered] == label).sum()) for fold in found]
        assert max(counts) - min(counts) <= 1


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", None]), min_size=1, max_size=80))
def test_rows_of_one_group_are_left_out_together(groups: list[str | None]) -> None:
    rows = pa.table({"g": pa.array(groups, pa.string())})
    for fold in folds.grouped_folds(rows, ["g"]):
        fitted, answered = ({groups[at] for at in part} for part in (fold.fitted, fold.answered))
        assert not fitted & answered


def test_a_group_has_its_fold_whatever_rows_stand_beside_it() -> None:
    alone = folds.grouped_folds(pa.table({"g": ["x", "y", "z", "x"]}), ["g"])
    assert all({0, 3} <= set(fold.answered) or not {0, 3} & set(fold.answered) for fold in alone)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=100),
    st.lists(st.integers(-2, 32), min_size=1, max_size=4, unique=True),
)
def test_at_rolling_origins_only_what_is_earlier_answers(when: list[int], starts: list[int]) -> None:
    times = np.array(when, dtype=np.float64)
    found = folds.rolling_folds(times, sorted(map(float, starts)))
    answered = np.concatenate([fold.answered for fold in found]) if found else np.array([], dtype=int)
    assert len(set(answered)) == len(answered)
    for fold in found:
        assert times[fold.fitted].max() < times[fold.answered].min()


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (list(range(20)), (10.0, 14.0, 17.0)),
        ([1.0] * 5 + [2.0] * 5 + [3.0] * 5, (2.0, 3.0)),
    ],
)
def test_origins_are_the_validation_rows_and_the_halves_of_the_holdout(
    when: list[float], expected: tuple[float, ...]
) -> None:
    validation, holdout = expected[0], expected[1]
    assert folds.origins(np.array(when, dtype=float), validation, holdout) == expected


def test_the_error_over_windows_is_as_large_as_their_spread_really_is() -> None:
    draw = np.random.default_rng(0)
    for windows in (2, 3, 6):
        means = draw.normal(size=(4_000, windows))
        within = [abs(one.mean()) < folds.error_of_windows([(1.0, value) for value in one]) for one in means]
        # a standard error holds 68% of the means, as Student's quantile makes it exactly
        assert abs(np.mean(within) - 0.6827) < 4 * np.sqrt(0.68 * 0.32 / 4_000)
    assert folds.error_of_windows([(3.0, 5.0)]) == 0
    assert folds.error_of_windows([(1.0, 1.0), (3.0, 5.0)]) > folds.error_of_windows([(1.0, 1.0), (30.0, 5.0)])
