"""How sure a figure is whose rows depend on each other: in groups, in time, in both, or not at all.

A metric's estimate is its value plus the mean of the rows' influences (tasks/influence.py), up to terms that vanish
faster. So its variance is that of a mean, and every resampling scheme has a variance in closed form: what infinitely
many draws would give, without the noise of 2,000 and at the cost of one pass.

- Rows by themselves, or groups: the delete-one-unit jackknife, which corrects for groups of unequal size and is the
  better choice for few of them (MacKinnon, Nielsen & Webb 2023, Cluster-robust inference: a guide to empirical
  practice, Journal of Econometrics 232, CV3). For ROC AUC this is DeLong's variance, and Obuchowski's by group.
- Time: the moving-blocks bootstrap (Künsch 1989), whose blocks have the length of Politis & White (2004) with the
  correction of Patton, Politis & White (2009), and half as long again; and never less than a first-order
  autoregression says, its coefficient corrected for bias (Kendall 1954). Blocks alone see too little of a dependence
  that lasts, on few periods: at 5% they err in 10 to 20% of the cases, so in at most 5 (docs/gate.md).
- Both: the pigeonhole bootstrap (Owen 2007), which draws groups and blocks of time independently. Its variance is the
  sum of that by group, that by time, and that of time within each group; it errs on the careful side.

A bound is so many standard errors away as Student's t says with the freedom that the units leave (Satterthwaite 1946,
as Pan & Wall 2002 have it for clusters: a few units that carry most of the variance count as few).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from treadle.tasks.weights import relative

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import SplitSpec
    from treadle.tasks.influence import Floats


PERIODS = 200
"""More distinct times than this are put together, neighbours with neighbours, to so many periods at most.

On single seconds the automatic rule sees no dependence that lasts for days.
"""

MOST_GROUPS = 2_000
"""More groups than this are pooled at random before they are crossed with time: independent groups stay so."""

Unit = Literal["rows", "groups", "blocks of time"]

FEWEST_UNITS: dict[Unit, int] = {"rows": 2, "groups": 20, "blocks of time": 10}
"""With fewer no bound is right often enough to compare two models by."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """Which of n rows depend on each other: equal `groups` [n] (codes), near `times` [n] (numbers); None: do not."""

    groups: np.ndarray | None = None
    times: np.ndarray | None = None

    def of(self, rows: np.ndarray) -> Dependence:
        """The same of the rows at the positions `rows` [k]."""
        return Dependence(
            None if self.groups is None else self.groups[rows], None if self.times is None else self.times[rows]
        )


@dataclass(frozen=True, slots=True)
class StandardError:
    """The standard error of a mean of influences, with its degrees of freedom.

    `units` is how many independent `unit`s there are as far as one can tell: rows, groups, or blocks of `block`
    periods of time; of groups and blocks together the scarcer.
    """

    error: float
    freedom: float
    units: float
    unit: Unit = "rows"
    block: int = 1

    @property
    def few(self) -> bool:
        """Whether there are too few units to compare two models by."""
        return self.units < FEWEST_UNITS[self.unit]

    def quantile(self, probability: float) -> float:
        """So many standard errors lie between the estimate and its bound with this one-sided probability."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, probability)) if self.freedom >= 1 else float("inf")

    def beyond(self, value: float) -> float:
        """The one-sided probability of an estimate of `value` or more where the truth is zero."""
        from scipy.special import stdtr

        if self.freedom < 1:
            return 1.0
        if not self.error:
            return 0.0 if value > 0 else 1.0
        return float(stdtr(self.freedom, -value / self.error))


def dependence_of(rows: pa.Table, split: SplitSpec, time: str) -> Dependence:
    """How `rows` depend on each other by the split that parts them: by its group, by `time`, by both, or not.

    Rows without a group are one; rows without a time count as the oldest. An empty `time` is the order of arrival.
    """
    import numpy as np

    from treadle.tasks.dataset.split import moments

    groups = times = None
    if split.group and split.group in rows.column_names:
        groups = np.asarray(rows[split.group].combine_chunks().dictionary_encode().indices.fill_null(-1))
    if split.strategy == "time" and (not time or time in rows.column_names):
        when, known = moments(rows, time)
        times = np.where(known, when, when[known].min() if known.any() else 0)
    return Dependence(groups, times)


