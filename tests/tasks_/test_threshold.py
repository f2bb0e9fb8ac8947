"""How a threshold is declared and chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from tests.tasks_.test_refit import SPLITS, config, schema, table
from treadle.tasks import fitting, lanes, postprocess, refit, training
from treadle.tasks.config.spec import ScoreSpec
from treadle.tasks.dataset import split
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found, TuneSpec
from treadle.tasks.threshold import (
    MistakeCosts,
    ThresholdKeys,
    ThresholdRule,
    choose_threshold,
    newest_half,
    threshold_rule,
)

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.booleans()), min_size=2, max_size=40)


def world(rows: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and labels drawn by them, so that `share` of the rows is positive on average."""
    draw = np.random.default_rng(seed)
    p = draw.beta(share * 2, (1 - share) * 2, rows)
    return p, (draw.random(rows) < p).astype(float)


METRICS = {
    "f1": lambda y, called: f1_score(y, called, zero_division=0),
    "f1_macro": lambda y, called: f1_score(y, called, average="macro", labels=[0, 1], zero_division=0),
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
}


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_no_other_threshold_has_a_better_value_of_the_metric_that_chooses_it(metric, rows):
    p, y = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=float)
    if metric == "balanced_accuracy" and len(set(y)) < 2:
        return
    cut = choose_threshold(ThresholdRule(by=metric), p, y)
    values = [METRICS[metric](y, p >= one) for one in (*p, 1.1)]
    assert METRICS[metric](y, p >= cut) == pytest.approx(max(values))


@pytest.mark.parametrize("by", ["positives", "share", *METRICS])
@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_threshold_of_whole_weights_is_that_of_repeated_rows(by, seed):
    p, y = world(40, 0.3, seed)
    times = np.random.default_rng(seed).integers(1, 5, 40)
    again, rule = np.repeat(np.arange(40), times), ThresholdRule(by=by, value=0.25)
    whole = choose_threshold(rule, p[again], y[again])
    assert choose_threshold(rule, p, y, times / times.mean()) == pytest.approx(whole)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.13, 0.5, 0.9])
def test_by_default_as_many_rows_are_called_positive_as_are(share):
    p, y = world(10_000, share, 1)
    called = p >= choose_threshold(ThresholdRule(), p, y)
    assert called.sum() == y.sum()
    assert (called & (y == 0)).sum() == (~called & (y == 1)).sum(), "misses and false alarms are equally many"


def test_a_share_is_the_quantile_of_the_newest_rows():
    p, y = world(4_000, 0.2, 2)
    newest = np.arange(4_000) >= 3_000
    p[newest] /= 2
    cut = choose_threshold(ThresholdRule(by="share", value=0.1), p, y, newest=newest)
    assert (p[newest] >= cut).sum() == 100
    over_all = choose_threshold(ThresholdRule(by="share", value=0.1), p, y)
    assert (p >= over_all).sum() == 400
    assert cut < over_all
    assert choose_threshold(ThresholdRule(), p, y, newest=newest) == choose_threshold(ThresholdRule(), p, y)


def test_a_declared_cost_costs_no_more_than_other_thresholds_where_probabilities_are_true():
    for seed, (miss, alarm) in enumerate([(5.0, 1.0), (1.0, 1.0), (1.0, 4.0), (50.0, 1.0)]):
        p, y = world(200_000, 0.2, seed)
        cut = choose_threshold(ThresholdRule(by="cost", miss=miss, alarm=alarm), p, y)
        assert cut == pytest.approx(alarm / (alarm + miss))

        def cost(at: float, p=p, y=y, miss=miss, alarm=alarm) -> float:
            return miss * ((p < at) & (y == 1)).mean() + alarm * ((p >= at) & (y == 0)).mean()

        for other in (cut * 0.8, cut + 0.2 * (1 - cut), 0.0, 1.1):
            # a standard error of the difference is at most (miss + alarm) / sqrt(rows)
            assert cost(cut) <= cost(other) + 0.3 * (miss + alarm) / np.sqrt(200_000)


