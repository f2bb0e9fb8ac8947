"""How large the gain is, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

from treadle.tasks import metrics
from treadle.tasks.dependence import FEWEST_UNITS
from treadle.tasks.gate.resample import gain_spread
from treadle.tasks.gate.values import GainBounds, GateSpec, Judged

if TYPE_CHECKING:
    from treadle.tasks.dependence import StandardError

POWER = 0.8
"""Rows that would show the gain `detect` less often than this cannot say that nothing was gained."""

SURE, WORTH = 1 / 4, 1 / 2
"""The shares of `detect` that the gain's lower bound, and the gain itself, must reach.

A gain that is sure but small is no reason for another champion: another seed alone moves a small model as much, and
on many rows the bootstrap is sure of that too. Of 200 challengers of chance on 4,000 fresh rows each, a bound above
zero promoted 29 to 143, by the champion's own luck; these two at most 8.
"""


def measure_gain(spec: GateSpec, judged: Judged, looks: int = 1) -> GainBounds:
    """Values, gain, bounds, and the power for `detect`, where these rows are compared on for the `looks`-th time.

    With s the gain's standard error, m the margin of the lower bound, w the least gain, a the error level charged for
    the looks and t Student's quantile, a gain d is shown with probability about
    Phi(min((d - m) / s - t(1 - alpha), (d - w) / s, (d - min_gain) / s - t(1 - a))); as s² falls with the rows, so many
    times more are needed for power 0.8 as makes all three (Chow, Shao & Wang, Sample Size Calculations in Clinical
    Research, chapter 3). Two that predict alike have no s, and power 0.
    """
    found = gain_spread(judged, judged.metric)
    if judged.first and found.standard.freedom < 1:
        # one group or block: judged row by row, and still said to be few
        whole, found = found.standard, gain_spread(replace(judged, groups=None, times=None), judged.metric)
        found = replace(found, standard=replace(found.standard, units=whole.units, unit=whole.unit))
    standard, error = found.standard, found.standard.error
    detect = worth_detecting(spec, judged.metric, found.champion_value)
    margin, least = max(spec.min_gain, SURE * detect), max(spec.min_gain, WORTH * detect)
    charged = spec.alpha if judged.first else spec.alpha * share_of_alpha(looks)
    known = math.isfinite(found.gain + error) and standard.freedom >= 1
    reach, further = (standard.quantile(1 - level) * error if known else math.nan for level in (spec.alpha, charged))
    since = standard.quantile(1 - charged) * math.hypot(error, judged.spent.error) if known else math.nan
    shown, phi, z = spec.min_gain + detect, NormalDist().cdf, NormalDist().inv_cdf(POWER)
    power, times = 0.0, 0.0
    if known and error:
        power = phi(min(shown - margin - reach, shown - least, shown - spec.min_gain - further) / error)
        if detect:
            late = (reach + z * error) / (shown - margin), z * error / (shown - least), (further + z * error) / detect
            times = max(late)
    needed = max(math.ceil(len(judged.y) * times**2), _rows_for_units(standard, len(judged.y)))
    return GainBounds(
        value=found.value,
        champion_value=found.champion_value,
        gain=found.gain,
        lower=found.gain - reach,
        upper=found.gain + reach,
        power=power,
        detect=detect,
        margin=margin,
        least=least,
        rows_needed=_two_digits(needed) if power < POWER or judged.unseen is not None or standard.few else None,
        standard=standard,
        charged=charged,
        charged_lower=found.gain - further,
        fresh_lower=found.gain - judged.spent.loss - since,
        may_lose=detect,
    )


def worth_detecting(spec: GateSpec, metric: str, champion_value: float) -> float:
    """The gain that rows must be able to show, in units of the metric.

    `detect` where the config names it (for errors a share of the champion's), else `detect_share` of what can still be
    gained on `champion_value`: the error itself, or what is missing to 1.
    """
    error = not metrics.greater_is_better(metric)
    if spec.detect is not None:
        return spec.detect * abs(champion_value) if error else spec.detect
    return spec.detect_share * (abs(champion_value) if error else max(0.0, 1 - champion_value))


def share_of_alpha(looks: int) -> float:
    """The share of alpha that the `looks`-th comparison on (nearly) the same rows may spend.

    A twentieth for each of the first ten, then falling as 5.25 / looks²: all looks at one holdout together spend less
    than alpha, however many there are, and so do any twenty comparisons, also on twenty different holdouts (alpha
    spending by Bonferroni's inequality: Lan & DeMets 1983; Foster & Stine 2008 for tests without end).
    """
    return min(1 / 20, 5.25 / max(looks, 1) ** 2)


def _two_digits(rows: int) -> int:
    """`rows` rounded up to two digits: an estimate that knows no more is not written out."""
    unit = int(10 ** max(0, len(str(rows)) - 2))
    return math.ceil(rows / unit) * unit


def _rows_for_units(standard: StandardError, rows: int) -> int:
    """How many rows bring units enough, if rows to come spread over groups or time as these do."""
    return math.ceil(rows * FEWEST_UNITS[standard.unit] / standard.units) if standard.few and standard.units else 0
