"""What a chain of fresh versions has given away since the last better one, so that it cannot drift down unseen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PastVerdict:
    """What the gate said of a version: its basis, its gain over the version `against` and the gain's standard error."""

    basis: str
    metric: str
    gain: float
    error: float
    against: int | None


@dataclass(frozen=True, slots=True)
class GivenAway:
    """The metric lost by fresh versions since the last better one, 0 or more, and the standard error of that sum."""

    loss: float = 0.0
    error: float = 0.0


def given_away(past: Mapping[int, PastVerdict], champion: int | None, metric: str) -> GivenAway:
    """Follow the champion back as far as verdicts reach, and add up the gains from there on.

    What fresh versions lost is owed until better ones have gained it back: a small gain over a champion that has
    decayed does not clear it. A version that a person promoted against the verdict, one with another metric and one of
    before there were bases are a new beginning.
    """
    steps: list[PastVerdict] = []
    version = champion
    while version is not None:
        one = past.get(version)
        if one is None or one.basis not in ("better", "fresh") or one.metric != metric:
            break
        steps.append(one)
        version = one.against if one.against is not None and one.against < version else None
    balance = variance = 0.0
    for one in reversed(steps):
        balance, variance = balance + one.gain, variance + one.error**2
        if one.basis == "better" and balance >= 0:
            balance = variance = 0.0
    return GivenAway(max(0.0, -balance), math.sqrt(variance))
