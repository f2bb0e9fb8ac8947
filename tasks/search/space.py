"""What the search may try: a portfolio of settings that win often, and the ranges around them.

The ranges are TabArena's for XGBoost (Erickson et al. 2025), widened for small and noisy tables: shallower trees,
heavier leaves and faster rates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from optuna.distributions import BaseDistribution

    from treadle.tasks.booster import Scalar

SMALL, LARGE = 2_000, 50_000
"""Training rows below and from which the portfolio is another one."""

FLOORS = (0.02, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Lowest learning rate of a study, by how slow rounds are for its budget: few steps, so that noise changes none."""

PROGRESS = 10.0
"""Rounds x learning rate after which most of a table has been learned."""

NAMES = (
    "learning_rate",
    "max_depth",
    "min_child_weight",
    "subsample",
    "colsample_bytree",
    "colsample_bylevel",
    "colsample_bynode",
    "reg_alpha",
    "reg_lambda",
    "grow_policy",
    "max_leaves",
)

LEAST = 1e-4
"""The least regularisation, in effect none: a logarithmic range has no zero."""

LEAST_WEIGHT = 1e-3
"""The least weight of a leaf, in effect none."""

MOST_LEAVES = 1_024
"""In effect no limit to the leaves of a tree of the allowed depths."""


def _by_depth(
    rate: float, depth: int, weight: float, rows: float, columns: float, ridge: float, *, level: float = 1.0,
) -> tuple[float | int | str, ...]:  # fmt: skip
    return rate, depth, weight, rows, columns, level, 1.0, LEAST, ridge, "depthwise", MOST_LEAVES


def _by_leaves(rate: float, leaves: int, weight: float, rows: float, columns: float) -> tuple[float | int | str, ...]:
    return rate, 10, weight, rows, columns, 1.0, 1.0, LEAST, 1.0, "lossguide", leaves


QUICK = _by_depth(0.088, 5, 0.63, 1.0, 0.66, 1.0)
DEFAULT = _by_depth(0.08, 6, 1.0, 0.9, 0.8, 1.0)
SHALLOW = _by_depth(0.09, 4, 0.6, 0.9, 0.9, 1.0)
STEADY = _by_depth(0.05, 4, 1.0, 0.75, 0.5, 4.0)
STUMPS = _by_depth(0.08, 2, 1.0, 0.8, 0.6, 1.0)
STRICT = _by_depth(0.03, 3, 8.0, 0.6, 0.3, 30.0)
STRICTEST = _by_depth(0.03, 2, 5.0, 0.6, 0.4, 20.0)
UNBOUND = _by_depth(0.08, 6, LEAST_WEIGHT, 0.65, 1.0, LEAST, level=0.9)
DEEP = _by_depth(0.07, 8, 1.2, 0.85, 0.7, 2.0)
LEAVES = _by_leaves(0.05, 31, 5.0, 0.8, 0.8)

PORTFOLIOS = {
    "small": (STEADY, STUMPS, STRICT, STRICTEST, DEFAULT),
    "middle": (SHALLOW, STEADY, DEFAULT, UNBOUND, LEAVES, DEEP),
    "large": (QUICK, LEAVES, DEFAULT, DEEP, SHALLOW),
}
"""By the table's size; each order has the lowest loss after every number of settings, on the tables of its size that
`make bench-portfolio` measured, with a fast one first where a budget may end early. UNBOUND is XGBoost's tuned default
for classes (Holzmüller et al. 2024, Better by default), QUICK one of AutoGluon's."""


SECONDS_PER_BIN, SECONDS_PER_VALUE, SECONDS_PER_ROW = 5.5e-7, 3.5e-9, 2e-8
"""One tree of the default setting on two cores, fitted to 16 tables of 1,000 to 1,000,000 rows and 8 to 100 columns:
within a factor of 2.2 of the fastest of a few rounds on each."""

PACE_STEP = 4.0
"""The measured pace corrects the expected one by whole powers of this."""