def standard_error(influence: np.ndarray, dependence: Dependence, weight: np.ndarray | None = None) -> StandardError:
    """The standard error of the mean of `influence` float64 [n], whose own mean is zero.

    Where the rows have a `weight` [n], `influence` has it in it (tasks/influence.py). Leaving a unit out then takes its
    share of the weight away, and units of unequal weight count as so many fewer (Kish 1965).
    """
    import numpy as np

    rows, weights = len(influence), relative(weight)
    if dependence.groups is None and dependence.times is None:
        return _jackknife(influence, _Sizes.of(np.arange(rows), weights), rows, "rows")
    if dependence.groups is None:
        return _by_time(influence, periods(np.asarray(dependence.times)), weights)
    codes = np.unique(dependence.groups, return_inverse=True)[1]
    by_group = _jackknife(_sums(codes, influence), _Sizes.of(codes, weights), rows, "groups")
    if dependence.times is None:
        return by_group
    period = periods(dependence.times)
    by_time = _by_time(influence, period, weights)
    block = by_time.block
    crossed = _within_groups(influence, codes, period, block)
    scarcer = min(by_group, by_time, key=lambda one: one.units / FEWEST_UNITS[one.unit])
    error = float(np.sqrt(by_group.error**2 + by_time.error**2 + crossed))
    return StandardError(error, min(by_group.freedom, by_time.freedom), scarcer.units, scarcer.unit, block)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What share of the rows' weight each unit has, [units], and how many units of equal size these are worth."""

    shares: Floats
    effective: float

    @staticmethod
    def of(codes: np.ndarray, weights: Floats | None) -> _Sizes:
        """The units that `codes` [n] number; without weights each unit counts as one, whatever its size."""
        import numpy as np

        plain = np.bincount(codes) / len(codes)
        if weights is None:
            return _Sizes(plain, len(plain))
        shares = np.bincount(codes, weights) / weights.sum()
        return _Sizes(shares, float(len(plain) * min(1.0, (plain**2).sum() / (shares**2).sum())))


def usable_error(influence: np.ndarray, dependence: Dependence, weight: np.ndarray | None = None) -> float:
    """The standard error of `standard_error`; where units are too few to tell one, that of rows that do not depend.

    For choices that have to be made, on whatever rows there are.
    """
    import numpy as np

    found = standard_error(influence, dependence, weight)
    if found.freedom >= 1 and np.isfinite(found.error):
        return found.error
    return standard_error(influence, Dependence(), weight).error


def _by_time(influence: Floats, period: np.ndarray, weights: Floats | None) -> StandardError:
    series = _sums(period, influence)
    return _blocks(series, _Sizes.of(period, weights), _longer(block_length(series)), len(influence))


def periods(times: np.ndarray) -> np.ndarray:
    """The period of each row, int [n], numbered in order of time: equal times are one, and `PERIODS` the most."""
    import numpy as np

    _, codes, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(counts) <= PERIODS:
        return np.asarray(codes)
    before = np.cumsum(counts) - counts
    share = before * PERIODS // len(times)
    return np.asarray(np.unique(share, return_inverse=True)[1][codes])


