"""Scores of predictions, and the intervals in which they lie.

Every metric is written once, for a block of weightings of the same rows: a plain score is the weighting by
ones, a bootstrap resample the weighting by how often each row was drawn. How much each row moves a metric stands in
tasks/influence.py; from that come intervals, which are checked against the bootstrap.

`y` is [n]: class codes (binary: 1 is the positive class) or values. `p` is float [n], the probability of the
positive class or the value, or [n, classes] for a multiclass task. Accuracy and F1 of a binary task are taken
at a threshold, which is 0.5 unless the caller names the one that the model carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.dependence import Dependence, standard_error
from treadle.tasks.influence import class_codes, influences, quantile_of, row_losses
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from treadle.tasks.influence import Floats

    Measure = Callable[[Floats], Floats]
    """Weights [resamples, n] -> the metric's value per weighting [resamples]; NaN where it is not defined."""

METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "r2"),
}
"""What each task can be compared by; the first is its default. Besides, regression: `pinball_0.9` for any quantile."""

ERRORS = frozenset({"log_loss", "brier", "rmse", "mae"})
"""Smaller is better; a gain that is worth detecting is a share of the champion's value."""

AT_THRESHOLD = frozenset({"accuracy", "f1"})
"""Metrics of a binary task that depend on the threshold above which a row is called positive."""

OF_LABELS = AT_THRESHOLD | {"balanced_accuracy", "f1_macro"}
"""Metrics of class labels, whatever the task: of probabilities only which class they make the prediction counts."""

FALLBACK = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
"""What is defined on any rows, also where the labels are all the same."""

BLOCK_CELLS = 100_000


def default_metric(task: str) -> str:
    """What search and gate compare by when the config names nothing."""
    return METRICS[task][0]


def greater_is_better(metric: str) -> bool:
    """Whether a larger value of `metric` is the better one."""
    return metric not in ERRORS and quantile_of(metric) is None


def metric_value(
    task: str,
    metric: str,
    y: np.ndarray,
    p: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """`metric` of predictions `p` [n] or [n, classes] for `y` [n]; `weight` [n] weighs rows (default: 1).

    `threshold` is the least probability that a binary model calls positive. NaN where the metric is not defined on
    these rows, e.g. ROC AUC of one class. Raises ValueError for no rows and for a metric that is not the task's.
    """
    import numpy as np

    weights = relative(weight)
    weights = np.ones(len(y)) if weights is None else weights
    return float(weighted_measure(task, metric, y, p, threshold)(weights[None, :])[0])


def scores(
    task: str,
    y: np.ndarray,
    p: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    metric: str = "",
) -> dict[str, float]:
    """Every metric of the task, and `metric`: name -> value, leaving out those that are not defined on these rows."""
    named = dict.fromkeys((*METRICS[task], metric) if metric else METRICS[task])
    values = {one: metric_value(task, one, y, p, weight, threshold=threshold) for one in named}
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
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """The challenger's gain on each of `resamples` draws of the rows with replacement: float64 [resamples].

    Paired: both models are scored on the same draw (Efron & Tibshirani 1993, chapter 13). Positive is better.
    NaN for a draw on which the metric is not defined. The draws depend on `seed` and the number of rows; a row brings
    its `weight` [n] as often as it is drawn.
    """
    import numpy as np

    challenger, champion = (weighted_measure(task, metric, y, p) for p in (p_challenger, p_champion))
    sign = 1.0 if greater_is_better(metric) else -1.0
    weights = relative(weight)
    drawn = []
    for times in _draws(len(y), resamples, seed):
        weighting = times if weights is None else times * weights
        drawn.append(sign * (challenger(weighting) - champion(weighting)))
    return np.concatenate(drawn)


def interval(
    task: str,
    metric: str,
    y: np.ndarray,
    p: np.ndarray,
    *,
    level: float = 0.95,
    dependence: Dependence | None = None,
    threshold: float = 0.5,
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Where `metric` of one model lies with probability `level`: lower and upper end; `weight` [n] weighs the rows.

    `dependence` says which rows depend on each other (None: none do); few groups or blocks of time make a wide
    interval, and fewer than two none. The ends lie so many standard errors away as Student's t says, on a scale that
    the metric cannot leave: logit for what lies between 0 and 1, the logarithm for errors and for 1 - R² (Efron &
    Tibshirani 1993, chapter 12; for ROC AUC Qin & Hotilovac 2008). Both ends are NaN where there are no rows or the
    metric is not defined on them.
    """
    import numpy as np

    if not len(y):
        return float("nan"), float("nan")
    value = metric_value(task, metric, y, p, weight, threshold=threshold)
    if not np.isfinite(value):
        return float("nan"), float("nan")
    moved = influences(metric, y, p, threshold, weight)
    standard = standard_error(moved, dependence or Dependence(), weight)
    reach = standard.quantile((1 + level) / 2) * standard.error if standard.error else 0.0
    return _ends(metric, value, reach) if np.isfinite(reach) else (float("nan"), float("nan"))


def _ends(metric: str, value: float, reach: float) -> tuple[float, float]:
    """`value` less and plus `reach`, on the scale of `interval`."""
    import numpy as np

    error = not greater_is_better(metric)
    if error or metric == "r2":
        rest = value if error else 1 - value
        times = float(np.exp(min(reach / rest, 100.0))) if rest > 0 else 1.0
        return (rest / times, rest * times) if error else (1 - rest * times, 1 - rest / times)
    return share_bounds(value, reach)


def share_bounds(value: float, reach: float) -> tuple[float, float]:
    """`value` less and plus `reach`, both between 0 and 1, on the logit scale; `value` itself where it is 0 or 1."""
    import numpy as np

    slope = value * (1 - value)
    if slope <= 0:
        return value, value
    odds = value / (1 - value)
    times = float(np.exp(min(reach / slope, 100.0)))
    return odds / times / (1 + odds / times), odds * times / (1 + odds * times)


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


def weighted_measure(task: str, metric: str, y: np.ndarray, p: np.ndarray, threshold: float = 0.5) -> Measure:
    """`metric` of these predictions as a function of weights; what does not depend on these is computed here, once."""
    import numpy as np

    if metric not in METRICS[task] and not (task == "regression" and quantile_of(metric)):
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
            return _by_class(metric, y, p, threshold)
        case "rmse":
            squared_error = _mean((y - p) ** 2)
            return lambda weights: np.sqrt(squared_error(weights))
        case "r2":
            return _r2(y, p)
        case _:
            return _mean(row_losses(metric, y, p, threshold))


def _mean(losses: Floats) -> Measure:
    return lambda weights: weights @ losses / weights.sum(axis=1)


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


def _by_class(metric: str, y: Floats, p: Floats, threshold: float) -> Measure:
    """F1 of the positive class, or F1 or recall averaged over the classes that the weighted rows hold."""
    import numpy as np

    labels, given = y.astype(np.int64), class_codes(p, threshold).astype(np.int64)
    classes = 2 if p.ndim == 1 else p.shape[1]
    right = labels == given

    def one(weights: Floats) -> float:
        actual = np.bincount(labels, weights, classes)
        hits = np.bincount(labels[right], weights[right], classes)
        of = actual if metric == "balanced_accuracy" else (actual + np.bincount(given, weights, classes)) / 2
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
