"""Which losses a metric's alarm is about: of the holdout, as its training run recorded them, and of labelled rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.tasks import performance
from treadle.tasks.influence import influences, quantile_of, row_losses
from treadle.tasks.metrics import OF_LABELS, greater_is_better, metric_value
from treadle.tasks.performance import MONDAY
from treadle.tasks.sequential import PARTS, ExpectedLoss, LossSums, loss_sums
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from treadle.tasks.influence import Floats
    from treadle.tasks.performance import MetricBounds
    from treadle.tasks.postprocess import ClassLabel

LARGEST = 10.0
"""Errors of a regression are clipped at the expected loss and so many of its standard deviations."""

FEWEST_ROWS = 100
"""A holdout of which the rows are not known is taken to have so many."""

NORMAL = 1.96
"""The normal quantile of a 95% interval."""


def is_mean(metric: str) -> bool:
    """Whether `metric` is a mean of losses of rows; rmse by its square, accuracy by the share of errors."""
    return metric in ("log_loss", "brier", "accuracy", "mae", "rmse") or quantile_of(metric) is not None


def loss_name(metric: str) -> str:
    """What the losses of `watched_losses` are called: the metric itself, its square, or 1 less it."""
    return f"1 - {metric}" if greater_is_better(metric) else "squared error" if metric == "rmse" else metric


def expected_loss(metric: str, bounds: MetricBounds | None, rows: int) -> ExpectedLoss | None:
    """The expected loss from the metric's value on `rows` holdout rows with its 95% interval; None where not known.

    The loss is 1 less the metric where greater is better, the square of rmse, else the metric. Its standard error is
    that of its logarithm, from the interval's worse end, so that it obeys dependent rows as the interval did. Without
    an error on the holdout, one row in `rows` counts as one.
    """
    if bounds is None or bounds.value is None or bounds.lower is None or bounds.upper is None:
        return None
    up = greater_is_better(metric)
    value, worst = (1 - bounds.value, 1 - bounds.lower) if up else (bounds.value, bounds.upper)
    if metric == "rmse":
        value, worst = value**2, worst**2
    least = 1 / max(rows, FEWEST_ROWS) if up or metric in ("log_loss", "brier") else 1e-12
    if value <= 0 or worst <= value:
        value = worst = max(value, least)
    error = value * math.log(worst / value) / NORMAL if worst > value else value
    clipped = metric in ("mae", "rmse") or quantile_of(metric) is not None
    largest = value + LARGEST * error * math.sqrt(max(rows, FEWEST_ROWS)) if clipped else math.inf
    return ExpectedLoss(value, error, largest)


def watched_losses(
    metric: str, y: Floats, p: Floats, expected: ExpectedLoss, threshold: float = 0.5, weight: Floats | None = None
) -> Floats | None:
    """The loss of each row, float64 [n], whose (weighted) mean is that of `expected_loss`; None where not defined.

    `y`, `p` and `threshold` as in tasks/metrics.py. Where the metric is a mean they are its own losses: log loss (16 at
    most, by the floor of probabilities), Brier score, 0 or 1 for an error, absolute, squared or pinball error, clipped
    at `expected.largest`. Else (ROC AUC, average precision, F1, balanced accuracy, R²) they are the metric's value on
    these rows and each row's influence on it (tasks/influence.py), so that their mean is exact and their parts agree up
    to terms that vanish faster.
    """
    import numpy as np

    if metric == "accuracy":
        return 1 - row_losses(metric, y, p, threshold)
    if metric == "rmse":
        return np.minimum((y - p) ** 2, expected.largest)
    if is_mean(metric):
        return np.minimum(row_losses(metric, y, p, threshold), expected.largest)
    task = "regression" if metric == "r2" else "binary" if p.ndim == 1 else "multiclass"
    value = metric_value(task, metric, y, p, weight, threshold=threshold)
    if not np.isfinite(value):
        return None
    moved = influences(metric, y, p, threshold, weight)
    relative_weight = relative(weight)
    return (1 - value) - (moved if relative_weight is None else moved / relative_weight)


def watched_sums(
    task: str,
    metric: str,
    classes: Sequence[ClassLabel],
    table: pa.Table,
    expected: ExpectedLoss,
    *,
    window_days: int,
    dated: bool,
    grouped: bool,
    weighted: bool,
) -> LossSums | None:
    """The losses of labelled predictions, summed for `sequential.look`; None where the metric is not defined on them.

    `table` has `_label`, the prediction columns, `_window` (date), `_moment` (timestamp), and `_group` and `_weight`,
    which are used where `grouped` and `weighted` say so. Rows without a group are one group.
    """
    import numpy as np

    y, p, weights, at = performance.judged_arrays(
        task, classes, table["_label"], table, table["_weight"] if weighted else None
    )
    if not len(y):
        return None
    if metric in OF_LABELS:  # of the labels that were delivered, whatever the threshold is now
        p = performance.delivered_answers(task, classes, table)[at]
    losses = watched_losses(metric, y, p, expected, weight=weights)
    if losses is None:
        return None
    moments = table["_moment"].to_numpy()[at].astype("datetime64[s]").astype(np.int64)
    days = moments / 86_400 - (MONDAY.toordinal() - 719_163)
    codes = table["_group"].combine_chunks().dictionary_encode().indices.fill_null(-1) if grouped else None
    return loss_sums(
        losses,
        expected,
        np.floor(days / window_days).astype(np.int64),
        np.floor(days * PARTS / window_days).astype(np.int64),
        dated=dated,
        groups=None if codes is None else np.asarray(codes)[at],
        weight=weights,
    )
