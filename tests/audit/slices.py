"""How often slices and proper scores refuse a model that deserves it, and one that does not.

Two models of a world see the same log odds (or value) through noise of their own; a bad slice is one where the
challenger sees nothing, or sees it upside down.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from treadle.tasks.gate import GateSpec, Judged
from treadle.tasks.gate.proper import worse_than_dummy
from treadle.tasks.gate.slices import review_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    World = Callable[[np.random.Generator], Judged]

SPEC = GateSpec()
WRONG, MISSED = 0.05, 0.20
HURT = 857


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies the worlds of each experiment."""
    many, few = 200 * scale, 40 * scale
    for name, world in equal_worlds().items():
        yield f"equal challengers, {name}", "refused for slices", refused(world, many, seed), WRONG
    for count in (4_000, 20_000):
        figure = 1 - refused(lambda draw, count=count: at_chance(draw, count), few, seed)
        yield f"at chance for {HURT} of {count:,} people", "not refused", figure, MISSED
    yield "a loss below the margin, beside a gain", "refused for slices", refused(small_loss, few, seed), WRONG
    for name, (skill, limit) in {"none": (0.0, WRONG), "the wrong way round": (-0.5, MISSED)}.items():
        share = refused(lambda draw, skill=skill: first_model(draw, skill), many, seed)
        wanted = skill < 0
        yield f"a first model, skill in a slice: {name}", "wrong", 1 - share if wanted else share, limit
    for count, rate in ((300, 0.3), (2_000, 0.3), (4_000, 0.02), (10_000, 0.002)):
        share = refused_by_score(lambda draw, n=count, p=rate: as_honest(draw, n, p), many, seed)
        yield f"log loss of the dummy, {count:,} rows, {rate:.1%} positive", "refused by score", share, WRONG
        share = refused_by_score(lambda draw, n=count, p=rate: as_honest(draw, n, p, too_sure=3.0), many, seed)
        if count * rate >= 80:
            yield f"far too sure, {count:,} rows, {rate:.1%} positive", "not refused by score", 1 - share, MISSED


def refused(world: World, worlds: int, seed: int) -> float:
    """The share of `worlds` that a slice refuses."""
    return float(np.mean([bool(review_slices(SPEC, world(draw)).refusals) for draw in draws(worlds, seed)]))


def refused_by_score(world: World, worlds: int, seed: int) -> float:
    """The share of `worlds` whose first model a proper score refuses."""
    return float(np.mean([any(worse_than_dummy(SPEC, world(draw))) for draw in draws(worlds, seed)]))


def draws(worlds: int, seed: int) -> Iterator[np.random.Generator]:
    """A generator for each world, another stream than those of other topics."""
    return (np.random.default_rng([seed, number, 857]) for number in range(worlds))


def equal_worlds() -> dict[str, World]:
    """Pairs that differ by chance only, by what the slices are."""
    return {
        "one column of numbers, 4,000 rows": lambda draw: equal(draw, 4_000, numbers=1),
        "three columns of numbers, 4,000 rows": lambda draw: equal(draw, 4_000, numbers=3),
        "eight shops, 2,500 rows": lambda draw: equal(draw, 2_500, shops=8),
        "eighty shops and two numbers, 20,000 rows": lambda draw: equal(draw, 20_000, numbers=2, shops=80),
        "1% positive, 20,000 rows": lambda draw: equal(draw, 20_000, numbers=1, shops=8, base=-6.0),
        "0.2% positive, 20,000 rows": lambda draw: equal(draw, 20_000, numbers=1, shops=8, base=-8.0),
        "average precision, 8% positive": lambda draw: equal(
            draw, 8_000, numbers=1, metric="average_precision", base=-3.5
        ),
        "log loss": lambda draw: equal(draw, 4_000, numbers=1, metric="log_loss"),
        "regression with a long tail": regression,
        "groups of 20 rows": grouped,
    }


