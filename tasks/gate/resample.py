"""Draws of a gain from rows that may depend on each other: what the gate and its slices measure uncertainty by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks import metrics

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.gate.values import Judged


def gain_draws(judged: Judged, metric: str, rows: np.ndarray | None, resamples: int, seed: int) -> np.ndarray:
    """Draws from the distribution of the gain's estimate: float64 [resamples], positive where the challenger is better.

    `metric` is any metric of the task, `rows` the positions [k] within `judged` that count (None: all). The standard
    deviation of the draws is the gain's standard error, already widened for few units, so that a normal quantile
    times it is a bound. NaN where the metric is not defined on these rows.
    """
    import numpy as np

    some = np.arange(len(judged.y)) if rows is None else rows
    return metrics.bootstrap_gain(
        metric,
        judged.task,
        judged.y[some],
        judged.challenger[some],
        judged.champion[some],
        resamples=resamples,
        seed=seed,
    )