@pytest.mark.parametrize("by", ["positives", "f1", "f1_macro", "accuracy", "share"])
def test_equal_probabilities_are_never_parted_and_rare_positives_not_called_by_all(by):
    p, y = np.full(100, 0.1), np.r_[np.ones(10), np.zeros(90)]
    called = p >= choose_threshold(ThresholdRule(by=by, value=0.1), p, y)
    assert called.all() == (by == "f1"), "F1 of calling none is 0"
    assert called.all() or not called.any()


@pytest.mark.parametrize(
    ("keys", "metric", "words", "declared"),
    [
        (ThresholdKeys(), "roc_auc", "as many as are positive", False),
        (ThresholdKeys(), "f1", "threshold: f1", False),
        (ThresholdKeys(), "accuracy", "threshold: accuracy", False),
        (ThresholdKeys(cost=MistakeCosts(miss=5, alarm=1)), "f1", "cost: miss 5, alarm 1", True),
        (ThresholdKeys(flag=0.1), "f1", "flag: 0.1", True),
        (ThresholdKeys(threshold=0.3), "f1", "threshold: 0.3", True),
        (ThresholdKeys(threshold="f1_macro"), "f1", "threshold: f1_macro", True),
    ],
)
def test_what_score_declares_comes_before_the_metric_that_models_are_judged_by(keys, metric, words, declared):
    rule = threshold_rule(keys, metric)
    assert (rule.words(), rule.declared) == (words, declared)


def test_the_newest_half_is_that_of_the_times_and_needs_rows():
    times = np.random.default_rng(0).permutation(2_000)
    newer = newest_half(times)
    assert newer is not None
    assert times[newer].min() > times[~newer].max()
    assert newer.sum() == 1_000
    assert newest_half(times[:800]) is None
    assert newest_half(np.zeros(5_000)) is None, "all of one time"
    assert newest_half(None) is None


@pytest.mark.parametrize("kind", ["random", "time"])
def test_what_the_config_declares_is_what_both_models_and_the_search_call_positive(kind):
    rows = table("binary", 7_000, seed=3)
    asked = config("binary", kind).model_copy(update={"score": ScoreSpec(flag=0.1), "tune": TuneSpec(metric="f1")})
    problem = training.define(asked, schema("binary"), [False, True])
    parts = split(rows, asked.split, key=("id",), time=asked.data.time, target="y")
    own = len(parts.train) + len(parts.validation)
    found = Found({"eta": 0.3, "max_depth": 2, "nthread": 1}, 5, 0.0, (), 0, 0.0)
    recipe = make_recipe(asked, problem, found, Preparation(), judged_rows=own, rows=len(rows), device="cpu")
    judged = fitting.fit_judged(problem, recipe, parts.open(), SPLITS[kind])
    at = np.flatnonzero(judged.answers.answered)
    if kind == "time":  # the rows come by day
        times = judged.answers.times
        assert times is not None
        at = at[times[at] >= np.sort(times[at])[len(at) // 2]]
        assert 500 <= len(at) < judged.answers.answered.sum()
    p = postprocess.apply_postprocess(judged.model.post, judged.answers.raw[at].astype(np.float32)).p
    # few trees answer alike for many rows, which no threshold parts
    alike = np.unique(p, return_counts=True)[1].max() / len(p)
    assert (p >= judged.model.post.threshold).mean() == pytest.approx(0.1, abs=alike / 2 + 1e-9)
    served = refit.refit(problem, recipe, judged.model, parts, SPLITS[kind])
    assert [one.post.threshold_by for one in (judged.model, served.model)] == ["flag: 0.1"] * 2
    course = lanes.lay_rows(asked, problem, parts.open(), Preparation()).course("cpu", False)
    margins = [np.linspace(-3, 3, len(lane.rows.y)).astype(np.float32) for lane in course.lanes]
    called = np.concatenate(course.answers(margins))
    assert called.mean() == pytest.approx(0.1, abs=0.01), "trials are compared by the labels of the same rule"
