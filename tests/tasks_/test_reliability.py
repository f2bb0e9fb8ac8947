"""Calibration in the large and slope on the holdout, and how far a month's base rate may be off."""

from __future__ import annotations

import numpy as np
import pytest

from treadle.tasks.base_rate import WindowRate, base_rates, joined_windows, month_interval, with_interval
from treadle.tasks.dependence import Dependence
from treadle.tasks.reliability import calibration_findings, calibration_metrics, farthest, reliability
from treadle.tasks.rolling import WindowLength, holdout_rates
from treadle.tasks.training import Problem


def expit(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))


def world(seed: int, rows: int = 2_000, slope: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities whose true logit is `slope` times the logit, plus `shift`."""
    draw = np.random.default_rng(seed)
    logit = draw.normal(size=rows) - 1
    return (draw.random(rows) < expit(slope * logit + shift)).astype(float), expit(logit)


def test_intervals_hold_what_is_true_as_often_as_they_say() -> None:
    held = np.zeros(2)
    for seed in range(200):
        y, p = world(seed)
        (found,) = reliability("binary", ["no", "yes"], y, p)
        held += [found.lower <= 0 <= found.upper, found.slope_lower <= 1 <= found.slope_upper]
    assert held.min() >= 179  # 95% of 200, less three standard errors of 3.1 and a bit
    assert held.max() < 200


@pytest.mark.parametrize(("slope", "shift"), [(0.5, 0.0), (1.6, 0.0), (1.0, 0.6)])
def test_what_is_off_is_found_and_said(slope: float, shift: float) -> None:
    (found,) = reliability("binary", ["no", "yes"], *world(1, 8_000, slope, shift))
    assert found.slope == pytest.approx(slope, abs=0.15)
    assert found.off
    (_, sentence) = found.sentences()
    assert ("too far" in sentence) == (slope != 1.6)
    assert found.label == "yes"
    (finding,) = calibration_findings((found,), ())
    assert finding.caution


def test_the_figures_agree_with_a_reference() -> None:
    from sklearn.linear_model import LogisticRegression

    y, p = world(3, slope=0.7, shift=0.3)
    weight = np.random.default_rng(3).integers(1, 5, len(y)).astype(float)
    (found,) = reliability("binary", ["no", "yes"], y, p, weight)
    reference = LogisticRegression(C=1e12, tol=1e-10).fit(np.log(p / (1 - p))[:, None], y, sample_weight=weight)
    assert found.slope == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert found.difference == pytest.approx(np.average(p, weights=weight) - np.average(y, weights=weight))


def test_rows_that_repeat_in_groups_widen_both_intervals() -> None:
    y, p = world(5, 400)
    groups = np.repeat(np.arange(400), 10)
    (one,) = reliability("binary", ["no", "yes"], y, p)
    (known,) = reliability("binary", ["no", "yes"], np.repeat(y, 10), np.repeat(p, 10), None, Dependence(groups=groups))
    (unknown,) = reliability("binary", ["no", "yes"], np.repeat(y, 10), np.repeat(p, 10))
    assert known.upper - known.lower == pytest.approx(one.upper - one.lower, rel=0.02)
    assert known.slope_upper - known.slope_lower == pytest.approx(one.slope_upper - one.slope_lower, rel=0.02)
    assert unknown.upper - unknown.lower < 0.4 * (one.upper - one.lower)


def test_of_several_classes_each_is_measured_against_the_rest() -> None:
    draw = np.random.default_rng(0)
    p = draw.dirichlet([2, 2, 1], 4_000)
    y = np.array([draw.choice(3, p=row) for row in p], dtype=float)
    found = reliability("multiclass", ["a", "b", "c"], y, p)
    assert [one.label for one in found] == ["a", "b", "c"]
    assert sum(one.observed for one in found) == pytest.approx(1)
    assert sum(one.off for one in found) <= 1
    wrong = reliability("multiclass", ["a", "b", "c"], y, p[:, [1, 0, 2]] * 0.5 + 1 / 6)
    assert farthest(wrong).off
    assert "classes" in calibration_findings(wrong, ())[0].sentences[-1]


@pytest.mark.parametrize("case", ["one label", "one probability", "perfect"])
def test_where_there_is_no_slope_none_is_given(case: str) -> None:
    y, p = world(2, 200)
    if case == "one label":
        y = np.zeros(200)
    elif case == "one probability":
        p = np.full(200, 0.3)
    else:
        p = np.where(y == 1, 0.9, 0.1)
    (found,) = reliability("binary", ["no", "yes"], y, p)
    assert found.slope is None
    assert len(found.sentences()) == 1


def test_regression_has_no_probabilities() -> None:
    assert reliability("regression", [], np.ones(3), np.ones(3)) == ()
    assert calibration_findings((), ()) == ()
    assert calibration_metrics((), ()) == {}


def windows(errors: np.ndarray, held: int = 0) -> tuple[WindowRate, ...]:
    return tuple(
        WindowRate(rows=100, predicted=0.5 + error, observed=0.5, held_out=at >= len(errors) - held)
        for at, error in enumerate(errors)
    )


def test_the_next_month_is_in_the_interval_nine_times_in_ten() -> None:
    draw, inside = np.random.default_rng(0), 0
    for _ in range(400):
        months = draw.normal(0.02, 0.05, 8)
        lower, upper = month_interval(windows(months[:7], held=7))
        inside += lower <= months[7] <= upper
    assert 336 <= inside <= 382  # 360 less and plus four standard errors of 6


def test_overlapping_windows_cover_too() -> None:
    draw, inside = np.random.default_rng(1), 0
    for _ in range(400):
        halves = draw.normal(0, 0.07, 13)
        overlapping = (halves[:-1] + halves[1:]) / 2
        lower, upper = month_interval(windows(overlapping[:10]))
        inside += lower <= overlapping[11] <= upper
    assert inside >= 336


def test_few_windows_give_no_interval_and_say_so() -> None:
    few = with_interval("yes", "30 days", windows(np.array([0.1, 0.2, 0.1])))
    assert few.interval is None
    (finding,) = calibration_findings((), (few,))
    assert "not known" in finding.sentences[0]
    assert finding.caution


def test_windows_before_and_in_the_holdout_are_put_together() -> None:
    y, p, codes = np.array([0.0, 1, 1, 0]), np.array([0.5, 0.5, 0.9, 0.7]), np.array([0, 0, 1, -1])
    before, after = (base_rates(["no", "yes"], "30 days", codes, y, p, held_out=held) for held in (False, True))
    (found,) = joined_windows(before, after)
    assert [one.error for one in found.windows] == pytest.approx([0, -0.1, 0, -0.1])
    assert [one.held_out for one in found.windows] == [False, False, True, True]
    assert joined_windows((), after) == after


@pytest.mark.parametrize(("days", "counted"), [(10, 0), (20, 1), (40, 1), (50, 2), (200, 2)])
def test_of_the_holdout_the_first_two_windows_count_if_half_of_them_is_there(days: int, counted: int) -> None:
    times = np.arange(days, dtype=np.int64)
    problem = Problem("binary", "roc_auc", "y", None, (), "day", "", (), (), (), (False, True))
    (found,) = holdout_rates(problem, WindowLength(30.0, 0), times, times % 2.0, np.full(days, 0.4), None)
    assert len(found.windows) == counted
    assert all(one.held_out for one in found.windows)
    assert found.label == "true"
