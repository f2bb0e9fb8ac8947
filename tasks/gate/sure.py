"""How sure a gain is on some of the rows: its standard error, and bounds that also hold on few rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.gate.resample import gain_draws

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.gate.values import Judged

FEWEST_OF_A_LEVEL = 10
"""A metric that compares classes needs this many rows of every class; on fewer the task's fallback is used."""

COMPARES_CLASSES = frozenset({"roc_auc", "average_precision", "f1", "f1_macro", "balanced_accuracy"})

DRAWS = 400
MOST_ROWS = 5_000
"""Of more rows so many are drawn, and their standard error is scaled (m out of n, Bickel & Sakov 2008)."""


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of the challenger over another model in `metric` on `rows` rows; positive is better.

    `error` is its standard error, `freedom` the degrees of freedom that the error was estimated with.
    """

    metric: str
    rows: int
    value: float
    other_value: float
    gain: float
    error: float
    freedom: int

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound at `alpha`."""
        return self.gain - self._quantile(alpha) * self.error

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound at `alpha`."""
        return self.gain + self._quantile(alpha) * self.error

    def loses(self) -> float:
        """The p-value for "the challenger loses nothing": small where it surely loses. NaN counts as 1."""
        from scipy import stats

        if self.error == 0:
            return 0.0 if self.gain < 0 else 1.0
        found = float(stats.t.cdf(self.gain / self.error, self.freedom))
        return found if found == found else 1.0  # noqa: PLR0124 - not NaN

    def _quantile(self, alpha: float) -> float:
        from scipy import stats

        return float(stats.t.ppf(1 - alpha, self.freedom))


def gain_on(
    judged: Judged, metric: str, *, here: np.ndarray | None = None, other: np.ndarray | None = None, seed: int = 0
) -> Gain:
    """The gain in `metric` on the rows at the positions `here` (default: all) over `other` (default: the champion).

    `other` are predictions for all n rows, shaped as the challenger's. Where `metric` compares classes and one has
    fewer than 10 rows, the task's fallback takes its place. Bounds use Student's t, with the rows of the rarest class
    less one as degrees of freedom for such metrics: with few positives the normal quantile is too sure.
    """
    import numpy as np

    rows = np.arange(len(judged.y)) if here is None else here
    against = judged.champion if other is None else other
    y, ours, theirs = judged.y[rows], judged.challenger[rows], against[rows]
    used, rarest = metric, len(rows)
    if metric in COMPARES_CLASSES:
        classes, counts = np.unique(y, return_counts=True)
        rarest = int(counts.min()) if len(classes) > 1 else 0
    if rarest < FEWEST_OF_A_LEVEL and metric in COMPARES_CLASSES:
        used, rarest = metrics.FALLBACK[judged.task], len(rows)
    value, other_value = (metrics.metric_value(judged.task, used, y, p) for p in (ours, theirs))
    error = max(_resampled_error(judged, used, rows, against, seed), _predicted_error(judged.task, used, ours, theirs))
    return Gain(
        metric=used,
        rows=len(rows),
        value=value,
        other_value=other_value,
        gain=metrics.gain(used, value, other_value),
        error=error,
        freedom=max(1, rarest - 1),
    )


def _resampled_error(judged: Judged, metric: str, rows: np.ndarray, other: np.ndarray, seed: int) -> float:
    """The paired bootstrap's standard error of the gain on `rows`; of many rows, a part is drawn."""
    import numpy as np

    some = rows
    if len(rows) > MOST_ROWS:
        some = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    drawn = gain_draws(replace(judged, champion=other), metric, some, DRAWS, seed)
    defined = drawn[np.isfinite(drawn)]
    return float(np.std(defined) * np.sqrt(len(some) / len(rows))) if len(defined) else float("nan")


def _predicted_error(task: str, metric: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The standard error of the gain in a mean score if labels were drawn by the other model's probabilities; else 0.

    On rows whose labels are (nearly) all the same the bootstrap sees no variance, and a difference of nothing would be
    sure (Spiegelhalter, Statistics in Medicine 5, 1986).
    """
    import numpy as np

    if task == "regression" or metric not in ("log_loss", "brier"):
        return 0.0
    p, q = (np.column_stack([1 - one, one]) if one.ndim == 1 else one for one in (ours, theirs))
    if metric == "brier":
        gains = (1 - q) ** 2 - (1 - p) ** 2
    else:
        floor = metrics.PROBABILITY_FLOOR
        gains = np.log(np.maximum(p, floor)) - np.log(np.maximum(q, floor))
    mean = (q * gains).sum(axis=1, keepdims=True)
    variance = float((q * (gains - mean) ** 2).sum(axis=1).mean())
    return float(np.sqrt(variance / len(p)))
