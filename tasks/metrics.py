"""Scores of predictions, and the paired bootstrap that says how sure a difference between two models is.

Every metric is written once, for a block of weightings of the same rows: a plain score is the weighting by
ones, a bootstrap resample the weighting by how often each row was drawn. Sorting is done once per model, so
that 2,000 resamples of 60,000 rows take 1 to 6 seconds on one core.

`y` is [n]: class codes (binary: 1 is the positive class) or values. `p` is float [n], the probability of the
positive class or the value, or [n, classes] for a multiclass task. Accuracy and F1 of a binary task are taken
at the probability 0.5; the threshold that a bundle carries is reported by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Measure = Callable[[Floats], Floats]
    """Weights [resamples, n] -> the metric's value per weighting [resamples]; NaN where it is not defined."""

METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "r2"),
}
"""What each task can be compared by; the first is its default."""

ERRORS = frozenset({"log_loss", "brier", "rmse", "mae"})
"""Smaller is better; a gain that is worth detecting is a share of the champion's value."""

FALLBACK = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
"""What is defined on any rows, also where the labels are all the same."""

BLOCK_CELLS = 100_000
MOST_DRAWN = 20_000
PROBABILITY_FLOOR = 1e-7
"""Below float32's resolution near 1: a probability of exactly 0 for what happened costs 16, not infinity."""


def default_metric(task: str) -> str:
    """What search and gate compare by when the config names nothing."""
    return METRICS[task][0]


def greater_is_better(metric: str) -> bool:
    """Whether a larger value of `metric` is the better one."""
    return metric not in ERRORS


def metric_value(task: str, metric: str, y: np.ndarray, p: np.ndarray, weight: np.ndarray | None = None) -> float:
    """`metric` of predictions `p` [n] or [n, classes] for `y` [n]; `weight` [n] weighs rows (default: 1).

    NaN where the metric is not defined on these rows, e.g. ROC AUC of one class. Raises ValueError for no
    rows and for a metric that is not the task's.
    """
    import numpy as np

    weights = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    return float(_measure(task, metric, y, p)(weights[None, :])[0])


