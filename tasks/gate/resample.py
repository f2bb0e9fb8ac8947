"""The gain's distribution on rows that may depend on each other: what gate and slices measure uncertainty by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.dependence import Dependence, StandardError, standard_error
from treadle.tasks.influence import influences

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.gate.values import Judged


@dataclass(frozen=True, slots=True)
class Spread:
    """The gain of the challenger on some rows, both models' values, and how sure the gain is."""

    value: float
    champion_value: float
    gain: float
    standard: StandardError


def gain_spread(judged: Judged, metric: str, rows: np.ndarray | None = None) -> Spread:
    """The gain and its standard error on the rows at the positions `rows` [k] within `judged` (None: all).

    Paired: both models are scored on the same rows, and the error is that of the difference of their influences. NaN
    where the metric is not defined on the rows.
    """
    import numpy as np

    some = slice(None) if rows is None else rows
    y, depends = judged.y[some], Dependence(judged.groups, judged.times)
    sides = ((judged.challenger[some], judged.challenger_threshold), (judged.champion[some], judged.champion_threshold))
    weight = None if judged.weight is None else judged.weight[some]
    first, second = (metrics.metric_value(judged.task, metric, y, p, weight, threshold=cut) for p, cut in sides)
    moved = [influences(metric, y, p, cut, weight) for p, cut in sides]
    sign = 1.0 if metrics.greater_is_better(metric) else -1.0
    standard = standard_error(sign * (moved[0] - moved[1]), depends if rows is None else depends.of(rows), weight)
    gain = metrics.gain(metric, first, second)
    return Spread(first, second, gain, standard if np.isfinite(gain) else StandardError(float("nan"), 0.0, 0))


def gain_draws(judged: Judged, metric: str, rows: np.ndarray | None, resamples: int, seed: int) -> np.ndarray:
    """Draws from the distribution of the gain's estimate: float64 [resamples], positive where the challenger is better.

    `metric` is any metric of the task, `rows` the positions [k] within `judged` that count (None: all). The standard
    deviation of the draws is the gain's standard error, widened for few units (Student's t), so that a normal quantile
    times it is a bound. NaN where the metric is not defined on these rows, or they are one group or block of time.
    """
    import numpy as np

    found = gain_spread(judged, metric, rows)
    freedom, error = found.standard.freedom, found.standard.error
    if not np.isfinite(found.gain + error) or freedom < 1:
        return np.full(resamples, np.nan)
    return found.gain + error * np.random.default_rng(seed).standard_t(freedom, resamples)
