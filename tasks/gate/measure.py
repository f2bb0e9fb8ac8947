"""How large the gain is, how sure that is, and whether it could be luck."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.gate.values import GainBounds, GateSpec, Judged

if TYPE_CHECKING:
    import numpy as np

POWER = 0.8
"""Rows that would show the gain `detect` less often than this cannot say that nothing was gained."""

SURE, WORTH = 1 / 4, 1 / 2
"""The shares of `detect` that the gain's lower bound, and the gain itself, must reach.

A gain that is sure but small is no reason for another champion: another seed alone moves a small model as much, and
on many rows the bootstrap is sure of that too. Of 200 challengers of chance on 4,000 fresh rows each, a bound above
zero promoted 29 to 143, by the champion's own luck; these two at most 8.
"""

RESAMPLES = 2_000
SHUFFLES = 100


def measure_gain(spec: GateSpec, judged: Judged, seed: int) -> GainBounds:
    """Values, gain, bootstrap bounds, and the power for `detect`.

    With s the bootstrap's standard error, m the margin of the lower bound, w the least gain and z the normal quantile,
    a true gain d is shown with probability Phi(min((d - m) / s - z(1 - alpha), (d - w) / s)); as s² falls with the
    rows, so many times more are needed for power 0.8 as makes both (Chow, Shao & Wang, Sample Size Calculations in
    Clinical Research, 3.2.2). Two that predict alike have no s, and power 0.
    """
    import numpy as np

    task, metric, y = judged.task, judged.metric, judged.y
    value = metrics.metric_value(task, metric, y, judged.challenger)
    champion_value = metrics.metric_value(task, metric, y, judged.champion)
    drawn = metrics.bootstrap_gain(metric, task, y, judged.challenger, judged.champion, resamples=RESAMPLES, seed=seed)
    defined = drawn[np.isfinite(drawn)]
    detect = spec.detect if metrics.greater_is_better(metric) else spec.detect * abs(champion_value)
    margin, least = max(spec.min_gain, SURE * detect), max(spec.min_gain, WORTH * detect)
    if not len(defined):
        nan = float("nan")
        return GainBounds(value, champion_value, nan, nan, nan, 0.0, detect, margin, least, None, 1.0)
    error, z = float(np.std(defined)), NormalDist().inv_cdf(1 - spec.alpha)
    shown, enough = spec.min_gain + detect, NormalDist().inv_cdf(POWER)
    power = NormalDist().cdf(min((shown - margin) / error - z, (shown - least) / error)) if error else 0.0
    times = error * max((z + enough) / (shown - margin), enough / (shown - least)) if detect else 0.0
    needed = int(np.ceil(len(y) * times**2))
    return GainBounds(
        value=value,
        champion_value=champion_value,
        gain=metrics.gain(metric, value, champion_value),
        lower=float(np.quantile(defined, spec.alpha)),
        upper=float(np.quantile(defined, 1 - spec.alpha)),
        power=power,
        detect=detect,
        margin=margin,
        least=least,
        rows_needed=needed if power < POWER or judged.unseen is not None else None,
        undefined=1 - len(defined) / len(drawn),
    )


def luck(judged: Judged, seed: int) -> float:
    """The probability that the challenger's predictions score as well on shuffled labels: 1 if they say nothing.

    The permutation test, exact whatever the metric, with the normal distribution in place of the shuffles' own far
    tail (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 3.2).
    """
    import numpy as np

    def of(labels: np.ndarray) -> float:
        return metrics.gain(
            judged.metric, metrics.metric_value(judged.task, judged.metric, labels, judged.challenger), 0.0
        )

    draw = np.random.default_rng([seed, 1])  # not the bootstrap's stream
    shuffled = np.array([of(draw.permutation(judged.y)) for _ in range(SHUFFLES)])
    spread = float(np.std(shuffled))
    distance = of(judged.y) - float(np.mean(shuffled))
    return 1 - NormalDist().cdf(distance / spread) if spread > 0 and np.isfinite(distance) else 1.0
