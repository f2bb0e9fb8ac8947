"""How much each row moves a metric: the metric's influence function on the rows at hand.

For a metric of weighted rows (tasks/metrics.py) this is its derivative by how often each row is drawn, where each is
drawn once, times the number of rows; it sums to zero. A row that is drawn brings its weight with it. The metric of rows
drawn anew is its value plus the influences' weighted mean, up to terms that vanish faster (Efron & Tibshirani 1993,
chapters 20 and 21, infinitesimal jackknife). For ROC AUC they are DeLong's structural components (DeLong, DeLong &
Clarke-Pearson 1988), found by sorting once (Sun & Xu 2014).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from treadle.tasks.weights import relative

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PROBABILITY_FLOOR = 1e-7
"""Below float32's resolution near 1: a probability of exactly 0 for what happened costs 16, not infinity."""


def influences(metric: str, y: Floats, p: Floats, threshold: float = 0.5, weight: np.ndarray | None = None) -> Floats:
    """The influence of each row on `metric`, float64 [n]; NaN where the metric is not defined on these rows.

    `y` [n] codes or values, `p` [n] or [n, classes] as in tasks/metrics.py; `threshold` is the least probability that
    is called positive (accuracy and F1 of a binary task); `weight` [n] weighs the rows (None: all alike).
    """
    import numpy as np

    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    weights = relative(weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        match metric:
            case "roc_auc":
                moved = _roc_auc(y, p, weights)
            case "average_precision":
                moved = _average_precision(y, p, weights)
            case "f1" | "f1_macro" | "balanced_accuracy":
                moved = _by_class(metric, y, p, threshold, weights)
            case "rmse":
                squares = (y - p) ** 2
                mean = _average(squares, weights)
                moved = np.zeros(len(y)) if mean == 0 else (squares - mean) / (2 * np.sqrt(mean))
            case "r2":
                squares, spread = (y - p) ** 2, (y - _average(y, weights)) ** 2
                error, variance = _average(squares, weights), _average(spread, weights)
                moved = np.asarray(error / variance**2 * (spread - variance) - (squares - error) / variance)
            case _:
                losses = row_losses(metric, y, p, threshold)
                moved = np.asarray(losses - _average(losses, weights))
    return moved if weights is None else moved * weights * (len(y) / weights.sum())


def _average(values: Floats, weights: Floats | None) -> np.float64:
    """The mean of `values` [n], weighted where there are weights; NumPy's float, which may be divided by zero."""
    return values.mean() if weights is None else weights @ values / weights.sum()  # type: ignore[no-any-return]


def row_losses(metric: str, y: Floats, p: Floats, threshold: float = 0.5) -> Floats:
    """What each row adds to a metric that is a mean over rows, float64 [n]."""
    import numpy as np

    match metric:
        case "log_loss":
            chosen = np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(y)), y.astype(np.int64)]
            return np.asarray(-np.log(np.maximum(chosen, PROBABILITY_FLOOR)))
        case "brier":
            return np.asarray((p - y) ** 2)
        case "accuracy":
            return np.asarray(class_codes(p, threshold) == y, dtype=np.float64)
        case "mae":
            return np.asarray(np.abs(y - p))
        case _:
            below = quantile_of(metric)
            assert below is not None, f"{metric!r} is no mean over rows"
            return np.asarray(np.where(y < p, (1 - below) * (p - y), below * (y - p)))


def quantile_of(metric: str) -> float | None:
    """The quantile that `pinball_0.9` rewards, here 0.9 (Koenker & Bassett 1978); None for other metrics."""
    name, _, share = metric.partition("_")
    if name != "pinball" or not re.fullmatch(r"0\.\d{1,4}", share):
        return None
    return float(share) or None


def quantile_metric(metric: str) -> float | None:
    """The quantile of the target that a regression's `metric` asks for: 0.5 for mae; None where it asks for a mean."""
    return 0.5 if metric == "mae" else quantile_of(metric)


def class_codes(p: Floats, threshold: float = 0.5) -> Floats:
    """The class codes that predictions carry: [n] at the threshold, or of [n, classes] the most likely."""
    import numpy as np

    return np.asarray(p >= threshold if p.ndim == 1 else p.argmax(axis=1), dtype=np.float64)


def _distinct(p: Floats) -> tuple[np.ndarray, int]:
    """For each row the rank of its score among the distinct scores, rising, and how many there are."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    ordered = p[order]
    rank = np.empty(len(p), dtype=np.int64)
    rank[order] = np.cumsum(np.r_[False, ordered[1:] > ordered[:-1]])
    return rank, int(rank[order[-1]]) + 1


def _roc_auc(y: Floats, p: Floats, weights: Floats | None) -> Floats:
    """Each row's share of right pairs, less the area, per row of its class."""
    import numpy as np

    positive = y == 1
    rank, distinct = _distinct(p)
    ones, zeros = (
        np.bincount(rank[of], None if weights is None else weights[of], distinct) for of in (positive, ~positive)
    )
    if not ones.sum() or not zeros.sum():
        return np.full(len(y), np.nan)
    below = np.cumsum(zeros) - zeros / 2
    above = ones.sum() - np.cumsum(ones) + ones / 2
    share = np.where(positive, below[rank] / zeros.sum(), above[rank] / ones.sum())
    area = float(_average(share[positive], None if weights is None else weights[positive]))
    rows = len(y) if weights is None else weights.sum()
    return np.asarray((share - area) * rows / np.where(positive, ones.sum(), zeros.sum()))


def _average_precision(y: Floats, p: Floats, weights: Floats | None) -> Floats:
    """A positive brings its own precision, raises that of all positives below it, and every row lowers those."""
    import numpy as np

    positive = y == 1
    each = np.ones(len(y)) if weights is None else weights
    total = (each * positive).sum()
    if not total:
        return np.full(len(y), np.nan)
    rank, distinct = _distinct(p)
    ones, every = (np.bincount(rank, of, distinct) for of in (each * positive, each))
    found, flagged = (np.cumsum(of[::-1])[::-1] for of in (ones, every))
    precision = found / flagged
    raised, lowered = np.cumsum(ones / flagged), np.cumsum(ones * found / flagged**2)
    value = float(_average(precision[rank[positive]], None if weights is None else weights[positive]))
    of_positive = np.where(positive, precision[rank] - value + raised[rank], 0.0)
    return np.asarray((of_positive - lowered[rank]) * each.sum() / total)


def _by_class(metric: str, y: Floats, p: Floats, threshold: float, weights: Floats | None) -> Floats:
    """F1 and recall are ratios of counts: hits over an average of actual and answered, or over actual."""
    import numpy as np

    labels, given = y.astype(np.int64), class_codes(p, threshold).astype(np.int64)
    held = [1] if metric == "f1" else np.unique(labels).tolist()
    parts = np.zeros(len(y))
    each = np.ones(len(y)) if weights is None else weights
    for one in held:
        actual, answered = labels == one, given == one
        of = actual.astype(np.float64) if metric == "balanced_accuracy" else (actual + answered.astype(np.float64)) / 2
        if not (each * actual).any():
            return np.full(len(y), np.nan)
        hits = actual & answered
        total = (each * of).sum()
        parts += (hits - (each * hits).sum() / total * of) / total
    return np.asarray(parts * each.sum() / len(held))