def sigmoid(odds: np.ndarray) -> np.ndarray:
    """Probabilities [n] of log odds."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def columns(draw: np.random.Generator, count: int, numbers: int, shops: int) -> dict[str, np.ndarray]:
    """Columns to slice by: ages of whole years, and names."""
    found: dict[str, np.ndarray] = {f"age {index}": draw.integers(18, 80, count) for index in range(numbers)}
    if shops:
        found["shop"] = draw.integers(0, shops, count).astype(str).astype(object)
    return found


def equal(
    draw: np.random.Generator,
    count: int,
    *,
    numbers: int = 0,
    shops: int = 0,
    metric: str = "roc_auc",
    base: float = 0.0,
) -> Judged:
    """Two models with equal noise; `base` is the mean of the log odds."""
    odds = base + 1.5 * draw.normal(size=count)
    y = (draw.random(count) < sigmoid(odds)).astype(float)
    p, q = (sigmoid(odds + draw.normal(size=count)) for _ in range(2))
    return Judged("binary", metric, y, p, q, "version 1", slices=columns(draw, count, numbers, shops))


def regression(draw: np.random.Generator) -> Judged:
    """Lognormal values, two models with errors of equal size."""
    truth = draw.lognormal(3, 1, 4_000)
    p, q = (truth * draw.normal(1, 0.2, 4_000) for _ in range(2))
    return Judged("regression", "rmse", truth, p, q, "version 1", slices=columns(draw, 4_000, 1, 8))


def grouped(draw: np.random.Generator) -> Judged:
    """Each model's noise is half common to a group of 20 rows, which lies in one shop."""
    groups = np.repeat(np.arange(200), 20)
    odds = 1.5 * draw.normal(size=4_000)
    y = (draw.random(4_000) < sigmoid(odds)).astype(float)
    p, q = (sigmoid(odds + draw.normal(size=200)[groups] + draw.normal(size=4_000)) for _ in range(2))
    shop = draw.integers(0, 6, 200)[groups].astype(str).astype(object)
    return Judged("binary", "roc_auc", y, p, q, "version 1", slices={"shop": shop}, groups=groups)


def at_chance(draw: np.random.Generator, count: int) -> Judged:
    """Better on the whole, and without any skill for `HURT` people of neighbouring ages, anywhere."""
    age = draw.integers(18, 80, count).astype(float)
    odds = 1.5 * draw.normal(size=count)
    y = (draw.random(count) < sigmoid(odds)).astype(float)
    champion, challenger = odds + 1.25 * draw.normal(size=count), odds + 0.9 * draw.normal(size=count)
    oldest_first = np.argsort(age + draw.random(count))
    start = int(draw.integers(0, count - HURT + 1))
    hurt = oldest_first[start : start + HURT]
    challenger[hurt] = 1.5 * draw.normal(size=HURT)
    return Judged("binary", "roc_auc", y, sigmoid(challenger), sigmoid(champion), "version 1", slices={"age": age})


def small_loss(draw: np.random.Generator) -> Judged:
    """Better by .037 in ROC AUC in five shops of six, and by a hair worse in the sixth; 60,000 rows."""
    count = 60_000
    shop = draw.integers(0, 6, count)
    odds = 1.5 * draw.normal(size=count)
    y = (draw.random(count) < sigmoid(odds)).astype(float)
    common = draw.normal(size=count)
    champion = odds + 1.3 * common
    challenger = odds + np.where(shop == 0, 1.3 * common + 0.12 * draw.normal(size=count), 0.8 * common)
    slices = {"shop": shop.astype(str).astype(object)}
    return Judged("binary", "roc_auc", y, sigmoid(challenger), sigmoid(champion), "version 1", slices=slices)


def first_model(draw: np.random.Generator, skill: float) -> Judged:
    """A first model that is good but in one shop, where what it says has this much to do with the truth."""
    count = 4_000
    shop = draw.integers(0, 6, count)
    odds = 1.5 * draw.normal(size=count)
    y = (draw.random(count) < sigmoid(odds)).astype(float)
    own = 1.5 * draw.normal(size=count)
    p = sigmoid(np.where(shop == 0, skill * odds + own, odds + 0.5 * own))
    slices = {"shop": shop.astype(str).astype(object)}
    return Judged("binary", "roc_auc", y, p, np.full(count, y.mean()), "dummy", slices=slices)


def as_honest(draw: np.random.Generator, count: int, rate: float, too_sure: float = 1.0) -> Judged:
    """A first model of some skill that is so much too sure that its log loss is the dummy's; more with `too_sure`."""
    base = np.log(rate / (1 - rate))
    signal = draw.normal(size=count)
    p = sigmoid(base + 0.5 * signal)
    y = (draw.random(count) < p).astype(float)
    prediction = sigmoid(base + too_sure * honest_slope(rate) * signal)
    return Judged("binary", "roc_auc", y, prediction, np.full(count, float(p.mean())), "dummy")


@cache
def honest_slope(rate: float) -> float:
    """The slope beyond the true 0.5 at which the log loss is that of the mean."""
    base, large = np.log(rate / (1 - rate)), np.random.default_rng(1).normal(size=200_000)
    truth = sigmoid(base + 0.5 * large)
    dummy = np.full(len(large), truth.mean())

    def loss(prediction: np.ndarray) -> float:
        return float(-(truth * np.log(prediction) + (1 - truth) * np.log1p(-prediction)).mean())

    low, high = 0.5, 6.0
    for _ in range(30):  # bisection: beyond 0.5 the loss rises with the slope
        middle = (low + high) / 2
        low, high = (middle, high) if loss(sigmoid(base + middle * large)) < loss(dummy) else (low, middle)
    return low
