"""How often `on_performance` calls for another model, asked each week: in stable years, and after a change.

A year is 52 weeks of 500 labelled rows. What is measured: the share of stable years in which it rings at any of the
52 looks, with the upper end of its 95% binomial interval (Clopper & Pearson 1934), for losses of several shapes and for
weeks that differ; in how many of the simulations 10% more loss is found within 6 windows; and the rule of before, which
compared the last 4 weeks' interval with the holdout's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from treadle.tasks import metrics
from treadle.tasks.dependence import Dependence
from treadle.tasks.performance import MetricBounds
from treadle.tasks.sequential import STABLE_YEARS, ExpectedLoss, LossSums, look, loss_sums
from treadle.tasks.watched import expected_loss, watched_losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.tasks.influence import Floats

WEEKS, ROWS, HOLDOUT = 52, 500, 3_000
SOON = 6
RISE = 0.1


@dataclass(frozen=True)
class Shape:
    """A kind of loss: `base` is the logit of the base rate, `weeks` the deviation of a week's effect on the logit.

    Rows of a `dated` table are taken to depend on their neighbours in time. `limit` is the stated share of stable years
    in which it rings.
    """

    name: str
    metric: str
    base: float = -0.8
    weeks: float = 0.0
    dated: bool = False
    limit: float = 0.05

    @property
    def task(self) -> str:
        return "regression" if self.metric in metrics.METRICS["regression"] else "binary"


SHAPES = (
    Shape("log loss", "log_loss"),
    Shape("log loss, 1.4% positive", "log_loss", base=-5.0),
    Shape("errors, 0 or 1", "accuracy"),
    Shape("ROC AUC", "roc_auc"),
    Shape("absolute errors of Student's t(3)", "mae"),
    Shape("log loss, dated", "log_loss", dated=True),
    Shape("log loss, dated, weeks differ", "log_loss", weeks=0.2, dated=True),
    Shape("log loss, dated, weeks differ much", "log_loss", weeks=0.5, dated=True),
)


def drawn(shape: Shape, draw: np.random.Generator, weeks: int, rows: int, decay: float = 0.0) -> tuple[Floats, Floats]:
    """Outcomes and predictions of `rows` rows a week, [weeks, rows]; `decay` of the rows have another's outcome."""
    if shape.task == "regression":
        return draw.standard_t(3, (weeks, rows)) * (1 + decay), np.zeros((weeks, rows))
    mean = float((1 / (1 + np.exp(-np.random.default_rng(0).normal(shape.base, 1.2, 100_000)))).mean())
    p = 1 / (1 + np.exp(-draw.normal(shape.base, 1.2, (weeks, rows))))
    effect = draw.normal(0, shape.weeks, (weeks, 1)) if shape.weeks else 0.0
    chance = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + effect)))
    chance = np.where(draw.random((weeks, rows)) < decay, mean, chance)
    return (draw.random((weeks, rows)) < chance).astype(np.float64), p


def decay_for(shape: Shape) -> float:
    """The decay that raises the shape's expected loss by a tenth."""
    if shape.task == "regression":
        return RISE
    draw = np.random.default_rng(1)
    y, p = (one.ravel() for one in drawn(shape, draw, 1, 400_000))
    mixed = (draw.random(p.shape) < p.mean()).astype(np.float64)

    def loss(outcome: Floats) -> float:
        value = metrics.metric_value("binary", shape.metric, outcome, p)
        return 1 - value if metrics.greater_is_better(shape.metric) else value

    now = loss(y)
    return RISE * now / (loss(mixed) - now)


