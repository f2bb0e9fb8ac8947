from __future__ import annotations

import numpy as np
import pytest

from treadle.tasks import gate
from treadle.tasks.gate import GateSpec, Judged
from treadle.tasks.leakage import Leak

SPEC = GateSpec()


def world(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the log odds behind them."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(size=rows) * 1.5
    return (draw.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32), odds


def model(odds: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Probabilities of a model that sees the odds through noise."""
    draw = np.random.default_rng([seed, 1])  # another stream than the world's
    return 1 / (1 + np.exp(-(odds + noise * draw.normal(size=len(odds)))))


def judged(y: np.ndarray, challenger: np.ndarray, champion: np.ndarray, **more: object) -> Judged:
    return Judged("binary", "roc_auc", y, challenger, champion, **{"champion_name": "version 1", **more})  # type: ignore[arg-type]


def test_the_first_model_need_only_beat_the_dummy() -> None:
    y, odds = world(300, 0)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 1, 1), np.full(300, y.mean()), champion_name="dummy"))
    assert verdict.decision == "PROMOTE"
    assert verdict.headline.startswith("better than the dummy predictor: roc_auc 0.")
    assert verdict.champion_value == 0.5


def test_shuffled_labels_are_never_promoted_whoever_is_in_the_chair() -> None:
    for seed in range(25):
        y, odds = world(100 + 40 * seed, seed)
        shuffled = np.random.default_rng(seed).permutation(y)
        for champion, name in ((np.full(len(y), 0.5), "dummy"), (model(odds, 1, seed + 1_000), "version 1")):
            verdict = gate.decide_verdict(SPEC, judged(shuffled, model(odds, 1, seed), champion, champion_name=name))
            assert verdict.decision != "PROMOTE"


def test_what_may_be_luck_is_not_promoted_and_says_so() -> None:
    y, odds = world(60, 2)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 2.5, 1), np.full(60, 0.5), champion_name="dummy"))
    assert verdict.lower > verdict.margin
    assert verdict.luck > gate.LUCK
    assert verdict.decision == "NOT_COMPARABLE"
    assert any("predictions that say nothing" in reason for reason in verdict.reasons)
    assert "by luck" in verdict.headline


def test_a_gain_that_is_sure_but_small_is_no_reason_for_another_champion() -> None:
    y, odds = world(40_000, 3)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 0.97, 1), model(odds, 1.04, 2)))
    assert 0 < verdict.lower < verdict.gain < verdict.least == verdict.detect / 2
    assert verdict.detect == pytest.approx(gate.DETECT_SHARE * (1 - verdict.champion_value))
    assert verdict.decision == "KEEP"
    assert verdict.headline.startswith(f"better than version 1, but by less than {verdict.least:.4g}: roc_auc")


def test_rows_that_the_champion_knows_only_say_how_many_new_ones_it_takes() -> None:
    y, odds = world(1_000, 4)
    of = judged(
        y, model(odds, 0.1, 1), model(odds, 2, 2), unseen=12, why_left_out=("988 holdout rows do not judge: ...",)
    )
    verdict = gate.decide_verdict(GateSpec(slices=("shop",)), of)
    assert verdict.decision == "NOT_COMPARABLE"
    assert verdict.headline.startswith("only 12 of 1,000 holdout rows are new to both the challenger and version 1")
    assert verdict.rows_needed is not None
    assert f"about {verdict.rows_needed:,} would do" in verdict.headline
    assert np.isfinite(verdict.value)
    assert np.isnan([verdict.champion_value, verdict.gain, verdict.lower, verdict.upper]).all()
    assert verdict.reasons[0].startswith("988 holdout rows")
    assert gate.decide_verdict(SPEC, of, leaks=[Leak(("refund",), 1.0, "AUC")]).decision == "REFUSED"


ENOUGH = {
    "fifty rows": ("binary", np.arange(50) % 2, True),
    "one less": ("binary", np.arange(49) % 2, False),
    "four of a class": ("binary", (np.arange(500) < 4).astype(int), False),
    "regression": ("regression", np.arange(50.0), True),
    "none": ("multiclass", np.array([]), False),
}


@pytest.mark.parametrize("case", ENOUGH)
def test_a_champion_is_compared_on_enough_rows_only(case: str) -> None:
    task, y, enough = ENOUGH[case]
    assert gate.enough(task, y) is enough


def test_challengers_that_differ_by_chance_are_rarely_promoted() -> None:
    promoted = 0
    for seed in range(60):
        y, odds = world(1_000, seed)
        verdict = gate.decide_verdict(
            SPEC, judged(y, model(odds, 1, 2 * seed), model(odds, 1, 2 * seed + 1)), seed=seed
        )
        promoted += verdict.decision == "PROMOTE"
    assert promoted <= 8  # of 60 at alpha 0.05: more with probability 0.3%


def test_a_planted_gain_is_found() -> None:
    found = 0
    for seed in range(6):
        y, odds = world(20_000, seed)
        verdict = gate.decide_verdict(
            SPEC, judged(y, model(odds, 1.0, 3 * seed), model(odds, 1.25, 3 * seed + 1)), seed=seed
        )
        assert 0.01 < verdict.gain < 0.035
        found += verdict.decision == "PROMOTE"
    assert found == 6


@pytest.mark.parametrize("rows", [60, 400, 2_000])
def test_two_models_swapped_never_promote_both_ways(rows: int) -> None:
    for seed in range(10):
        y, odds = world(rows, seed)
        a, b = model(odds, 0.5, seed), model(odds, 1.5, seed + 100)
        decisions = [gate.decide_verdict(SPEC, judged(y, *pair)).decision for pair in ((a, b), (b, a))]
        assert decisions.count("PROMOTE") <= 1


def test_few_rows_cannot_tell_and_say_how_many_could() -> None:
    y, odds = world(150, 3)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 1, 1), model(odds, 1, 2)))
    assert verdict.decision == "NOT_COMPARABLE"
    assert verdict.power < gate.POWER
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 150
    assert f"{verdict.rows_needed:,}" in verdict.headline
    y, odds = world(verdict.rows_needed * 2, 4)
    assert gate.decide_verdict(SPEC, judged(y, model(odds, 1, 1), model(odds, 1, 2))).power > gate.POWER


def test_the_same_model_again_is_kept_out_however_few_the_rows() -> None:
    y, odds = world(5_000, 5)
    p = model(odds, 1, 1)
    verdict = gate.decide_verdict(SPEC, judged(y, p, p))
    assert (verdict.decision, verdict.gain, verdict.lower) == ("KEEP", 0, 0)
    assert "version 1 stays champion" in verdict.headline
    assert verdict.reasons[1] == "the two score alike whichever of these 5,000 rows are drawn"
    assert verdict.power == 0


def test_a_gain_that_is_too_small_is_kept_out() -> None:
    y, odds = world(20_000, 6)
    pair = (model(odds, 0.9, 1), model(odds, 1.1, 2))
    assert gate.decide_verdict(SPEC, judged(y, *pair)).decision == "PROMOTE"
    assert gate.decide_verdict(GateSpec(min_gain=0.05), judged(y, *pair)).decision == "KEEP"


@pytest.mark.parametrize(("spec", "share"), [(SPEC, gate.DETECT_SHARE), (GateSpec(detect=0.02), 0.02)])
def test_detect_is_a_share_of_the_champions_error(spec: GateSpec, share: float) -> None:
    draw = np.random.default_rng(7)
    y = draw.normal(size=3_000) * 50
    close, far = y + draw.normal(size=3_000) * 10, y + draw.normal(size=3_000) * 20
    verdict = gate.decide_verdict(spec, Judged("regression", "rmse", y, close, far, "version 4"))
    assert verdict.decision == "PROMOTE"
    assert verdict.gain == pytest.approx(10, rel=0.1)
    assert verdict.least == pytest.approx(share / 2 * verdict.champion_value)


def test_figures_of_a_large_target_are_written_out() -> None:
    draw = np.random.default_rng(7)
    y = draw.normal(size=3_000) * 50_000
    close, far = y + draw.normal(size=3_000) * 10_000, y + draw.normal(size=3_000) * 20_000
    verdict = gate.decide_verdict(SPEC, Judged("regression", "rmse", y, close, far, "version 4"))
    assert f"rmse {verdict.value:,.0f} against {verdict.champion_value:,.0f}" in verdict.headline
    assert not any("e+0" in reason for reason in verdict.reasons)


REFUSALS = {
    "a leak names the column": ({"leaks": [Leak(("refund",), 1.0, "AUC")]}, "column 'refund' alone gives the target"),
    "a pair that leaks": ({"leaks": [Leak(("a", "b"), 0.9995, "R²")]}, "columns 'a' and 'b' together give the target"),
    "a check that could not be made": ({"broken": ["parity: 3 rows differ"]}, "parity: 3 rows differ"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_better_model_is_refused_all_the_same(case: str) -> None:
    more, sentence = REFUSALS[case]
    y, odds = world(2_000, 8)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 0.1, 1), model(odds, 2, 2)), **more)  # type: ignore[arg-type]
    assert verdict.decision == "REFUSED"
    assert sentence in verdict.headline
    assert sentence in verdict.reasons[0]


def test_one_class_in_the_holdout_is_refused() -> None:
    verdict = gate.decide_verdict(SPEC, judged(np.ones(500), np.full(500, 0.7), np.full(500, 0.6)))
    assert verdict.decision == "REFUSED"
    assert "one class only" in verdict.headline


def regional(rows: int, hurt: float) -> Judged:
    """A challenger that is better everywhere but in the north, where it is worse by as much noise as `hurt`."""
    y, odds = world(rows, 9)
    region = np.random.default_rng(10).choice(["north", "south", "east", "tiny"], rows, p=[0.2, 0.39, 0.4, 0.01])
    north = region == "north"
    challenger = np.where(north, model(odds, hurt, 1), model(odds, 0.2, 2))
    return judged(y, challenger, model(odds, 1.2, 3), slices={"region": region.astype(object)})


def test_a_slice_that_surely_lost_refuses_a_better_model() -> None:
    verdict = gate.decide_verdict(SPEC, regional(8_000, hurt=6))
    assert verdict.gain > 0
    assert verdict.decision == "REFUSED"
    assert "worse where region is 'north'" in verdict.headline


def test_a_slice_that_may_have_lost_nothing_does_not() -> None:
    verdict = gate.decide_verdict(SPEC, regional(8_000, hurt=1.3))
    assert verdict.decision == "PROMOTE"
    assert {one.value for one in verdict.slices} == {"north", "south", "east"}


def test_slices_of_chance_refuse_rarely_however_many_there_are() -> None:
    refused = 0
    for seed in range(20):
        y, odds = world(2_500, seed)
        shop = np.random.default_rng(seed).integers(0, 8, 2_500).astype(str).astype(object)
        of = judged(y, model(odds, 1, 5 * seed), model(odds, 1, 5 * seed + 1), slices={"shop": shop})
        refused += gate.decide_verdict(SPEC, of, seed=seed).decision == "REFUSED"
    assert refused <= 4  # of 20 at alpha 0.05: more with probability 0.3%


def test_a_slice_that_cannot_be_watched_refuses_but_not_a_first_model() -> None:
    y, odds = world(2_000, 11)
    pair = (model(odds, 0.1, 1), model(odds, 2, 2))
    verdict = gate.decide_verdict(GateSpec(slices=("shop",)), judged(y, *pair))
    assert verdict.decision == "REFUSED"
    assert "slices of 'shop' cannot be watched" in verdict.headline
    assert (
        gate.decide_verdict(GateSpec(slices=("shop",)), judged(y, *pair, champion_name="dummy")).decision == "PROMOTE"
    )


def test_a_challenger_that_is_surely_worse_is_kept_out_however_few_the_rows() -> None:
    y, odds = world(200, 12)
    verdict = gate.decide_verdict(SPEC, judged(y, model(odds, 20, 1), model(odds, 0.2, 2)))
    assert verdict.power < gate.POWER
    assert verdict.decision == "KEEP"


def test_missing_answers_refuse_and_the_verdict_survives_json() -> None:
    y, odds = world(300, 13)
    silent = model(odds, 1, 1)
    silent[:3] = np.nan
    verdict = gate.decide_verdict(SPEC, Judged("binary", "log_loss", y, silent, model(odds, 2, 2), "version 1"))
    assert verdict.decision == "REFUSED"
    assert verdict.headline.startswith("the challenger gave no number for 3 of 300 holdout rows")
    assert np.isnan(gate.Verdict.model_validate_json(verdict.model_dump_json()).gain)


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({}, []),
        ({"max_model_mb": 2.0, "max_ms_per_1000_rows": 30.0}, []),
        ({"max_model_mb": 1.9}, ["2 MB"]),
        ({"max_model_mb": 1.9, "max_ms_per_1000_rows": 12.5}, ["2 MB", "30 ms"]),
    ],
)
def test_limits_are_broken_only_beyond_what_they_name(limits: dict[str, float], broken: list[str]) -> None:
    said = list(gate.over_limits(GateSpec(**limits), gate.Cost(model_mb=2.0, ms_per_1000_rows=30.0)))
    assert len(said) == len(broken)
    assert all(figure in sentence for figure, sentence in zip(broken, said, strict=True))
