from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit import alarms
from treadle.tasks import metrics
from treadle.tasks.sequential import RISE_SHARES, RISES, STABLE_YEARS, ExpectedLoss, LossRise, LossSums, look, loss_sums

KNOWN = ExpectedLoss(0.5, 1e-9)
SURE = ExpectedLoss(0.5, 0.005)


def summed(losses: np.ndarray, weeks: int = 1, expected: ExpectedLoss = KNOWN, **more: object) -> LossSums:
    """Losses in equal weeks of 7 days, in order."""
    place = np.arange(len(losses)) * weeks * 7 // len(losses)
    return loss_sums(losses, expected, place // 7, place, **more)  # type: ignore[arg-type]


def found(losses: np.ndarray, weeks: int = 1, expected: ExpectedLoss = KNOWN, **more: object) -> LossRise:
    return look(expected, summed(losses, weeks, expected, **more), 52)


def exponential(seed: int, rows: int, times: float = 1.0) -> np.ndarray:
    """Losses whose mean and standard deviation are half of `times`."""
    return np.random.default_rng(seed).exponential(0.5 * times, rows)


def test_evidence_is_that_of_the_empirical_bernstein_sequence_where_the_expected_loss_is_known() -> None:
    losses = exponential(1, 400)
    squares = ((losses - 0.5) ** 2).sum()
    each = []
    for rise in RISES:
        bet, c = rise * 0.5 / (squares / 400), 0.5
        psi = (-math.log(1 - c * bet) - c * bet) / c**2
        each.append(math.exp(bet * (losses - 0.5).sum() - psi * squares))
    assert found(losses).evidence == pytest.approx(np.dot(each, RISE_SHARES) / 2, rel=1e-4)


@pytest.mark.parametrize(("holdout", "rows"), [(3_000, 50), (3_000, 2_000), (300, 5_000)])
def test_evidence_of_20_is_rare_where_nothing_changed(holdout: int, rows: int) -> None:
    reached = 0
    for seed in range(200):
        before, after = exponential(seed, holdout), exponential(10_000 + seed, rows)
        expected = ExpectedLoss(before.mean(), before.std() / math.sqrt(holdout))
        reached += found(after, 4, expected).risen
    assert reached <= 19  # of 200 at 1 in 20: more than 19 in 0.3% of the cases


def test_few_stable_years_ring_and_most_rises_of_a_tenth_are_found() -> None:
    shape, draw = alarms.SHAPES[0], np.random.default_rng(5)
    stable = [alarms.rings(shape, draw, weeks=20, earlier=False)[0] for _ in range(20)]
    assert sum(one is not None for one in stable) <= 4  # of 20 at 1 in 20: more than 4 in 0.3% of the cases
    decay = alarms.decay_for(shape)
    risen = [alarms.rings(shape, draw, weeks=6, holdout=5_000, decay=decay, earlier=False)[0] for _ in range(20)]
    assert sum(one is not None for one in risen) >= 12  # of 20 at 80%: fewer than 12 in 0.3% of the cases


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_the_order_of_rows_within_a_part_and_of_looks_does_not_matter(seed: int) -> None:
    draw = np.random.default_rng(seed)
    losses, window, part = draw.exponential(0.5, 300), draw.integers(0, 5, 300), draw.integers(0, 3, 300)
    order = draw.permutation(300)
    one = loss_sums(losses, KNOWN, window, part, dated=True)
    other = loss_sums(losses[order], KNOWN, window[order], part[order], dated=True)
    assert look(KNOWN, one, 52).evidence == pytest.approx(look(KNOWN, other, 52).evidence)


def test_a_rise_is_told_with_what_it_is_at_least_and_a_fall_is_none() -> None:
    risen, fell = found(exponential(1, 4_000, 1.3), 8, SURE), found(exponential(1, 4_000, 0.7), 8, SURE)
    assert risen.risen
    assert 0.1 < risen.least < risen.loss / 0.5 - 1
    assert (risen.labelled, risen.windows, risen.expected) == (4_000, 8, 0.5)
    assert (fell.risen, fell.least) == (False, 0.0)


def test_a_rise_of_one_percent_is_no_finding_however_many_rows_there_are() -> None:
    assert not found(exponential(1, 300_000, 1.01)).risen


def test_a_rise_that_comes_late_is_found_without_forgetting_the_promotion() -> None:
    stable = exponential(2, 15_000)
    late = np.r_[stable, exponential(3, 3_000, 1.2)]
    assert not found(stable, 30, SURE).risen
    assert found(late, 36, SURE).risen
    # the promotion alone would not tell: the early weeks hide the rise
    assert found(late, 1, SURE).evidence < found(late, 36, SURE).evidence / 100


def test_a_version_that_was_better_than_promised_for_a_while_does_not_ring_when_it_is_as_promised() -> None:
    assert not found(np.r_[exponential(1, 10_000, 0.6), exponential(2, 5_000)], 30, SURE).risen


def test_one_row_however_bad_neither_rings_nor_hides_the_others() -> None:
    assert not found(np.r_[exponential(1, 1_000), 1e9], 4, SURE).risen


def test_an_uncertain_holdout_needs_more() -> None:
    losses = exponential(1, 3_000, 1.15)
    evidences = [found(losses, 6, ExpectedLoss(0.5, error)).evidence for error in (0.001, 0.01, 0.05)]
    assert evidences == sorted(evidences, reverse=True)
    assert evidences[0] > STABLE_YEARS > evidences[2]


def test_rows_that_repeat_each_other_count_as_one_where_their_group_says_so() -> None:
    losses = exponential(4, 500, 1.25)
    many = np.repeat(losses, 10)
    apart, together = found(many, 1, SURE), found(many, 1, SURE, groups=np.repeat(np.arange(500), 10))
    assert apart.risen
    assert together.evidence < 3 * found(losses, 1, SURE).evidence
    assert together.evidence < apart.evidence / 100


@pytest.mark.parametrize("seed", [6, 7])
def test_weeks_that_differ_make_a_dated_table_need_more(seed: int) -> None:
    draw = np.random.default_rng(seed)
    losses = exponential(seed, 15_000) * np.repeat(draw.normal(1.15, 0.1, 30), 500)
    dated, alike = (found(one, 30, SURE, dated=True) for one in (losses, draw.permutation(losses)))
    assert math.log(dated.evidence) < math.log(alike.evidence) / 2


@pytest.mark.parametrize(("windows", "parts", "rings"), [(1, 7, False), (2, 7, False), (3, 7, True), (8, 1, True)])
def test_a_dated_table_rings_once_windows_and_their_parts_show_how_they_differ(
    windows: int, parts: int, rings: bool
) -> None:
    losses = exponential(1, 500 * windows, 2.0)
    place = np.arange(len(losses)) * windows * parts // len(losses)
    one = loss_sums(losses, SURE, place // parts, place, dated=True)
    assert look(SURE, one, 52).risen == rings
    assert look(SURE, replace(one, dated=False), 52).risen


@pytest.mark.parametrize(("differing", "last", "ring"), [(0.025, 0.18, range(1)), (0.0, 0.3, range(5, 9))])
def test_one_worse_week_after_others_is_judged_by_how_much_weeks_differ(
    differing: float, last: float, ring: range
) -> None:
    """The days of one week do not show how much weeks differ, and those of few weeks show too little of it."""
    found = 0
    for seed in range(8):
        draw = np.random.default_rng(seed)
        weeks = np.r_[draw.permutation(np.linspace(-1.7, 1.7, 20)) * differing, last]
        losses = 0.5 + np.repeat(weeks, 500) + draw.normal(0, 0.4, 21 * 500)
        at = np.arange(len(losses))
        one = loss_sums(losses, SURE, at // 500, at * 7 // 500, dated=True)
        found += look(SURE, one, 52).risen
    assert found in ring


def test_weeks_whose_rows_have_no_weight_tell_nothing_of_how_weeks_differ() -> None:
    losses = exponential(1, 4_000, 2.0)
    window = np.arange(4_000) // 500
    weight = np.where(np.isin(window, (0, 5)), 0.0, 1.0)
    one = loss_sums(losses, SURE, window, np.arange(4_000) * 7 // 500, dated=True, weight=weight)
    assert look(SURE, one, 52).risen


def test_weights_count_by_their_ratio() -> None:
    losses = exponential(1, 1_000, 1.2)
    assert found(losses, weight=np.full(1_000, 7.0)).evidence == found(losses).evidence
    heavy = np.where(losses > 1, 3.0, 1.0)
    assert found(losses, weight=heavy).loss == pytest.approx(np.average(losses, weights=heavy))
    assert found(losses, weight=heavy).evidence > found(losses).evidence


def test_the_audits_shapes_are_scored_by_metrics_that_there_are() -> None:
    assert {shape.metric for shape in alarms.SHAPES} <= {one for task in metrics.METRICS.values() for one in task}
