"""Maps from a model's probabilities to probabilities that come true, as plain numbers, and how they are fitted.

- temperature: the logit times a slope, around the base rate (Guo et al. 2017, On calibration of modern neural networks,
  take it around one half, which moves the mean of rare classes);
- beta: logit p' = a ln p - b ln(1 - p) + c (Kull, Silva Filho & Flach 2017, Beta calibration);
- isotonic: a staircase with lines between the centres of its steps (binary only);
- vector: of more than two classes each has a slope and an intercept on ln p, renormalised (Guo et al. 2017).

The scorer repeats `mapped` (infra/tracking/scorer/postprocessing.py); a property test keeps the two equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from treadle.tasks.weights import effective_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from treadle.tasks.influence import Floats

Method = Literal["none", "temperature", "beta", "isotonic", "vector"]

LEAST, LEAST_REST = 2.0**-149, 2.0**-25
"""The smallest float32 above 0, and half of the step below 1: logarithms are taken of no less."""

FURTHEST = 36.0
"""Logits end here, so that no probability becomes 1."""

SLOPES, SHIFTS = (0.02, 5.0), (-10.0, 10.0)
"""Bounds of fitted slopes and intercepts; slopes above 0 keep the ranking."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map as its numbers: knots (isotonic), or slopes and intercepts; all are empty for the method 'none'."""

    method: Method = "none"
    knots_x: tuple[float, ...] = ()
    knots_y: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()
    intercepts: tuple[float, ...] = ()

    def of(self, raw: np.ndarray) -> Floats:
        """Calibrated probabilities for `raw` [n] (binary) or [n, classes], float64 of the same shape."""
        import numpy as np

        return mapped(raw.astype(np.float64), self.knots_x, self.knots_y, self.slopes, self.intercepts)


def mapped(
    raw: Floats,
    knots_x: tuple[float, ...],
    knots_y: tuple[float, ...],
    slopes: tuple[float, ...],
    intercepts: tuple[float, ...],
) -> Floats:
    """Probabilities `raw` float64 [n] or [n, classes] by a map's numbers; as they are where there is none.

    Of a binary task the two slopes are beta's a and b, and the intercept its c. Of more classes there is one slope for
    all, or one each.
    """
    import numpy as np

    if knots_x:
        return np.interp(raw, knots_x, knots_y)
    if not slopes:
        return raw
    logs = np.log(np.maximum(raw, LEAST))
    if raw.ndim == 1:
        rest = np.log(np.maximum(1.0 - raw, LEAST_REST))
        logit = np.clip(slopes[0] * logs - slopes[1] * rest + intercepts[0], -FURTHEST, FURTHEST)
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))
    scores = np.ascontiguousarray(logs * np.array(slopes) + np.array(intercepts))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def fit_map(task: str, method: Method, raw: Floats, y: np.ndarray, weight: Floats) -> Calibration:
    """The map of one method with the least weighted log loss on `raw` [n] or [n, classes] and codes `y` [n]."""
    import numpy as np

    if method == "isotonic":
        alike = bool((weight == weight[0]).all())
        x, at = isotonic_knots(raw, y.astype(np.float64), None if alike else weight)
        return Calibration(method, tuple(x.tolist()), tuple(at.tolist()))
    if task == "binary":
        return _binary_map(method, raw, y, weight)
    return _class_map(method, raw, y, weight)


