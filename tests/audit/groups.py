"""How often groups that differ by no more than the margin are refused, and how often a larger difference is missed.

Whether a row is called positive is drawn with the rate of its group, so the true differences are known. Rows of a
cluster, or of a day, share a part of their odds. Of groups that differ by exactly the margin most would be refused by
luck, so that is where the error level is measured.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, ndtr

from treadle.tasks.gate import GateSpec, Judged
from treadle.tasks.gate.groups import review_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from treadle.tasks.gate.groups import GroupReview

    World = Callable[[np.random.Generator], Judged]

MARGIN = 0.1
WRONG, MISSED = 0.05, 0.20
MISSES = 0.07
"""Intervals of 95% miss in 5%, which 400 worlds know to one point."""


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies the worlds of each experiment."""
    many, few = 400 * scale, 60 * scale
    for name, (world, margin) in within_the_margin().items():
        yield name, "refused", refused(world, many, seed, margin), WRONG
    for name, world in beyond_the_margin().items():
        yield name, "not refused", 1 - refused(world, few, seed, MARGIN), MISSED
    for name, (world, truth) in with_known_gap().items():
        yield name, "95% interval misses", outside(world, many, seed, truth), MISSES


def within_the_margin() -> dict[str, tuple[World, float]]:
    """Worlds whose groups differ by the margin at most, with that margin."""
    return {
        "alike, 2 groups, 1,000 rows, margin 0": (lambda draw: world(draw, 1_000, (0.3, 0.3)), 0.0),
        "alike, 8 groups, 4,000 rows, margin 0": (lambda draw: world(draw, 4_000, (0.3,) * 8), 0.0),
        "alike, 2 groups, 4,000 rows, 1% called, margin 0": (lambda draw: world(draw, 4_000, (0.01, 0.01)), 0.0),
        "alike, 8 groups, 1,000 rows": (lambda draw: world(draw, 1_000, (0.3,) * 8), MARGIN),
        "alike, clusters of 20, 4,000 rows, margin 0": (lambda draw: world(draw, 4_000, (0.3,) * 3, clusters=200), 0.0),
        "alike, 60 days, 4,000 rows, margin 0": (lambda draw: world(draw, 4_000, (0.3,) * 3, days=60), 0.0),
        "alike, weights, 2,000 rows, margin 0": (lambda draw: world(draw, 2_000, (0.3,) * 3, weighted=True), 0.0),
        "by the margin, 2 groups, 1,000 rows": (lambda draw: world(draw, 1_000, (0.3, 0.4)), MARGIN),
        "by the margin, 2 groups, 60 and 940 rows": (lambda draw: world(draw, 1_000, (0.02, 0.12), (60, 940)), MARGIN),
        "by the margin, one of 8 groups, 4,000 rows": (
            lambda draw: world(draw, 4_000, (0.4, *(0.3,) * 7)),
            MARGIN,
        ),
        "by the margin, clusters of 20, 4,000 rows": (
            lambda draw: world(draw, 4_000, (0.25, 0.35), clusters=200, whole=True),
            MARGIN,
        ),
    }


def beyond_the_margin() -> dict[str, World]:
    """Worlds whose groups differ by the margin and .1 more."""
    return {
        "margin + 0.1, 2 groups, 1,500 rows": lambda draw: world(draw, 1_500, (0.3, 0.5)),
        "margin + 0.1, one of 6 groups, 4,000 rows": lambda draw: world(draw, 4_000, (0.5, *(0.3,) * 5)),
        "margin + 0.1, 250 of 4,000 rows": lambda draw: world(draw, 4_000, (0.1, 0.3), (250, 3_750)),
        "margin + 0.1, clusters of 20, 4,000 rows": lambda draw: world(draw, 4_000, (0.2, 0.4), clusters=200),
    }


def with_known_gap() -> dict[str, tuple[World, float]]:
    """Worlds with the true difference between their extremes."""
    return {
        "2 groups, .02 and .12, 400 rows": (lambda draw: world(draw, 400, (0.02, 0.12)), 0.1),
        "8 alike groups, 1,000 rows": (lambda draw: world(draw, 1_000, (0.3,) * 8), 0.0),
        "8 groups, .1 to .45, 2,000 rows": (lambda draw: world(draw, 2_000, np.linspace(0.1, 0.45, 8)), 0.35),
    }


def refused(of: World, worlds: int, seed: int, margin: float, criterion: str = "selection_rate") -> float:
    """The share of `worlds` that is refused."""
    spec = GateSpec(groups=("group",), group_criterion=criterion, group_margin=margin)  # type: ignore[arg-type]
    return float(np.mean([bool(review_groups(spec, one).refusals) for one in drawn(of, worlds, seed)]))


def outside(of: World, worlds: int, seed: int, truth: float) -> float:
    """The share of `worlds` whose interval of the largest difference in selection rate does not hold the truth."""
    spec = GateSpec(groups=("group",))
    misses = []
    for one in drawn(of, worlds, seed):
        gap = selection_gap(review_groups(spec, one))
        misses.append(not gap[0] <= truth <= gap[1])
    return float(np.mean(misses))


def selection_gap(review: GroupReview) -> tuple[float, float]:
    """The interval of the difference in selection rate."""
    (gap,) = [gap for gap in review.columns[0].gaps if gap.criterion == "selection_rate"]
    return gap.lower, gap.upper


def drawn(of: World, worlds: int, seed: int) -> Iterator[Judged]:
    """So many worlds, each from a stream of its own."""
    return (of(np.random.default_rng([seed, number, 64])) for number in range(worlds))


def world(
    draw: np.random.Generator,
    count: int,
    rates: Sequence[float] | np.ndarray,
    sizes: Sequence[int] = (),
    *,
    clusters: int = 0,
    days: int = 0,
    weighted: bool = False,
    whole: bool = False,
) -> Judged:
    """Rows of groups that are called positive at `rates`, of `sizes` or about equally many.

    `clusters` and `days` say how many there are; rows of one share a part of what decides, at unchanged rates.
    `whole`: a cluster is of one group.
    """
    group = draw.integers(0, len(rates), count)
    if sizes:
        group = np.repeat(np.arange(len(sizes)), sizes)
    groups = times = None
    common, share = np.zeros(count), 0.0
    if clusters:
        groups = np.arange(count) % clusters
        common, share = draw.normal(size=clusters)[groups], 0.3
        group = draw.integers(0, len(rates), clusters)[groups] if whole else group
    if days:
        times = np.arange(count) * days // count
        common, share = draw.normal(size=days)[times], 0.3
    latent = np.sqrt(share) * common + np.sqrt(1 - share) * draw.normal(size=count)
    called = ndtr(latent) < np.asarray(rates, dtype=float)[group]
    y = (draw.random(count) < 0.4).astype(float)
    p = np.where(called, 0.7, 0.3) + 0.1 * expit(draw.normal(size=count))
    judged = Judged("binary", "roc_auc", y, p, np.full(count, 0.4), "dummy", groups=groups, times=times)
    weight = draw.lognormal(0, 0.7, count) if weighted else None
    names = np.array([f"group {code}" for code in range(len(rates))], dtype=object)
    return replace(judged, weight=weight, by_group={"group": names[group]})