def expected_pace(rows: int, columns: int, bins: int, trees: int) -> float:
    """Seconds a round of `trees` trees on `rows` rows takes on an ordinary machine; `bins` are those of all columns."""
    return trees * (SECONDS_PER_BIN * bins + SECONDS_PER_VALUE * rows * columns + SECONDS_PER_ROW * rows)


def settled_pace(measured: float, expected: float) -> float:
    """The measured pace, rounded towards the expected one by whole powers of `PACE_STEP`.

    A measurement between a quarter and four times of what is expected changes nothing: other processes on the machine
    disturb it, and a search that depended on it would not be the same twice. A GPU or a far slower machine is
    recognised.
    """
    steps = math.trunc(math.log(max(measured, 1e-9) / max(expected, 1e-9), PACE_STEP))
    return float(expected * PACE_STEP**steps)


def floor(budget: float, pace: float) -> float:
    """The lowest learning rate by which a trial learns most within half of `budget`, at `pace` seconds a round."""
    wanted = PROGRESS / max(budget / 2 / pace, 1.0)
    return next((step for step in FLOORS if step >= wanted), FLOORS[-1])


def early_rate(seconds: float, pace: float) -> float:
    """The learning rate of `FLOORS` by which a trial learns most within `seconds`, at `pace` seconds a round."""
    wanted = PROGRESS / max(seconds / pace, 1.0)
    return next((step for step in FLOORS if step >= wanted), FLOORS[-1])


def portfolio(lowest: float, rows: int, settled: Collection[str] = ()) -> tuple[dict[str, Scalar], ...]:
    """Settings for a table of `rows` training rows, a strong default first; no learning rate is below `lowest`.

    Parameters that are `settled` are left out, and so are settings that are like earlier ones then.
    """
    size = "small" if rows < SMALL else "middle" if rows < LARGE else "large"
    raised = ((max(float(rate), lowest), *rest) for rate, *rest in PORTFOLIOS[size])
    found: list[dict[str, Scalar]] = []
    for one in raised:
        setting = {name: value for name, value in zip(NAMES, one, strict=True) if name not in settled}
        if setting not in found:
            found.append(setting)
    return tuple(found)


def ranges(lowest: float, rows: int, first: float = 0.0, settled: Collection[str] = ()) -> dict[str, BaseDistribution]:
    """What the sampler may draw from; the portfolio and the rate `first` lie within.

    Nothing here depends on the target's scale. Parameters that are `settled` are left out.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    small = rows < SMALL
    found: dict[str, BaseDistribution] = {
        "learning_rate": FloatDistribution(lowest, max(0.3, min(0.8, 3 * lowest), first), log=True),
        "max_depth": IntDistribution(2, 10),
        "min_child_weight": FloatDistribution(1e-3, 16.0 if small else 64.0, log=True),
        "subsample": FloatDistribution(0.5, 1.0),
        "colsample_bytree": FloatDistribution(0.3, 1.0),
        "colsample_bylevel": FloatDistribution(0.5, 1.0),
        "colsample_bynode": FloatDistribution(0.5, 1.0),
        "reg_alpha": FloatDistribution(LEAST, 5.0, log=True),
        "reg_lambda": FloatDistribution(LEAST, 50.0, log=True),
        "grow_policy": CategoricalDistribution(("depthwise", "lossguide")),
        "max_leaves": IntDistribution(8, MOST_LEAVES, log=True),
    }
    return {name: within for name, within in found.items() if name not in settled}


def within(params: Mapping[str, Scalar], ranges_: Mapping[str, BaseDistribution]) -> dict[str, Scalar]:
    """A setting of another study as one of these ranges: values beyond a range are its end, missing ones are neutral.

    A champion's own setting is tried again so; one of an earlier version may lack parameters.
    """
    from optuna.distributions import CategoricalDistribution

    neutral = dict(zip(NAMES, DEFAULT, strict=True))
    found: dict[str, Scalar] = {}
    for name, distribution in ranges_.items():
        value = params.get(name, neutral[name])
        if not isinstance(distribution, CategoricalDistribution):
            low, high = distribution.low, distribution.high
            value = type(low)(min(max(float(value), low), high))
        found[name] = value
    return found