def _binary_map(method: Method, raw: Floats, y: np.ndarray, weight: Floats) -> Calibration:
    import numpy as np

    logs = np.log(np.maximum(raw, LEAST))
    rest = np.log(np.maximum(1.0 - raw, LEAST_REST))
    rate = float(np.clip(weight @ y / weight.sum(), 1e-6, 1 - 1e-6))
    centre = math.log(rate / (1 - rate))

    def numbers(free: Floats) -> tuple[float, float, float]:
        if method == "temperature":
            return float(free[0]), float(free[0]), (1 - float(free[0])) * centre
        return float(free[0]), float(free[1]), float(free[2])

    def loss(free: Floats) -> tuple[float, Floats]:
        a, b, c = numbers(free)
        logit = a * logs - b * rest + c
        value = float(weight @ (np.logaddexp(0.0, logit) - y * logit))
        wrong = weight * (1.0 / (1.0 + np.exp(-np.clip(logit, -700, 700))) - y)
        if method == "temperature":
            return value / weight.sum(), np.array([wrong @ (logs - rest - centre)]) / weight.sum()
        return value / weight.sum(), np.array([wrong @ logs, -(wrong @ rest), wrong.sum()]) / weight.sum()

    bounds = [SLOPES] if method == "temperature" else [SLOPES, SLOPES, SHIFTS]
    a, b, c = numbers(_least(loss, [1.0] if method == "temperature" else [1.0, 1.0, 0.0], bounds))
    return Calibration(method, slopes=(a, b), intercepts=(c,))


def _class_map(method: Method, raw: Floats, y: np.ndarray, weight: Floats) -> Calibration:
    import numpy as np
    from scipy.special import logsumexp

    logs, classes = np.log(np.maximum(raw, LEAST)), raw.shape[1]
    rates = np.bincount(y, weight, classes) + 1.0
    centre = np.log(rates / rates.sum())
    hit = np.eye(classes)[y]

    def numbers(free: Floats) -> tuple[Floats, Floats]:
        if method == "temperature":
            return free[:1], (1 - free[0]) * centre
        return free[:classes], np.append(free[classes:], 0.0)

    def loss(free: Floats) -> tuple[float, Floats]:
        slopes, shifts = numbers(free)
        scores = logs * slopes + shifts
        whole = logsumexp(scores, axis=1)
        value = float(weight @ (whole - (scores * hit).sum(axis=1))) / weight.sum()
        wrong = weight[:, None] * (np.exp(scores - whole[:, None]) - hit) / weight.sum()
        if method == "temperature":
            return value, np.array([(wrong * (logs - centre)).sum()])
        return value, np.concatenate([(wrong * logs).sum(axis=0), wrong.sum(axis=0)[:-1]])

    few = method == "temperature"
    bounds = [SLOPES] if few else [SLOPES] * classes + [SHIFTS] * (classes - 1)
    slopes, shifts = numbers(_least(loss, [1.0] if few else [1.0] * classes + [0.0] * (classes - 1), bounds))
    return Calibration(method, slopes=tuple(slopes.tolist()), intercepts=tuple(shifts.tolist()))


def _least(
    loss: Callable[[Floats], tuple[float, Floats]], start: list[float], bounds: list[tuple[float, float]]
) -> Floats:
    import numpy as np
    from scipy.optimize import minimize

    found = minimize(loss, np.array(start), jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)


def isotonic_knots(raw: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression as knots at its blocks' centres, linear in between, rising from 0 to 1.

    Isotonic regression alone is a staircase that makes equal what was ranked; lines between the centres of its steps
    keep the ranking. No probability reaches 0 or 1: the outermost are half a row from them (weighted: half of one of
    the rows of equal weight that say as much).
    """
    import numpy as np
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(raw, kind="stable")
    x = raw[order]
    distinct, start, count = np.unique(x, return_index=True, return_counts=True)
    rows = len(raw)
    if weights is None:
        share = np.add.reduceat(y[order], start) / count
    else:
        rows = effective_rows(weights, weights > 0)
        count = np.add.reduceat(weights[order], start)
        share = np.add.reduceat((weights * y)[order], start) / count
    steps = isotonic_regression(share, sample_weight=count)
    level, block = np.unique(steps, return_inverse=True)
    weight = np.bincount(block, weights=count)
    centre = np.bincount(block, weights=count * distinct) / weight
    floor = 0.5 / (rows + 1)
    height = np.clip(level, floor, 1 - floor)
    inside = (centre > 0) & (centre < 1)
    return (
        np.concatenate([[0.0], centre[inside], [1.0]]),
        np.concatenate([[floor / 2], height[inside], [1 - floor / 2]]),
    )
