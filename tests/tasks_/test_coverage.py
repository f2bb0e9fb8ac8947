"""How many values lie in their interval: the share, how sure it is, and when it is said to fail."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import performance
from treadle.tasks.coverage import IntervalCoverage, by_fifths, interval_coverage
from treadle.tasks.dependence import Dependence
from treadle.tasks.report.intervals import interval_finding


def normal(rows: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with the ends of intervals that hold 90% of them where `scale` is 1."""
    y = np.random.default_rng(seed).normal(size=rows) * scale
    return y, np.full(rows, -1.645), np.full(rows, 1.645)


def coverage(*args: np.ndarray, **options: object) -> IntervalCoverage:
    found = interval_coverage(*args, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_share_lies_in_its_interval_nineteen_times_in_twenty() -> None:
    found = [coverage(*normal(400, seed)) for seed in range(200)]
    holds = sum((one.lower or 0) <= 0.9 <= (one.upper or 1) for one in found)
    assert holds >= 180  # binomial: 190 expected, fewer than 180 in one of 1,000 such tests


def test_intervals_that_are_as_promised_fail_seldom_and_those_of_a_noisier_world_always() -> None:
    assert sum(coverage(*normal(500, seed)).fails for seed in range(100)) <= 2
    assert all(coverage(*normal(500, seed, scale=1.4)).fails for seed in range(20))


def test_intervals_that_hold_nearly_as_many_as_promised_do_not_fail_however_sure_that_is() -> None:
    found = coverage(*normal(50_000, 0, scale=1.06))
    assert 0.87 < found.share < (found.upper or 1) < 0.9
    assert not found.fails


@pytest.mark.parametrize(("rows", "inside"), [(2, False), (5, False), (20, True)])
def test_few_labels_that_lie_all_inside_or_all_outside_are_not_sure(rows: int, inside: bool) -> None:
    y, far = np.zeros(rows), 0.0 if inside else 5.0
    found = coverage(y, np.full(rows, far - 1), np.full(rows, far + 1))
    assert found.share == float(inside)
    assert found.lower is not None
    assert found.upper is not None
    assert found.upper - found.lower > 0.15
    assert found.fails == (rows == 5), "of five intervals none held: at 90% each that is no chance"


def test_labels_that_depend_on_each_other_make_the_share_less_sure() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    y, lower, upper = draw.normal(size=40)[groups], np.full(1000, -1.645), np.full(1000, 1.645)
    alone, grouped = coverage(y, lower, upper), coverage(y, lower, upper, dependence=Dependence(groups=groups))
    assert alone.share == grouped.share
    assert (grouped.upper or 1) - (grouped.lower or 0) > 2 * ((alone.upper or 1) - (alone.lower or 0))


def test_weights_count_rows_and_those_without_an_end_or_weight_do_not_count() -> None:
    y, lower, upper = np.array([0.0, 5.0, 0.0, 0.0]), np.array([-1.0, -1, np.nan, -1]), np.ones(4)
    found = coverage(y, lower, upper, weight=np.array([3.0, 1.0, 1.0, 0.0]))
    assert (found.rows, found.share, found.width) == (2, 0.75, 2.0)
    assert interval_coverage(y[2:3], lower[2:3], upper[2:3]) is None


def test_delivered_intervals_are_compared_with_labels() -> None:
    y, lower, upper = normal(300, 1)
    table = pa.table({"prediction": np.zeros(300), "lower": lower, "upper": upper})
    labels = pa.chunked_array([y])
    got = performance.realised("regression", "rmse", (), labels, table, rows=300).intervals
    assert got == interval_coverage(y, lower, upper)
    assert set(performance.columns("regression", ())) == set(table.column_names)
    without = performance.realised("regression", "rmse", (), labels, table.select(["prediction"]), rows=300)
    assert without.intervals is None


def test_fifths_are_in_order_of_the_prediction() -> None:
    p = np.random.default_rng(2).permutation(100)
    assert [p[rows].max() for rows in by_fifths(p)] == [19, 39, 59, 79, 99]


@pytest.mark.parametrize(("worse", "caution"), [(1.0, False), (2.5, True)])
def test_the_finding_names_the_fifth_whose_intervals_promise_too_much(worse: float, caution: bool) -> None:
    draw = np.random.default_rng(3)
    p = np.sort(draw.normal(size=5_000))
    y = p + draw.normal(size=5_000) * np.where(np.arange(5_000) >= 4_000, worse, 1.0)
    found = interval_finding(y, p, p - 1.645, p + 1.645)
    assert found is not None
    assert found.caution is caution
    text = " ".join(found.sentences)
    assert text.startswith("The 90% intervals hold ")
    assert "By fifths of the prediction, lowest first: " in text
    assert ("Fewer than 87% lie inside in the highest fifth." in text) is caution


def too_narrow_at_the_top() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and groups: in the highest fifth the rows of two of ten groups lie outside."""
    p = np.arange(5_000.0)
    inside = np.where(np.arange(5_000) % 10 == 0, 5.0, 0.0)
    groups = np.arange(5_000)
    groups[4_000:] = 10_000 + np.arange(1_000) // 100
    inside[4_000:] = np.where(np.isin(np.arange(1_000) // 100, (3, 7)), 5.0, 0.0)
    return p + inside, p, groups


@pytest.mark.parametrize("grouped", [False, True])
def test_a_fifth_whose_rows_depend_on_each_other_is_not_surely_too_narrow(grouped: bool) -> None:
    y, p, groups = too_narrow_at_the_top()
    found = interval_finding(y, p, p - 1, p + 1, dependence=Dependence(groups=groups) if grouped else None)
    assert found is not None
    text = " ".join(found.sentences)
    assert "lowest first: 90%, 90%, 90%, 90%, 80% inside" in text
    assert ("in the highest fifth" in text) is not grouped
    assert found.caution is not grouped


def test_the_share_of_a_fifth_counts_each_row_by_its_weight() -> None:
    y, p, _ = too_narrow_at_the_top()
    weight = np.where((p >= 4_000) & (y > p), 0.25, 1.0)
    found = interval_finding(y, p, p - 1, p + 1, weight=weight)
    assert found is not None
    text = " ".join(found.sentences)
    assert "lowest first: 90%, 90%, 90%, 90%, 94% inside" in text
    assert "of the fifth with the largest values 94% lie inside" in text
    assert not found.caution