def scores(task: str, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Every metric of the task: name -> value, leaving out those that are not defined on these rows."""
    values = {metric: metric_value(task, metric, y, p) for metric in METRICS[task]}
    return {metric: value for metric, value in values.items() if value == value}  # noqa: PLR0124 - not NaN


def gain(metric: str, challenger: float, champion: float) -> float:
    """How much better the challenger is: positive is better, whichever way the metric runs."""
    return challenger - champion if greater_is_better(metric) else champion - challenger


def bootstrap_gain(
    metric: str,
    task: str,
    y: np.ndarray,
    p_challenger: np.ndarray,
    p_champion: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """The challenger's gain on each of `resamples` draws of the rows with replacement: float64 [resamples].

    Paired: both models are scored on the same draw (Efron & Tibshirani 1993, chapter 13). Positive is better.
    NaN for a draw on which the metric is not defined. The draws depend on `seed` and the number of rows.
    """
    import numpy as np

    challenger, champion = _measure(task, metric, y, p_challenger), _measure(task, metric, y, p_champion)
    sign = 1.0 if greater_is_better(metric) else -1.0
    drawn = [sign * (challenger(weights) - champion(weights)) for weights in _draws(len(y), resamples, seed)]
    return np.concatenate(drawn)


def interval(
    task: str, metric: str, y: np.ndarray, p: np.ndarray, *, resamples: int = 400, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Where `metric` of one model lies with probability `level`: lower and upper end, by the bootstrap's percentiles.

    Of more than `MOST_DRAWN` rows that many are drawn from, and the distance of the ends from the value is shrunk by
    the square root of the share (the m out of n bootstrap, Bickel & Sakov 2008): the cost is bounded, whatever the
    rows. Both ends are NaN where there are no rows, where the metric is not defined on them, or on more than 5% of the
    draws.
    """
    import numpy as np

    if not len(y):
        return float("nan"), float("nan")
    rows, value = len(y), metric_value(task, metric, y, p)
    if rows > MOST_DRAWN:
        some = np.sort(np.random.default_rng(seed).choice(rows, MOST_DRAWN, replace=False))
        y, p = y[some], p[some]
    measure = _measure(task, metric, y, p)
    drawn = np.concatenate([measure(weights) for weights in _draws(len(y), resamples, seed)])
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(defined) < 0.95 * len(drawn):
        return float("nan"), float("nan")
    off = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) - metric_value(task, metric, y, p)
    lower, upper = value + off * np.sqrt(len(y) / rows)
    return float(lower), float(upper)


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row was drawn, with replacement: weights [resamples, rows] in blocks of bounded size."""
    import numpy as np

    rng = np.random.default_rng(seed)
    per_block = max(1, BLOCK_CELLS // rows)
    for start in range(0, resamples, per_block):
        block = min(per_block, resamples - start)
        drawn = rng.integers(0, rows, (block, rows))
        drawn += (np.arange(block) * rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * rows).reshape(block, rows).astype(np.float64)


def _measure(task: str, metric: str, y: np.ndarray, p: np.ndarray) -> Measure:
    """Everything that does not depend on the weights is done here, once."""
    import numpy as np

    if metric not in METRICS[task]:
        allowed = ", ".join(METRICS[task])
        raise ValueError(f"metric {metric!r} does not fit task {task!r} (allowed: {allowed})")
    if not len(y) or len(y) != len(p):
        raise ValueError(f"{metric} of {len(p):,} predictions for {len(y):,} labels")
    y = np.asarray(y, dtype=np.float64)
    p = np.asarray(p, dtype=np.float64)
    match metric:
        case "roc_auc":
            return _roc_auc(y, p)
        case "average_precision":
            return _average_precision(y, p)
        case "f1" | "f1_macro" | "balanced_accuracy":
            return _by_class(metric, y, p)
        case "rmse":
            squared_error = _mean((y - p) ** 2)
            return lambda weights: np.sqrt(squared_error(weights))
        case "r2":
            return _r2(y, p)
        case _:
            return _mean(_losses(metric, y, p))


def _losses(metric: str, y: Floats, p: Floats) -> Floats:
    """What each row adds to a metric that is a mean over rows."""
    import numpy as np

    match metric:
        case "log_loss":
            chosen = np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(y)), y.astype(np.int64)]
            return np.asarray(-np.log(np.maximum(chosen, PROBABILITY_FLOOR)))
        case "brier":
            return np.asarray((p - y) ** 2)
        case "accuracy":
            return np.asarray(_answers(p) == y, dtype=np.float64)
        case _:
            return np.asarray(np.abs(y - p))


def _mean(losses: Floats) -> Measure:
    return lambda weights: weights @ losses / weights.sum(axis=1)


def _answers(p: Floats) -> Floats:
    import numpy as np

    return np.asarray(p >= 0.5 if p.ndim == 1 else p.argmax(axis=1), dtype=np.float64)


def _ranked(y: Floats, p: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Weights -> weight of positives and of negatives at each distinct score, scores rising."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    positive = y[order] == 1
    starts = np.flatnonzero(np.r_[True, np.diff(p[order]) > 0])

    def count(weights: Floats) -> tuple[Floats, Floats]:
        ordered = weights[:, order]
        positives = ordered * positive
        negatives = ordered - positives
        if len(starts) < len(order):
            positives = np.add.reduceat(positives, starts, axis=1)
            negatives = np.add.reduceat(negatives, starts, axis=1)
        return positives, negatives

    return count


def _roc_auc(y: Floats, p: Floats) -> Measure:
    """The share of (positive, negative) pairs in the right order, ties half (Mann & Whitney 1947)."""
    import numpy as np

    count = _ranked(y, p)

    def measure(weights: Floats) -> Floats:
        positives, negatives = count(weights)
        below = np.cumsum(negatives, axis=1)
        total = below[:, -1] * positives.sum(axis=1)
        below -= negatives / 2
        right = np.einsum("ij,ij->i", positives, below)
        area: Floats = np.divide(right, total, out=np.full(len(weights), np.nan), where=total > 0)
        return area

    return measure


def _average_precision(y: Floats, p: Floats) -> Measure:
    """Precision averaged over the positives, as scikit-learn defines it: sum of (recall step) x precision."""
    import numpy as np

    count = _ranked(y, p)

    def measure(weights: Floats) -> Floats:
        positives, negatives = (part[:, ::-1] for part in count(weights))
        found = np.cumsum(positives, axis=1)
        flagged = found + np.cumsum(negatives, axis=1)
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        total = found[:, -1]
        steps = np.einsum("ij,ij->i", positives, precision)
        area: Floats = np.divide(steps, total, out=np.full(len(weights), np.nan), where=total > 0)
        return area

    return measure


def _by_class(metric: str, y: Floats, p: Floats) -> Measure:
    """F1 of the positive class, or F1 or recall averaged over the classes that the weighted rows hold."""
    import numpy as np

    labels, answers = y.astype(np.int64), _answers(p).astype(np.int64)
    classes = 2 if p.ndim == 1 else p.shape[1]
    right = labels == answers

    def one(weights: Floats) -> float:
        actual = np.bincount(labels, weights, classes)
        hits = np.bincount(labels[right], weights[right], classes)
        of = actual if metric == "balanced_accuracy" else (actual + np.bincount(answers, weights, classes)) / 2
        held = np.flatnonzero(actual > 0)
        watched = held[held == 1] if metric == "f1" else held
        return float((hits[watched] / of[watched]).mean()) if len(watched) else float("nan")

    return lambda weights: np.array([one(row) for row in weights])


def _r2(y: Floats, p: Floats) -> Measure:
    """One minus squared error over the squared deviation from the weighted mean."""
    import numpy as np

    offset = y.mean()
    centred, squares = y - offset, (y - p) ** 2

    def measure(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        varied = spread > 1e-12 * total
        value: Floats = 1 - np.divide(weights @ squares, spread, out=np.full(len(weights), np.nan), where=varied)
        return value

    return measure
