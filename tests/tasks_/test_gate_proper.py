from __future__ import annotations

import numpy as np
import pytest

from tests.audit import slices as worlds
from treadle.tasks import gate
from treadle.tasks.gate import GateSpec, Judged, proper, words

SPEC = GateSpec()


def too_sure(seed: int, count: int = 3_000) -> Judged:
    """A first model that ranks well and is far too sure of it."""
    return worlds.as_honest(np.random.default_rng(seed), count, 0.3, too_sure=2.0)


def test_a_first_model_that_ranks_well_but_is_surely_less_honest_than_the_dummy_is_refused() -> None:
    for seed in range(5):
        verdict = gate.decide_verdict(SPEC, too_sure(seed))
        assert verdict.lower > verdict.margin
        assert verdict.decision == "REFUSED"
        assert "worse than the dummy predictor by a proper score: log_loss" in verdict.headline


@pytest.mark.parametrize(("count", "rate"), [(1_000, 0.3), (4_000, 0.02), (10_000, 0.002)])
def test_a_first_model_as_honest_as_the_dummy_is_rarely_refused(count: int, rate: float) -> None:
    share = worlds.refused_by_score(lambda draw: worlds.as_honest(draw, count, rate), 60, seed=9)
    assert share * 60 <= 8  # of 60 at 5%: more with probability 0.3%


def test_a_challenger_is_not_refused_for_it_but_the_verdict_says_it() -> None:
    first = too_sure(1)
    of = Judged(
        "binary",
        "roc_auc",
        first.y,
        first.challenger,
        first.challenger[::-1],
        "version 1",
        beside={"dummy": first.champion, "linear": np.clip(first.y, 0.2, 0.8)},
    )
    verdict = gate.decide_verdict(SPEC, of)
    assert verdict.decision == "PROMOTE"
    linear, dummy = verdict.notes
    assert linear.startswith("the linear model is better: log_loss 0.2231 against ")
    assert dummy.startswith("the dummy predictor is better: log_loss ")
    assert all(f"{score} " in linear for score in proper.NAMED["binary"])


def test_a_lead_within_chance_is_called_that() -> None:
    draw = np.random.default_rng(4)
    y = draw.normal(size=500)
    p, q = (y + draw.normal(size=500) for _ in range(2))
    of = Judged("regression", "rmse", y, p, np.zeros(500), "version 1", beside={"linear": q})
    swapped = Judged("regression", "rmse", y, q, np.zeros(500), "version 1", beside={"linear": p})
    notes = [*proper.better_beside(SPEC, of), *proper.better_beside(SPEC, swapped)]
    assert notes
    assert all("which may be chance" in note for note in notes)


def test_power_is_not_said_of_a_gain_that_was_shown() -> None:
    draw = np.random.default_rng(5)
    odds = 1.5 * draw.normal(size=2_000)
    y = (draw.random(2_000) < worlds.sigmoid(odds)).astype(float)
    shown = gate.decide_verdict(
        SPEC, Judged("binary", "roc_auc", y, worlds.sigmoid(odds), np.full(2_000, 0.5), "dummy")
    )
    p, q = (worlds.sigmoid(odds + draw.normal(size=2_000)) for _ in range(2))
    unclear = gate.decide_verdict(SPEC, Judged("binary", "roc_auc", y, p, q, "version 1"))
    assert (shown.decision, unclear.decision) == ("PROMOTE", "NOT_COMPARABLE")
    assert any("would show a gain of" in reason for reason in unclear.reasons)
    assert not any("would show a gain of" in reason for reason in shown.reasons)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("roc_auc", 0.57789, 0.577, 0.00089), "roc_auc 0.57789 against 0.57700 (gain +0.00089)"),
        (("roc_auc", 0.7249, 0.5, 0.2249), "roc_auc 0.7249 against 0.5000 (gain +0.2249)"),
        (("roc_auc", 0.98571, 0.98571, 0.0), "roc_auc 0.9857 against 0.9857 (no difference)"),
        (("rmse", 21_695.4, 21_480.1, -215.3), "rmse 21,695 against 21,480 (gain -215)"),
        (("log_loss", 0.571, 0.575, 0.004), "log_loss 0.5710 against 0.5750 (gain +0.0040)"),
        (("rmse", float("nan"), 1.0, float("nan")), "rmse n/a against 1.0000"),
    ],
)
def test_two_values_and_their_gain_have_equal_decimals_and_one_sign(
    values: tuple[str, float, float, float], text: str
) -> None:
    assert words.compared(*values) == text


def test_differences_of_a_sentence_have_equal_decimals() -> None:
    assert words.differences(0.0371, -0.0007, 0.0) == ("+0.0371", "-0.0007", "0")
    assert words.differences(12.3, -0.5) == ("+12.30", "-0.50")
    assert words.difference(-2e-9) == "-2e-09"
    assert words.beside([0.729, 1.0]) == ("0.7290", "1.0000")
    assert words.beside([0.57789, 0.577, float("nan")]) == ("0.57789", "0.57700", "n/a")
