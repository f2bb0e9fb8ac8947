"""What a model is compared with: a dummy that uses no feature, and when a linear model (tasks/linear.py) is as good."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.tasks.influence import quantile_metric
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    import numpy as np

AS_GOOD = 0.02
"""A line is as good where a model wins less than this share of the way that it leads from the dummy."""


def as_good(metric: str, model: float, line: float, chance: float) -> bool:
    """Whether a linear model's value of `metric` is as good as the model's; `chance` is the dummy's. NaN is not."""
    from treadle.tasks.metrics import gain

    lead, way = gain(metric, model, line), gain(metric, model, chance)
    return lead <= AS_GOOD * (0.0 if math.isnan(way) else max(0.0, way))


def dummy(
    task: str, y: np.ndarray, rows: int, *, classes: int, weight: np.ndarray | None = None, metric: str = ""
) -> np.ndarray:
    """The same answer for each of `rows` rows: the mean of `y`, or the shares of its class codes.

    Where `metric` asks for a quantile of an amount (mae: the median) it is that quantile.

    `y` float32 [n], each counting by its `weight` [n]; returns float64 [rows], for multiclass [rows, classes].
    """
    import numpy as np

    weights = relative(weight)
    if task == "multiclass":
        shares = np.bincount(y.astype(np.int64), weights, classes) / (len(y) if weights is None else weights.sum())
        return np.tile(shares, (rows, 1))
    if task == "regression" and (below := quantile_metric(metric)):
        return np.full(rows, float(np.quantile(y.astype(np.float64), below, weights=weights, method="inverted_cdf")))
    mean = np.mean(y, dtype=np.float64) if weights is None else weights @ y.astype(np.float64) / weights.sum()
    return np.full(rows, float(mean))
