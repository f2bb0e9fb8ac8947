"""Permutations where rows have weights: pairs of label and weight against predictions (tasks/gate/luck.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.influence import class_codes, quantile_metric, row_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from treadle.tasks.gate.values import Judged
    from treadle.tasks.influence import Floats

    OrderScore = Callable[[np.ndarray], Floats]


def orders(rows: int, several: int, draw: np.random.Generator) -> np.ndarray:
    """Random orders of `rows` rows, int [several, rows]."""
    import numpy as np

    return draw.permuted(np.tile(np.arange(rows), (several, 1)), axis=1)


def weighted_score(judged: Judged, y: Floats, p: Floats, weights: Floats) -> OrderScore:
    """Orders [shuffles, n] -> how good `p` [n] is for labels `y` and `weights` [n] in this order, [shuffles].

    The metric, or what rises with it. A binary metric is measured on each prediction twice, once with either label: its
    weight lies on the label that it meets.
    """
    import numpy as np

    if judged.task == "multiclass":
        return _of_classes(judged.metric, y, p, weights)
    if judged.task == "regression":
        if quantile_metric(judged.metric):
            return lambda shuffled: np.asarray(-(weights[shuffled] * row_losses(judged.metric, y[shuffled], p)).sum(1))
        # of the squared error, the part of y alone stays the same; R² and RMSE follow the rest
        return lambda shuffled: np.asarray(2 * ((weights * y)[shuffled] @ p) - weights[shuffled] @ p**2)
    both = metrics.weighted_measure(
        "binary", judged.metric, np.repeat([1.0, 0.0], len(y)), np.tile(p, 2), judged.challenger_threshold
    )
    sign = 1.0 if metrics.greater_is_better(judged.metric) else -1.0
    ones, zeros = weights * (y == 1), weights * (y != 1)
    return lambda shuffled: sign * both(np.concatenate([ones[shuffled], zeros[shuffled]], axis=1))


def _of_classes(metric: str, y: Floats, p: Floats, weights: Floats) -> OrderScore:
    """The weight of each class stays the same; which answers it meets changes, and so does each answer's weight."""
    import numpy as np

    given = class_codes(p)
    held = np.unique(y)
    of_class = {float(one): weights * (y == one) for one in held}
    if metric in ("log_loss", "accuracy"):
        sign = 1.0 if metric == "accuracy" else -1.0
        gains = {one: sign * row_losses(metric, np.full(len(y), one), p) for one in of_class}
        return lambda shuffled: np.asarray(
            sum(weight[shuffled] @ gains[one] for one, weight in of_class.items()), dtype=np.float64
        )

    def score(shuffled: np.ndarray) -> Floats:
        parts = []
        for one, weight in of_class.items():
            called = (given == one).astype(np.float64)
            hits = weight[shuffled] @ called
            of = weight.sum()
            if metric != "balanced_accuracy":
                of = (of + weights[shuffled] @ called) / 2
            parts.append(hits / of)
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)

    return score
