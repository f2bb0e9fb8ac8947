"""Regression's intervals hold 90% at every height of the prediction, and respect the target's range."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import shop
from treadle.tasks import fitting, interval
from treadle.tasks.dataset.folds import Fold
from treadle.tasks.interval import Bands, fit_bands
from treadle.tasks.postprocess import Post, apply_postprocess, fit_postprocess

FITTED, LATER = 4_000, 20_000

SPREADS = {
    "even": lambda level, draw: level + draw.normal(size=len(level)),
    "wider with the mean": lambda level, draw: level + level * draw.normal(size=len(level)),
    "skewed": lambda level, draw: level * draw.gamma(2, 0.5, len(level)),
    "counts": lambda level, draw: draw.poisson(3 * level).astype(float),
    "one-sided": lambda level, draw: level + 1 - draw.exponential(size=len(level)),
}


def drawn(case: str, seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions."""
    draw = np.random.default_rng(seed)
    level = np.exp(draw.normal(2, 0.8, rows))
    return SPREADS[case](level, draw), 3 * level if case == "counts" else level


def covered(bands: Bands, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    lower, upper = interval.ends(bands, p)
    return (y >= lower) & (y <= upper)


@pytest.mark.parametrize("case", SPREADS)
@pytest.mark.parametrize("scale", ["", "log1p"])
def test_nine_tenths_of_new_values_lie_inside_in_every_fifth_of_the_predictions(case: str, scale: str) -> None:
    for seed in range(3):
        y, p = drawn(case, seed, FITTED + LATER)
        bands = fit_bands(y[:FITTED], p[:FITTED], scale=scale)  # type: ignore[arg-type]
        inside = covered(bands, y[FITTED:], p[FITTED:])
        order = np.argsort(p[FITTED:])
        # a fifth of 4,000 rows are 800: its coverage has a standard error of 0.011, its own 4,000 rows 0.005
        for rows in np.array_split(order, 5):
            assert inside[rows].mean() == pytest.approx(0.9, abs=0.045)
        assert inside.mean() == pytest.approx(0.9, abs=0.022)


@pytest.mark.parametrize(("low", "high"), [(0, None), (0, 1), (None, 0)])
@given(seed=st.integers(0, 50))
@settings(deadline=None, max_examples=15)
def test_no_end_lies_outside_of_the_targets_range(low: float | None, high: float | None, seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.beta(0.4, 0.6, 900) * (1 if high == 1 else 50)
    y = -y if high == 0 else y
    p = y.mean() + 0.3 * (y - y.mean()) + draw.normal(size=900) * y.std()
    bands = fit_bands(y, p)
    lower, upper = interval.ends(bands, np.array([*p, *(3 * p)]))
    assert low is None or (lower >= low).all()
    assert high is None or (upper <= high).all()
    assert (lower <= upper).all()


def test_a_target_on_both_sides_of_zero_has_no_range() -> None:
    assert interval.bounds(np.array([-3.0, 4.0])) == (None, None)
    assert interval.bounds(np.array([2.0, 40.0])) == (0.0, None)
    assert interval.bounds(np.array([0.1, 0.2])) == (0.0, None)
    assert interval.bounds(np.array([])) == (None, None)


@given(
    rows=st.lists(st.tuples(*[st.floats(-1e9, 1e9, width=32)] * 2), max_size=60),
    scale=st.sampled_from(["", "log1p"]),
    weighted=st.booleans(),
    dated=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_any_rows_give_ends_in_order_with_the_prediction_between_them(
    rows: list[tuple[float, float]], scale: str, weighted: bool, dated: bool
) -> None:
    y, p = (np.array([row[side] for row in rows], dtype=float) for side in (0, 1))
    weight = np.arange(len(y)) % 3 * 1.0 if weighted else None
    windows = np.arange(len(y)) // 7 if dated else None
    bands = fit_bands(y, p, scale=scale, weight=weight, windows=windows)  # type: ignore[arg-type]
    lower, upper = interval.ends(bands, p)
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    assert (lower <= upper).all()
    low, high = (end if end is not None else p for end in (bands.floor, bands.ceiling))
    assert (lower <= np.maximum(p, low)).all()
    assert (upper >= np.minimum(p, high)).all()


def test_an_end_at_the_bound_leaves_the_other_end_all_that_may_be_missed() -> None:
    """Where no value can lie below the lower end, the upper one is the 90% quantile, not the 95% one."""
    draw = np.random.default_rng(0)
    y = draw.exponential(size=20_000) * (draw.random(20_000) < 0.7)
    lower, upper = interval.ends(fit_bands(y, np.full(len(y), 0.7)), np.array([0.7]))
    assert lower[0] == 0
    assert upper[0] == pytest.approx(-np.log(0.1 / 0.7), abs=0.15)


def test_intervals_are_wider_where_each_window_lay_further_away_than_the_ones_before() -> None:
    draw = np.random.default_rng(1)
    windows = np.repeat(np.arange(6), 500)
    shift = np.array([0.0, 2.0, -2.0, 2.5, -2.5, 2.0])[windows]
    p, noise = draw.normal(size=len(windows)), draw.normal(size=len(windows))
    steady, drifting = (fit_bands(p + noise + by, p, windows=windows) for by in (0 * shift, shift))
    assert 1 <= steady.widen < 1.1
    assert drifting.widen > 1.12


def test_later_windows_count_more() -> None:
    draw = np.random.default_rng(2)
    windows = np.repeat(np.arange(6), 500)
    p, noise = draw.normal(size=len(windows)), draw.normal(size=len(windows))
    later = fit_bands(p + noise * np.where(windows == 5, 5, 1), p, windows=windows)
    early = fit_bands(p + noise * np.where(windows == 0, 5, 1), p, windows=windows)
    width = [np.mean(np.subtract(bands.upper, bands.lower)) for bands in (later, early)]  # without what drift adds
    assert width[0] > 1.2 * width[1]


def test_pieces_of_time_are_numbered_from_the_oldest() -> None:
    when = np.arange(60.0)
    folds = [Fold(np.arange(40), np.arange(40, 60)), Fold(np.arange(20), np.arange(20, 40))]
    pieces = interval.time_pieces(when, folds)
    assert (pieces[:20] == 0).all()
    assert (np.diff(pieces[20:]) >= 0).all()
    assert pieces[20:].max() == interval.PIECES - 1


@pytest.mark.parametrize(
    ("fitted", "answered", "dated"), [(range(40), range(40, 60), True), (range(30, 60), range(30), False)]
)
def test_windows_are_those_of_models_that_saw_older_rows_only(fitted: range, answered: range, dated: bool) -> None:
    problem = dataclasses.replace(shop.problem("regression"), time="day")
    rows = pa.table({"day": pa.array(range(60), pa.int64())})
    found = fitting.windows_of(problem, rows, [Fold(np.array(fitted), np.array(answered))])
    assert (found is not None) is dated


def test_models_of_earlier_versions_have_one_width() -> None:
    old = Post(task="regression", half_width=2.0)
    columns = apply_postprocess(old, np.array([1.0, 5.0], dtype=np.float32)).columns
    assert columns["lower"].to_pylist() == [-1.0, 3.0]
    assert columns["upper"].to_pylist() == [3.0, 7.0]


def test_the_interval_of_a_quantile_is_of_the_values_and_holds_the_prediction() -> None:
    """A prediction that is the 99% quantile lies beyond the 95% one: the interval reaches up to it."""
    y = np.random.default_rng(3).normal(size=10_000).astype(np.float32)
    quantile = np.full(len(y), 2.33, dtype=np.float32)
    columns = apply_postprocess(fit_postprocess("regression", (), y, quantile), quantile[:1]).columns
    assert columns["lower"][0].as_py() == pytest.approx(-1.645, abs=0.12)
    assert columns["upper"][0].as_py() == pytest.approx(2.33, abs=1e-6)
