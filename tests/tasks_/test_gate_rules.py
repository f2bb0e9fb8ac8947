"""Rules of the gate: luck, looks, bases of a promotion, thresholds, few units, and what a whole gate costs."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.audit import gate as audit
from treadle.tasks import gate, metrics
from treadle.tasks.gate import GateSpec, GivenAway, Judged, PastVerdict
from treadle.tasks.gate.luck import PERMUTATIONS, luck
from treadle.tasks.gate.measure import share_of_alpha
from treadle.tasks.search.course import called

SPEC = GateSpec()


@pytest.mark.parametrize("metric", [name for names in metrics.METRICS.values() for name in names])
def test_luck_is_the_share_of_all_orders_that_score_as_well(metric: str) -> None:
    task = next(task for task, names in metrics.METRICS.items() if metric in names)
    draw = np.random.default_rng(1)
    if task == "regression":
        y, p = draw.normal(size=6), draw.normal(size=6)
        p[:4] += 1.5 * y[:4]
    elif task == "multiclass":
        y, p = np.array([0.0, 1, 2, 0, 1, 2]), draw.dirichlet(np.ones(3), 6) + 0.5 * np.eye(3)[[0, 1, 2, 0, 1, 0]]
        p /= p.sum(axis=1, keepdims=True)
    else:
        y, p = np.array([0.0, 0, 1, 0, 1, 1]), np.array([0.1, 0.3, 0.4, 0.6, 0.6, 0.8])
    values = np.array([metrics.metric_value(task, metric, np.array(one), p) for one in itertools.permutations(y)])
    actual = metrics.metric_value(task, metric, y, p)
    as_good = values >= actual - 1e-12 if metrics.greater_is_better(metric) else values <= actual + 1e-12
    found = [luck(Judged(task, metric, y, p, p, "dummy"), seed) for seed in range(12)]
    # each stops after about 20 orders that score as well, or 9,999
    assert np.mean(found) == pytest.approx(as_good.mean(), rel=0.25, abs=0.05)
    assert min(found) >= 1 / (PERMUTATIONS + 1)


def test_luck_of_dependent_rows_is_a_bound_over_the_dummy() -> None:
    draw = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 40)
    y = (draw.random(1_200) < 0.3).astype(np.float64)
    noise = np.clip(0.5 + 0.2 * draw.normal(size=30)[groups], 0.01, 0.99)
    of = Judged("binary", "roc_auc", y, noise, noise, "version 1", groups=groups)
    assert luck(of, 0) > gate.LUCK
    assert luck(replace(of, challenger=np.clip(noise + 0.2 * y, 0, 1)), 0) <= gate.LUCK


def test_all_looks_at_one_holdout_and_any_twenty_at_others_spend_less_than_alpha() -> None:
    shares = [share_of_alpha(look) for look in range(1, 100_000)]
    assert sum(shares) < 1
    assert max(shares) * 20 <= 1
    assert (np.diff(shares) <= 0).all()


@pytest.mark.parametrize("renewed", [0.0, 0.05, 1.0])
def test_twenty_equal_challengers_rarely_bring_a_promotion(renewed: float) -> None:
    assert audit.ever_promoted(renewed, 15, seed=7) <= 4 / 15  # at 5% more than 4 of 15 with probability 0.1%


def test_a_later_look_must_show_more() -> None:
    draw = np.random.default_rng(3)
    world = audit.pair(draw, (0.95 * draw.normal(size=20_000), draw.normal(size=20_000)))
    first, hundredth = (gate.decide_verdict(SPEC, world, looks=looks) for looks in (1, 100))
    assert first.lower == hundredth.lower
    assert first.charged_lower > hundredth.charged_lower
    assert first.power > hundredth.power
    assert any(reason.startswith("comparison 100 on (nearly) these rows") for reason in hundredth.reasons)


@pytest.mark.parametrize("name", ["20 unequal groups", "30 groups of 133", "60 days that last (.8)"])
def test_equal_challengers_on_dependent_rows_are_rarely_promoted(name: str) -> None:
    # the whole gate errs in under 1%: more than 2 of 60 with probability 2%; row by row it would in 8 to 18%
    assert audit.promoted(audit.equal_worlds()[name], 60, seed=11) <= 2 / 60


@pytest.mark.parametrize("name", audit.better_worlds())
def test_a_gain_of_detect_is_found_where_the_rows_can_show_it(name: str) -> None:
    assert audit.missed(audit.better_worlds()[name], 6, seed=12) <= 4 / 6  # at 20% more with probability 0.2%


@pytest.mark.parametrize("name", audit.worse_worlds())
def test_what_is_worse_by_the_margin_is_rarely_fresh(name: str) -> None:
    assert audit.promoted(audit.worse_worlds()[name], 60, seed=13) <= 8 / 60


def dated(scale: float, **more: object) -> Judged:
    times = np.repeat(np.arange(100), 100)
    one = audit.errors(np.random.default_rng(4), 10_000, scale, None, 0.9)
    return replace(one, times=times, **more)  # type: ignore[arg-type]


FRESH = {
    "as good and newer": (SPEC, dated(1.0, newer=True), "fresh"),
    "as good but not newer": (SPEC, dated(1.0), ""),
    "switched off": (GateSpec(fresh=False), dated(1.0, newer=True), ""),
    "rows without a date": (SPEC, replace(dated(1.0, newer=True), times=None), ""),
    "asked for without a date": (GateSpec(fresh=True), replace(dated(1.0, newer=True), times=None), "fresh"),
    "better anyway": (SPEC, dated(0.9, newer=True), "better"),
    "worse by more than the margin": (SPEC, dated(1.06, newer=True), ""),
    "the chain has used the margin up": (SPEC, dated(1.0, newer=True, spent=GivenAway(0.04, 0.0)), ""),
    "the chain is not sure of what it lost": (SPEC, dated(1.0, newer=True, spent=GivenAway(0.0, 0.02)), ""),
}


@pytest.mark.parametrize("case", FRESH)
def test_a_newer_model_that_is_no_worse_is_promoted_as_fresh(case: str) -> None:
    spec, of, basis = FRESH[case]
    verdict = gate.decide_verdict(spec, of)
    assert verdict.basis == basis
    assert (verdict.decision == "PROMOTE") is bool(basis)
    if basis == "fresh":
        assert verdict.headline.startswith("trained on newer rows, and not worse than version 1 by more than")


def test_a_chain_is_followed_back_to_the_last_better_version() -> None:
    past = {
        2: PastVerdict("better", "mae", 0.5, 0.1, 1),
        3: PastVerdict("fresh", "mae", -0.2, 0.3, 2),
        4: PastVerdict("", "mae", 0.0, 0.1, 3),
        5: PastVerdict("fresh", "mae", -0.1, 0.4, 3),
        6: PastVerdict("fresh", "mae", 0.9, 0.0, 5),
    }
    found = gate.given_away(past, 5, "mae")
    assert (found.loss, found.error) == (pytest.approx(0.3), pytest.approx(0.5))
    assert gate.given_away(past, 6, "mae").loss == 0
    assert gate.given_away(past, 2, "mae") == gate.given_away(past, None, "mae") == GivenAway()
    assert gate.given_away(past, 5, "rmse") == GivenAway()
    assert gate.given_away({3: PastVerdict("fresh", "mae", -1.0, 0.0, 3)}, 3, "mae").loss == 1


def test_a_small_gain_over_a_champion_that_has_decayed_does_not_clear_what_is_owed() -> None:
    past = {
        1: PastVerdict("better", "mae", 5.0, 1.0, None),
        2: PastVerdict("fresh", "mae", -0.9, 0.1, 1),
        3: PastVerdict("better", "mae", 0.5, 0.1, 2),
        4: PastVerdict("fresh", "mae", -0.3, 0.1, 3),
        5: PastVerdict("better", "mae", 0.8, 0.1, 4),
    }
    assert gate.given_away(past, 3, "mae").loss == pytest.approx(0.4)
    assert gate.given_away(past, 4, "mae").loss == pytest.approx(0.7)
    assert gate.given_away(past, 5, "mae") == GivenAway()


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1_macro"])
@pytest.mark.parametrize("rarest", [1, 2, 3, 9])
def test_a_class_of_a_few_rows_tells_no_two_models_apart(metric: str, rarest: int) -> None:
    draw = np.random.default_rng(rarest)
    y = np.repeat([0.0, 1.0, 2.0], [600, 400 - rarest, rarest])
    p = draw.dirichlet(np.ones(3), 1_000)
    better = 0.5 * p + 0.5 * np.eye(3)[y.astype(int)]
    verdict = gate.decide_verdict(GateSpec(), Judged("multiclass", metric, y, better, p, "version 1"))
    assert verdict.decision == "NOT_COMPARABLE"
    assert f"{rarest} rows of the rarest class are too few to measure {metric}" in verdict.headline


FEW = {
    "19 groups": ({"groups": np.repeat(np.arange(19), 50)}, "the rows fall into 19 groups"),
    "9 days": ({"times": np.arange(950) % 9}, "the rows fall into"),
}


@pytest.mark.parametrize("case", FEW)
def test_on_few_units_a_challenger_is_not_compared_but_a_first_model_may_be_promoted(case: str) -> None:
    more, words = FEW[case]
    draw = np.random.default_rng(5)
    better = audit.pair(draw, (0.1 * draw.normal(size=950), 2 * draw.normal(size=950)), **more)  # type: ignore[arg-type]
    verdict = gate.decide_verdict(SPEC, better)
    assert verdict.decision == "NOT_COMPARABLE"
    assert words in verdict.headline
    assert verdict.rows_needed is not None
    assert f"about {verdict.rows_needed:,} would do" in verdict.headline
    first = replace(better, champion=np.full(950, better.y.mean()), champion_name="dummy")
    verdict = gate.decide_verdict(SPEC, first)
    assert verdict.decision == "PROMOTE"
    assert "within which rows depend on each other: two models are compared on" in verdict.headline


def test_one_group_only_still_gets_a_first_model() -> None:
    draw = np.random.default_rng(6)
    one = audit.pair(draw, (0.1 * draw.normal(size=400), draw.normal(size=400)), groups=np.zeros(400))
    first = replace(one, champion=np.full(400, one.y.mean()), champion_name="dummy")
    assert gate.decide_verdict(SPEC, first).decision == "PROMOTE"


def test_four_positives_say_nothing_of_a_ranking() -> None:
    y = (np.arange(2_000) < 4).astype(np.float64)
    verdict = gate.decide_verdict(SPEC, Judged("binary", "roc_auc", y, 0.1 + 0.8 * y, np.full(2_000, 0.5), "dummy"))
    assert verdict.decision == "NOT_COMPARABLE"
    assert verdict.headline.startswith("4 positive rows are too few to measure roc_auc by")


def test_a_gain_near_perfection_is_a_large_share_of_what_is_left() -> None:
    verdict = gate.decide_verdict(SPEC, audit.near_perfect(np.random.default_rng(7)))
    assert 0.98 < verdict.champion_value < 0.99 < verdict.value
    assert 0.004 < verdict.gain < 0.01
    assert (verdict.decision, verdict.basis) == ("PROMOTE", "better")
    assert gate.decide_verdict(GateSpec(detect=0.02), audit.near_perfect(np.random.default_rng(7))).decision == "KEEP"


def test_answers_are_judged_at_the_threshold_that_predictions_carry() -> None:
    draw = np.random.default_rng(8)
    y = (draw.random(4_000) < 0.1).astype(np.float64)
    p = np.clip(0.05 + 0.2 * y + 0.05 * draw.normal(size=4_000), 0, 1)
    flat = np.clip(0.05 + 0.1 * y + 0.05 * draw.normal(size=4_000), 0, 1)
    of = Judged("binary", "f1", y, p, flat, "version 1", challenger_threshold=0.15, champion_threshold=0.1)
    verdict = gate.decide_verdict(SPEC, of)
    assert verdict.value == pytest.approx(metrics.metric_value("binary", "f1", y, (p >= 0.15).astype(float)))
    assert verdict.champion_value == pytest.approx(metrics.metric_value("binary", "f1", y, (flat >= 0.1).astype(float)))
    assert verdict.decision == "PROMOTE"


def test_a_search_by_answers_uses_a_threshold_that_has_not_seen_them() -> None:
    draw = np.random.default_rng(9)
    y = (draw.random(600) < 0.2).astype(np.float64)
    useful, noise = np.clip(0.1 + 0.3 * y + 0.05 * draw.normal(size=600), 0, 1), draw.random(600)
    labels = [y[:200], y[200:]]
    given = called(labels, [useful[:200], useful[200:]])
    assert [len(one) for one in given] == [200, 400]
    assert metrics.metric_value("binary", "f1", y, np.concatenate(given)) > 0.95
    wrong = called(labels, [noise[:200], noise[200:]])
    assert metrics.metric_value("binary", "f1", y, np.concatenate(wrong)) < 0.4


def test_verdicts_of_earlier_versions_are_read() -> None:
    old = (
        '{"decision":"KEEP","headline":"h","reasons":[],"metric":"roc_auc","value":0.8,"champion_value":0.8,'
        '"gain":0.0,"lower":"NaN","upper":0.1,"power":0.2,"rows":100,"rows_needed":null,"slices":[],'
        '"margin":0.005,"least":0.01,"luck":1.0}'
    )
    verdict = gate.Verdict.model_validate_json(old)
    assert (verdict.basis, verdict.looks) == ("", 1)
    assert gate.Verdict.model_validate_json(verdict.model_dump_json()).decision == "KEEP"


@pytest.mark.parametrize("dependent", [False, True])
def test_a_gate_on_a_million_rows_takes_seconds(dependent: bool) -> None:
    draw = np.random.default_rng(10)
    more = {"groups": draw.integers(0, 100_000, 1_000_000), "times": np.arange(1_000_000)} if dependent else {}
    world = audit.pair(draw, (0.8 * draw.normal(size=1_000_000), draw.normal(size=1_000_000)), **more)  # type: ignore[arg-type]
    began = time.process_time()
    assert gate.decide_verdict(SPEC, world).decision == "PROMOTE"
    assert time.process_time() - began < 10
