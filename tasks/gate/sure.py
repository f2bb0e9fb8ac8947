"""How sure a gain is on some of the rows, also where a class is rare there, or the labels are all the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.gate.resample import gain_spread
from treadle.tasks.influence import PROBABILITY_FLOOR
from treadle.tasks.weights import effective_rows, relative

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.dependence import StandardError
    from treadle.tasks.gate.values import Judged

FEWEST_OF_A_LEVEL = 10
"""A metric that compares classes needs this many rows of every class; on fewer the task's fallback is used."""

COMPARES_CLASSES = frozenset({"roc_auc", "average_precision", "f1", "f1_macro", "balanced_accuracy"})


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of the challenger over another model in `metric` on `rows` rows; positive is better.

    `value` and `other_value` are those of the challenger and of the other; `standard` says how sure the gain is.
    """

    metric: str
    rows: int
    value: float
    other_value: float
    gain: float
    standard: StandardError

    @property
    def known(self) -> bool:
        """Whether anything can be said: the metric is defined, on more than one group or block of time."""
        return math.isfinite(self.gain) and math.isfinite(self.standard.error)

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound at `alpha`; minus infinity where nothing can be said."""
        return self.gain - self._reach(alpha)

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound at `alpha`; infinity where nothing can be said."""
        return self.gain + self._reach(alpha)

    def loses(self) -> float:
        """The p-value of "it loses nothing": small where the challenger surely loses, 1 where nothing can be said."""
        from scipy.stats import t

        error, freedom = self.standard.error, self.standard.freedom
        if error == 0:
            return 0.0 if self.gain < 0 else 1.0
        return float(t.cdf(self.gain / error, freedom)) if error > 0 and freedom >= 1 else 1.0

    def _reach(self, alpha: float) -> float:
        error = self.standard.error
        return self.standard.quantile(1 - alpha) * error if error > 0 else 0.0 if error == 0 else float("inf")


def gain_on(
    judged: Judged,
    metric: str,
    *,
    here: np.ndarray | None = None,
    other: np.ndarray | None = None,
    threshold: float = 0.5,
) -> Gain:
    """The gain in `metric` on the rows at the positions `here` (default: all) over `other` (default: the champion).

    `other` are predictions for all n rows, shaped as the challenger's, called positive from `threshold` on. Where
    `metric` compares classes and one has fewer than 10 rows (weighted: as many of equal weight), or is R² of equal
    labels, the task's fallback takes its place.
    """
    import numpy as np

    compared = judged if other is None else replace(judged, champion=other, champion_threshold=threshold)
    rows = np.arange(len(judged.y)) if here is None else here
    weight = None if judged.weight is None else judged.weight[rows]
    used = metric
    if metric in COMPARES_CLASSES:
        classes = np.unique(judged.y[rows])
        counts = [effective_rows(weight, judged.y[rows] == one) for one in classes]
        if len(classes) < 2 or min(counts) < FEWEST_OF_A_LEVEL:
            used = metrics.FALLBACK[judged.task]
    elif metric == "r2" and len(rows) and np.ptp(judged.y[rows]) == 0:
        used = metrics.FALLBACK[judged.task]
    found = gain_spread(compared, used, here)
    floor = _predicted_error(judged.task, used, judged.challenger[rows], compared.champion[rows], relative(weight))
    standard = found.standard if found.standard.error >= floor else replace(found.standard, error=floor)
    return Gain(used, len(rows), found.value, found.champion_value, found.gain, standard)


def _predicted_error(
    task: str, metric: str, ours: np.ndarray, theirs: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """The standard error of the gain in a mean score if labels were drawn by either model's probabilities; else 0.

    The larger of the two. Where positives are rare the observed losses show too little variance, because it comes from
    rows that are hardly ever drawn (Spiegelhalter, Statistics in Medicine 5, 1986).
    """
    import numpy as np

    if task == "regression" or metric not in ("log_loss", "brier"):
        return 0.0
    p, q = (np.column_stack([1 - one, one]) if one.ndim == 1 else one for one in (ours, theirs))
    if metric == "brier":
        gains = (1 - q) ** 2 - (1 - p) ** 2
    else:
        gains = np.log(np.maximum(p, PROBABILITY_FLOOR)) - np.log(np.maximum(q, PROBABILITY_FLOOR))
    means = ((labels * gains).sum(axis=1, keepdims=True) for labels in (p, q))
    each = [(labels * (gains - mean) ** 2).sum(axis=1) for labels, mean in zip((p, q), means, strict=True)]
    if weight is not None:
        return float(np.sqrt(max(weight**2 @ one for one in each)) / weight.sum())
    return float(np.sqrt(max(one.mean() for one in each) / len(p)))
