"""Which calibration is taken, that it keeps the ranking, and what an average of boosters would say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import calibration, calibration_maps, postprocess
from treadle.tasks.averaged import expected_average
from treadle.tasks.calibration import choose_calibration, cut_by_time
from treadle.tasks.calibration_maps import Calibration, fit_map

ROWS = 3_000
SEEDS = range(3)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def expit(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-value))


def world(seed: int, rows: int = ROWS, rate: float = -1.0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """True logits and labels that follow them."""
    draw = np.random.default_rng(seed)
    truth = rate + 1.2 * draw.normal(size=rows)
    return truth, (draw.random(rows) < expit(truth)).astype(np.float32), draw


DISTORTED = {
    "too sure": lambda truth: -1 + 2.0 * (truth + 1),
    "not sure enough": lambda truth: -1 + 0.5 * (truth + 1),
    "all too high": lambda truth: truth + 1.0,
    "skewed": lambda truth: np.where(truth > -1, truth, -1 + 2.5 * (truth + 1)),
}


@pytest.mark.parametrize("how", DISTORTED)
def test_what_is_distorted_is_mended_on_other_rows(how: str) -> None:
    for seed in SEEDS:
        truth, y, _ = world(seed)
        raw = expit(DISTORTED[how](truth)).astype(np.float32)
        chosen = choose_calibration("binary", raw, y)
        other, labels, _ = world(seed + 1_000)
        mended = chosen.calibration.of(expit(DISTORTED[how](other)).astype(np.float32))
        ideal = calibration._log_loss(labels.astype(int), expit(other)).mean()
        assert chosen.calibration.method != "none"
        assert calibration._log_loss(labels.astype(int), mended).mean() < ideal + 0.01


def test_what_is_calibrated_is_mostly_left_alone_and_never_made_much_worse() -> None:
    changed = 0
    for seed in range(12):
        truth, y, _ = world(seed)
        chosen = choose_calibration("binary", expit(truth).astype(np.float32), y)
        other, labels, _ = world(seed + 1_000)
        loss = calibration._log_loss(labels.astype(int), chosen.calibration.of(expit(other))).mean()
        assert loss < calibration._log_loss(labels.astype(int), expit(other)).mean() + 0.004
        changed += chosen.calibration.method != "none"
    assert changed <= 10  # three tries of 16% each: at most 0.41 of 12, 11 or more in 0.1%


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_probabilities_of_several_classes_are_mended(method: str) -> None:
    draw = np.random.default_rng(1)
    scores = draw.normal(size=(ROWS, 4)) * 1.5
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    y = np.array([draw.choice(4, p=row) for row in p])
    factor = 2.5 if method == "temperature" else np.array([2.5, 1.0, 0.6, 1.5])
    sharp = np.exp(scores * factor)
    raw = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
    chosen = choose_calibration("multiclass", raw, y)
    mended = chosen.calibration.of(raw)
    assert chosen.calibration.method == method
    assert mended.sum(axis=1) == pytest.approx(1.0)
    assert calibration._log_loss(y, mended).mean() < calibration._log_loss(y, p).mean() + 0.08
    assert calibration._log_loss(y, raw.astype(float)).mean() > calibration._log_loss(y, mended).mean() + 0.05


@settings(max_examples=100, deadline=None)
@given(
    p=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30, unique=True),
    slopes=st.tuples(*[st.floats(*calibration_maps.SLOPES)] * 2),
    shift=st.floats(*calibration_maps.SHIFTS),
)
def test_a_map_of_two_classes_changes_no_ranking_and_reaches_neither_0_nor_1(
    p: list[float], slopes: tuple[float, float], shift: float
) -> None:
    raw = np.sort(np.array(p, dtype=np.float32))
    mapped = Calibration("beta", slopes=slopes, intercepts=(shift,)).of(raw)
    assert (np.diff(mapped) >= 0).all()
    assert mapped.min() > 0
    assert mapped.max() < 1
    apart = (np.diff(mapped) > 0) | (np.abs(logit(mapped[1:])) > 15) | (np.diff(raw) < 1e-7 * raw[1:])
    apart |= raw[1:] <= 2.0**-149  # 0 is taken for the smallest number above it
    assert apart.all()


def test_each_method_finds_the_map_that_made_the_answers() -> None:
    truth = world(5, 40_000)[0]
    for a, b, c in ((0.6, 1.7, 0.4), (1.5, 0.8, -0.5)):
        p = expit(a * np.log(expit(truth)) - b * np.log(expit(-truth)) + c)
        labels = (np.random.default_rng(2).random(len(p)) < p).astype(int)
        fitted = fit_map("binary", "beta", expit(truth), labels, np.ones(len(p)))
        assert (*fitted.slopes, *fitted.intercepts) == pytest.approx((a, b, c), abs=0.15)


def test_rows_of_whole_weight_are_rows_repeated() -> None:
    truth, y, draw = world(3, 2_000)
    raw, times = expit(2 * truth), draw.integers(1, 4, 2_000)
    for method in ("temperature", "beta"):
        weighted = fit_map("binary", method, raw, y, times.astype(float))
        repeated = fit_map("binary", method, np.repeat(raw, times), np.repeat(y, times), np.ones(times.sum()))
        assert weighted.slopes == pytest.approx(repeated.slopes, abs=1e-3)
        assert weighted.intercepts == pytest.approx(repeated.intercepts, abs=1e-3)


def test_the_temperature_turns_around_the_base_rate() -> None:
    truth, y, _ = world(4, 50_000, rate=-3.0)
    found = fit_map("binary", "temperature", expit(-3 + 3 * (truth + 3)), y, np.ones(len(y)))
    assert found.of(expit(-3 + 3 * (truth + 3))).mean() == pytest.approx(y.mean(), abs=0.02)


def test_few_rows_of_a_class_are_not_calibrated() -> None:
    truth, y, _ = world(0, 400)
    few = np.where(np.cumsum(y) <= 49, y, 0).astype(np.float32)
    assert choose_calibration("binary", expit(3 * truth).astype(np.float32), few).calibration.method == "none"


def test_an_offset_that_changes_from_window_to_window_is_not_corrected() -> None:
    corrected = 0
    for seed in range(8):
        truth, _, draw = world(seed)
        windows = np.arange(ROWS) * 6 // ROWS
        y = (draw.random(ROWS) < expit(truth + 0.5 * draw.normal(size=6)[windows])).astype(np.float32)
        chosen = choose_calibration("binary", expit(truth).astype(np.float32), y, windows=windows)
        corrected += chosen.calibration.method != "none"
        assert np.array_equal(chosen.p[windows == 0], expit(truth).astype(np.float32).astype(float)[windows == 0])
    assert corrected <= 5


def test_an_offset_that_stays_is_corrected_and_no_window_knows_a_later_one() -> None:
    for seed in SEEDS:
        truth, _, draw = world(seed)
        windows = np.arange(ROWS) * 6 // ROWS
        y = (draw.random(ROWS) < expit(truth - 1)).astype(np.float32)
        raw = expit(truth).astype(np.float32)
        chosen = choose_calibration("binary", raw, y, windows=windows)
        assert chosen.calibration.method != "none"
        assert abs(chosen.p[windows > 0].mean() - y[windows > 0].mean()) < 0.03
        changed = np.where(windows == 5, 1 - y, y)
        again = choose_calibration("binary", raw, changed, windows=windows)
        if (again.calibration.method, again.age) == (chosen.calibration.method, chosen.age):
            assert np.array_equal(again.p[windows < 5], chosen.p[windows < 5])


def test_groups_are_left_out_whole_and_count_once() -> None:
    noticed = [0, 0]
    for seed in range(8):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 50)
        truth = (-1 + draw.normal(size=60))[groups]
        y = (draw.random(60)[groups] < expit(truth)).astype(np.float32)  # all rows of a group have one label
        raw = expit(truth + 0.05 * draw.normal(size=3_000)).astype(np.float32)
        for known in (0, 1):
            chosen = choose_calibration("binary", raw, y, groups=groups if known else None)
            noticed[known] += chosen.calibration.method != "none"
    assert noticed[1] < noticed[0]
    assert noticed[1] <= 5


@pytest.mark.parametrize("length", [0.0, 30.0, 5_000.0])
def test_windows_of_time_rise_with_it_and_keep_equal_times_together(length: float) -> None:
    times = np.random.default_rng(0).integers(0, 400, 5_000).astype(float)
    found = cut_by_time(times, length)
    order = np.argsort(times, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert all(len(np.unique(found[times == time])) == 1 for time in np.unique(times))
    assert found.max() + 1 == (14 if length == 30 else calibration.WINDOWS)
    assert found.min() == 0


def test_the_average_of_many_is_expected_from_few() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=20_000)
    answers = truth + draw.normal(size=(10, 20_000))  # ten boosters, of which two left a row out
    mean, squares = answers[:2].mean(axis=0), (answers[:2] ** 2).mean(axis=0)
    expected = expected_average(mean, squares, np.full(20_000, 2), 10)
    ideal = np.polyfit(mean, answers[2:].mean(axis=0), 1)[0]
    slope = np.polyfit(mean, expected, 1)[0]
    assert slope == pytest.approx((1 + 1 / 10) / (1 + 1 / 2), abs=0.02)
    assert abs(slope - ideal) < 0.08
    assert np.array_equal(np.argsort(expected), np.argsort(mean))


def test_rows_left_out_once_say_nothing_of_an_average() -> None:
    mean = np.array([0.1, np.nan, 0.3])
    assert np.array_equal(expected_average(mean, mean**2, np.array([1, 0, 1]), 5), mean, equal_nan=True)


def test_a_post_of_several_classes_has_its_map() -> None:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 3_000)
    scores = (np.eye(3)[y] + draw.normal(size=(3_000, 3))) * 4
    raw = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    post = postprocess.fit_postprocess("multiclass", ("a", "b", "c"), y.astype(np.float32), raw)
    assert post.slopes
    p = postprocess.apply_postprocess(post, raw).p
    assert calibration._log_loss(y, p).mean() < calibration._log_loss(y, raw.astype(float)).mean() - 0.05