def block_length(series: np.ndarray) -> int:
    """How many neighbouring values of `series` [n] make a block: the automatic rule of Politis & White (2004).

    (2 G² / D)^(1/3) n^(1/3) with D = 4/3 g(0)² (Patton, Politis & White 2009, circular and moving blocks), from
    autocovariances in a flat-top window that reaches twice as far as autocorrelations can be told from zero.
    """
    import numpy as np

    n = len(series)
    centred = series - series.mean()
    if n < 4 or not np.any(centred):
        return 1
    padded = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(padded * np.conj(padded), 2 * n)[:n] / n
    in_a_row = max(5, int(np.sqrt(np.log10(n))))
    furthest = min(int(np.ceil(np.sqrt(n))) + in_a_row, n - 1)
    small = np.abs(covariance[1 : furthest + 1] / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    runs = [start for start in range(len(small) - in_a_row + 1) if small[start : start + in_a_row].all()]
    far = runs[0] if runs else int(np.flatnonzero(~small)[-1]) + 1 if (~small).any() else 1
    window = min(2 * max(far, 1), n - 1)
    lags = np.arange(1, window + 1)
    weight = np.clip(2 * (1 - lags / window), 0, 1) * covariance[1 : window + 1]
    slope, level = 2 * float(weight @ lags), float(covariance[0] + 2 * weight.sum())
    if level <= 0:
        return 1
    best = (2 * slope**2 / (4 / 3 * level**2)) ** (1 / 3) * n ** (1 / 3)
    return int(np.clip(np.ceil(best), 1, min(np.ceil(3 * np.sqrt(n)), np.ceil(n / 3))))


def _sums(codes: np.ndarray, values: Floats, units: int = 0) -> Floats:
    """The sum of `values` for each code from 0 on, [units] or as many as there are."""
    import numpy as np

    return np.bincount(codes, values, units).astype(np.float64)


def _jackknife(sums: Floats, sizes: _Sizes, rows: int, unit: Unit) -> StandardError:
    """From each unit's sum of influences and its share of the rows: sums of squares of what leaving it out changes."""
    import numpy as np

    units = len(sums)
    if units < 2 or sizes.shares.max() > 1 - 1e-12:  # one unit has all of the weight
        return StandardError(float("inf"), 0.0, units, unit)
    squares = (sums / (1 - sizes.shares)) ** 2
    error = float(np.sqrt((units - 1) / units * squares.sum())) / rows
    return StandardError(error, _freedom(squares), sizes.effective, unit)


def _freedom(squares: Floats) -> float:
    """Satterthwaite's degrees of freedom of a sum of independent squares: at most one less than there are."""
    units, total = len(squares), float(squares.sum())
    spread = float((squares**2).sum()) - total**2 / units
    most = float(units - 1)
    return max(1.0, min(most, 2 * total**2 / spread)) if spread > 0 else most


def _blocks(series: Floats, sizes: _Sizes, block: int, rows: int) -> StandardError:
    """The variance of all overlapping blocks of neighbours, as for infinitely many draws of them."""
    import numpy as np

    n = len(series)
    units = sizes.effective / block
    if n / block < 2:
        return StandardError(float("inf"), 0.0, units, "blocks of time", block)
    least = _autoregression(series) / rows
    if block == 1:
        alone = _jackknife(series, sizes, rows, "blocks of time")
        return StandardError(max(alone.error, least), alone.freedom, units, "blocks of time")
    error = float(np.sqrt(_overlapping(series[None, :], block)[0])) / rows
    return StandardError(max(error, least), n / block - 1, units, "blocks of time", block)


def _longer(block: int) -> int:
    return block if block <= 2 else -(-3 * block // 2)


def _autoregression(series: Floats) -> float:
    """The standard deviation of the sum of `series` [n] if it were an autoregression of the first order, not below 0.

    The coefficient r is corrected for its bias by (1 + 3 r) / n (Kendall 1954); the long-run variance is that of the
    residuals over (1 - r)² (Andrews & Monahan 1992).
    """
    import numpy as np

    n = len(series)
    centred = series - series.mean()
    before, after = centred[:-1], centred[1:]
    square = float(before @ before)
    if n < 4 or not square:
        return 0.0
    raw = float(after @ before) / square
    slope = float(np.clip(raw + (1 + 3 * raw) / n, 0, 0.97))
    return float(np.std(after - slope * before, ddof=min(2, n - 2)) * np.sqrt(n) / (1 - slope))


def _overlapping(series: Floats, block: int) -> Floats:
    """The variance of each row's sum, [k], from its blocks (Meketon & Schmeiser 1984, overlapping batch means)."""
    import numpy as np

    n = series.shape[1]
    total = np.cumsum(np.pad(series, ((0, 0), (1, 0))), axis=1)
    sums = total[:, block:] - total[:, :-block] - block * series.mean(axis=1, keepdims=True)
    found: Floats = (sums**2).sum(axis=1) * n**2 / (block * (n - block + 1) * (n - block))
    return found


def _within_groups(influence: Floats, codes: np.ndarray, period: np.ndarray, block: int) -> float:
    """The variance of the mean that time makes within each group, summed over the groups."""
    import numpy as np

    groups, n = int(codes.max()) + 1, int(period.max()) + 1
    if groups > MOST_GROUPS:
        codes = np.random.default_rng(groups).integers(0, MOST_GROUPS, groups)[codes]
        groups = MOST_GROUPS
    if n <= block:
        return 0.0
    table = _sums(codes * n + period, influence, groups * n).reshape(groups, n)
    return float(_overlapping(table, block).sum()) / len(influence) ** 2