def rings(
    shape: Shape,
    draw: np.random.Generator,
    *,
    weeks: int = WEEKS,
    holdout: int = HOLDOUT,
    decay: float = 0.0,
    since: int = 0,
    earlier: bool = True,
) -> tuple[int | None, int | None]:
    """The first week in which the test rings, and the rule of before, if asked for; None where it does not."""
    y0, p0 = drawn(shape, draw, 10, holdout // 10)
    day0 = (np.arange(10)[:, None] * 7 + draw.integers(0, 7, y0.shape)).ravel()
    y0, p0 = y0.ravel(), p0.ravel()
    lower, upper = metrics.interval(
        shape.task, shape.metric, y0, p0, dependence=Dependence(None, day0) if shape.dated else None
    )
    bounds = MetricBounds(value=metrics.metric_value(shape.task, shape.metric, y0, p0), lower=lower, upper=upper)
    expected = expected_loss(shape.metric, bounds, len(y0))
    assert expected is not None
    before, after = drawn(shape, draw, since, ROWS), drawn(shape, draw, weeks - since, ROWS, decay)
    y, p = (np.concatenate(both) for both in zip(before, after, strict=True))
    part = draw.integers(0, 7, y.shape)
    first = old = None
    for week in range(since + 1, weeks + 1):
        window = np.repeat(np.arange(week), ROWS)
        losses = watched_losses(shape.metric, y[:week].ravel(), p[:week].ravel(), expected)
        assert losses is not None
        sums = loss_sums(losses, expected, window, part[:week].ravel(), dated=shape.dated)
        if first is None and _rings(expected, sums):
            first = week
        if earlier and old is None and _earlier_rule(shape, bounds, y[:week], p[:week], part[:week]):
            old = week
        if first is not None and (old is not None or not earlier):
            break
    return first, old


def _rings(expected: ExpectedLoss, sums: LossSums) -> bool:
    """Whether it rings; dependence, which takes long, is only looked at where it would without."""
    # fewer effective rows bring each part of the evidence nearer to 1, so they add less than 1 to it
    alone = look(expected, replace(sums, dated=False), WEEKS).evidence
    return alone >= STABLE_YEARS - 1 and look(expected, sums, WEEKS).risen


def _earlier_rule(shape: Shape, expected: MetricBounds, y: Floats, p: Floats, part: np.ndarray) -> bool:
    """Whether the last 4 weeks lie outside the holdout's interval, and their own leaves out the holdout's value."""
    day = (np.arange(len(part))[:, None] * 7 + part)[-4:].ravel()
    y, p = y[-4:].ravel(), p[-4:].ravel()
    value = metrics.metric_value(shape.task, shape.metric, y, p)
    lower, upper = metrics.interval(
        shape.task, shape.metric, y, p, dependence=Dependence(None, day) if shape.dated else None
    )
    assert expected.value is not None
    assert expected.lower is not None
    assert expected.upper is not None
    if metrics.greater_is_better(shape.metric):
        return value < expected.lower and upper < expected.value
    return value > expected.upper and lower > expected.value


def upper_end(found: int, of: int) -> float:
    """The upper end of the 95% interval of a binomial share (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(0.975, found + 1, of - found)) if found < of else 1.0


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """The experiment with `200 * scale` years of each shape: (experiment, figure, measured, stated limit)."""
    years = 200 * scale
    for shape in SHAPES:
        draw = np.random.default_rng(seed)
        found = [rings(shape, draw) for _ in range(years)]
        new, old = (sum(one[at] is not None for one in found) for at in (0, 1))
        name = f"stable years, {shape.name}"
        yield name, "years in which it rings", new / years, shape.limit
        yield name, "upper end of its 95% interval", upper_end(new, years), 1.0
        yield name, "the rule of before: years in which it rang", old / years, 1.0
    for shape, since in ((SHAPES[0], 0), (SHAPES[0], 20), (SHAPES[5], 0)):
        for holdout in (1_000, 2_000, 3_000, 5_000):
            draw, decay = np.random.default_rng(seed), decay_for(shape)
            found = [
                rings(shape, draw, weeks=since + SOON, holdout=holdout, decay=decay, since=since, earlier=False)
                for _ in range(years)
            ]
            missed = sum(one[0] is None for one in found) / years
            name = f"10% more loss from week {since + 1}, {shape.name}, {holdout:,} holdout rows"
            limit = 0.2 if shape is SHAPES[0] and not since and holdout >= HOLDOUT else 1.0
            yield name, "not found within 6 weeks", missed, limit
