"""The gate against planted truth, with real models: few of them in `make test`, hundreds in `make faults`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faults.planted import judged, swapped, train, world

WEAK_COLUMN = "x4"
"""Without it a model loses about two points of AUC."""


def seeds_only(count: int, champion_seed: int) -> int:
    """How many of `count` challengers that differ from the champion only by seed are promoted, on fresh holdouts."""
    rows = world(2_000, 1)
    champion, promoted = train(rows, champion_seed), 0
    for seed in range(count):
        between, verdict = judged(train(rows, 1_000 + seed), champion, world(1_000, 100 + seed), seed)
        assert between.unseen is None
        assert len(between.y) == 1_000
        back = swapped(between, seed)
        assert (verdict.decision, back.decision) != ("PROMOTE", "PROMOTE")
        promoted += verdict.decision == "PROMOTE"
    return promoted


def planted_gain(count: int) -> tuple[int, float]:
    """How many of `count` gains of two points of AUC are found at 20,000 rows, and their mean."""
    found, gains = 0, []
    for seed in range(count):
        rows = world(8_000, 5_000 + seed)
        champion = train(rows, 2 * seed, drop=(WEAK_COLUMN,))
        challenger = train(rows, 2 * seed + 1)
        between, verdict = judged(challenger, champion, world(20_000, 15_000 + seed), seed)
        assert between.unseen is None
        gains.append(verdict.gain)
        found += verdict.decision == "PROMOTE"
        assert swapped(between, seed).decision != "PROMOTE"
    return found, float(np.mean(gains))


def shuffled_labels(count: int) -> list[str]:
    """The verdicts on models of shuffled labels: against the dummy, and against another such model."""
    said = []
    for seed in range(count):
        rows = world(800 + 10 * seed, 9_000 + seed, shuffled=True)
        challenger = train(rows, seed)
        said.append(judged(challenger, None, challenger.holdout, seed)[1].decision)
        said.append(judged(challenger, train(rows, seed + 1), challenger.holdout, seed)[1].decision)
    return said


def test_challengers_of_chance_are_rarely_promoted() -> None:
    assert seeds_only(12, 1) <= 3


def test_a_planted_gain_is_found() -> None:
    found, gain = planted_gain(3)
    assert found == 3
    assert 0.015 < gain < 0.026


def test_shuffled_labels_are_never_promoted() -> None:
    assert "PROMOTE" not in shuffled_labels(6)


def test_an_honest_small_table_gets_its_first_model() -> None:
    first = train(world(500, 3), 0)
    assert judged(first, None, first.holdout, 0)[1].decision == "PROMOTE"


@pytest.mark.slow
@pytest.mark.parametrize("champion_seed", [1, 2, 3])
def test_of_200_challengers_of_chance_at_most_17_are_promoted(champion_seed: int) -> None:
    promoted = seeds_only(200, champion_seed)
    print(f"{promoted} of 200 promoted")
    assert promoted <= 17


@pytest.mark.slow
def test_of_100_planted_gains_at_least_95_are_found() -> None:
    found, gain = planted_gain(100)
    print(f"{found} of 100 found, {gain:.4f} on average")
    assert 0.018 < gain < 0.024
    assert found >= 95


@pytest.mark.slow
def test_of_200_models_of_shuffled_labels_none_is_promoted() -> None:
    assert "PROMOTE" not in shuffled_labels(200)
