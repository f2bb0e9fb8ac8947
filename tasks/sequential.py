"""Has the loss risen since a version became champion? A test that holds however often it is looked at.

Each look takes all labelled rows since the promotion and computes the evidence of a rise: a number that is, in a world
that stays as it is, above 20 at any look of a year with a probability of at most 1 in 20 (Ville 1939). So looks need no
state: a promotion begins anew, and the same rows give the same evidence.

For one size of the rise the evidence is that of an empirical-Bernstein confidence sequence (Howard, Ramdas, McAuliffe &
Sekhon 2021, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49(2), theorem 4):
exp(b (S - n m) - psi(b) V) with psi(b) = (-log(1 - c b) - c b) / c², where S is the sum of the losses, m their
expected mean, V the sum of their squared distances from m, and no loss is more than c below m. Losses are 0 or more, so
that c = m; above they need no bound for the error rate, and are clipped so that no single row hides the others.

- Sizes: the mean over `RISES`, by their `RISE_SHARES`, so that a rise of 2.5% or less is no finding, however many rows
  there are.
- When: the mean over beginnings, half of it the promotion and the rest each window of a year, so that a rise is found
  that comes late. Windows before it then count as holdout, where they were not better than it.
- The expected mean is an estimate. Its error enters as in the likelihood ratio of two normal means whose common mean is
  unknown: b n = rise / (variance of the realised mean + variance of the expected), and half of (b n)² times the latter
  is taken off. This part is asymptotic (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Time-uniform central limit
  theory and asymptotic confidence sequences, Annals of Statistics 52(6)).
- Rows that depend on each other count as so many fewer as their standard error says (tasks/dependence.py), with the
  quantile of Student's t at the freedom of the units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dependence import Dependence, standard_error
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.influence import Floats

STABLE_YEARS = 20
"""In one stable year of so many the evidence reaches this number."""

RISES = (0.05, 0.1, 0.2, 0.4)
"""The rises of the loss that are looked for, as shares of the expected loss."""

RISE_SHARES = (1 / 6, 1 / 2, 1 / 6, 1 / 6)
"""The share of the evidence that each of them has: a rise of a tenth is to be found soon."""

PARTS = 7
"""A window is cut in so many parts of time, to see whether neighbours are alike."""

FEWEST_WINDOWS = 3
"""Fewer windows of a dated table do not show how windows differ."""

OVERLAPPING = 1.5
"""Degrees of freedom of a variance from overlapping blocks, over those from as many that do not overlap."""

TAIL = 0.005
"""The tail at which Student's t is compared with the normal distribution."""


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """The mean loss on the holdout with its standard error; `largest` is what a row's loss is clipped at."""

    value: float
    error: float
    largest: float = math.inf


@dataclass(frozen=True, slots=True)
class LossSums:
    """Losses less the expected one, summed by part of a window: arrays [parts] in order of time.

    `window` numbers each part's window from 0 on, `count` its rows, `total` and `squares` are the sums. No row is more
    than `below` under the expected loss. `dated` says whether rows that are near in time depend on each other;
    `grouped` is by how much groups of rows that depend on each other raise the variance.
    """

    window: np.ndarray
    count: Floats
    total: Floats
    squares: Floats
    below: float
    dated: bool = False
    grouped: float = 1.0


class LossRise(BaseModel):
    """What a look found: `labelled` rows in `windows` windows since the promotion.

    `evidence` of a rise, which in a stable world reaches 20 in at most 1 year of 20; `risen` says that it has. `loss`
    is the mean loss of all these rows where `expected` was; `least` is the share by which the loss has risen at least
    (lower end of the 95% confidence sequence), 0 where it may not have.
    """

    model_config = ConfigDict(frozen=True)

    labelled: int
    windows: int
    loss: float
    expected: float
    evidence: float
    least: float

    @property
    def risen(self) -> bool:
        """Whether the loss has risen, at the stated error rate."""
        return self.evidence >= STABLE_YEARS


def loss_sums(
    losses: Floats,
    expected: ExpectedLoss,
    window: np.ndarray,
    part: np.ndarray,
    *,
    dated: bool = False,
    groups: np.ndarray | None = None,
    weight: Floats | None = None,
) -> LossSums:
    """Sum `losses` [n] by `window` [n] and by `part` of it [n] (int each, rising with time).

    `groups` [n] are codes of rows that depend on each other. A row's loss counts as often as its `weight` [n] says,
    relative to the mean.
    """
    import numpy as np

    weights = relative(weight)
    each = np.ones(len(losses)) if weights is None else weights
    over = each * (losses - expected.value)
    width = int(part.max()) - int(part.min()) + 1
    places, codes = np.unique(window * width + (part - part.min()), return_inverse=True)
    _, numbers = np.unique(places // width, return_inverse=True)
    count, total, squares = (np.bincount(codes, one, len(places)).astype(np.float64) for one in (each, over, over**2))
    grouped = 1.0
    if groups is not None:
        moved = over - each * (over.sum() / each.sum())
        grouped = _inflation(moved, Dependence(groups), weight)
    below = max(expected.value * float(each.max()), float(-over.min()))
    return LossSums(numbers, count, total, squares, below, dated, grouped)


def _inflation(moved: Floats, dependence: Dependence, weight: np.ndarray | None = None) -> float:
    """How many times larger the variance of a mean is than if its rows were independent; at least 1, or infinite."""
    import numpy as np

    found = standard_error(moved, dependence, weight)
    alone = float(np.sqrt((moved**2).sum())) / len(moved)
    if not alone:
        return 1.0
    return max(1.0, (found.error / alone) ** 2) * _few_units(found.freedom)


def _few_units(freedom: float) -> float:
    """The square of Student's quantile over the normal one: what an error from few units must be widened by."""
    from scipy.special import ndtri, stdtrit

    return float((stdtrit(freedom, TAIL) / ndtri(TAIL)) ** 2) if freedom >= 1 else math.inf


def look(expected: ExpectedLoss, sums: LossSums, windows_a_year: int) -> LossRise:
    """The evidence of a rise in all rows that are summed, and how much the loss has risen at least."""
    import numpy as np

    windows = int(sums.window.max()) + 1 if len(sums.window) else 0
    rows = float(sums.count.sum())
    evidence = _log_evidence(expected, sums, windows_a_year)
    mean = float(sums.total.sum() / rows) if rows else 0.0
    return LossRise(
        labelled=round(rows),
        windows=windows,
        loss=expected.value + mean,
        expected=expected.value,
        evidence=float(np.exp(min(evidence, 700.0))),
        least=_least(expected, sums, windows_a_year) if evidence >= math.log(STABLE_YEARS) else 0.0,
    )


def _least(expected: ExpectedLoss, sums: LossSums, windows_a_year: int) -> float:
    """The largest rise, as a share of the expected loss, that the confidence sequence leaves out."""
    low, high = 0.0, 1.0

    def left_out(rise: float) -> bool:
        shift = rise * expected.value
        moved = replace(
            sums,
            total=sums.total - shift * sums.count,
            squares=sums.squares - 2 * shift * sums.total + shift**2 * sums.count,
            below=sums.below + shift,
        )
        at = replace(expected, value=expected.value + shift, error=expected.error * (1 + rise))
        return _log_evidence(at, moved, windows_a_year) >= math.log(STABLE_YEARS)

    while left_out(high) and high < 1e3:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if left_out(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class _Since:
    """Sums from each beginning on, and before it: arrays [beginnings]; `inflation` is that of the variance since."""

    count: Floats
    total: Floats
    squares: Floats
    before: Floats
    total_before: Floats
    squares_before: Floats
    inflation: Floats
    prior: Floats

    @staticmethod
    def of(sums: LossSums, windows_a_year: int) -> _Since:
        import numpy as np

        windows = int(sums.window.max()) + 1
        each = [np.bincount(sums.window, one, windows) for one in (sums.count, sums.total, sums.squares)]
        until = [np.cumsum(one) - one for one in each]
        since = [one.sum() - before for one, before in zip(each, until, strict=True)]
        chosen = np.unique(np.r_[0, np.arange(max(0, windows - windows_a_year), windows)])
        prior = np.where(chosen == 0, 0.5, 0.5 / max(windows_a_year, 1))
        inflation = np.array([_since_inflation(sums, int(first)) for first in chosen])
        count, total, squares = (one[chosen] for one in since)
        before = [one[chosen] for one in until]
        return _Since(count, total, squares, before[0], before[1], before[2], inflation, prior)


def _since_inflation(sums: LossSums, first: int) -> float:
    """By how much dependence raises the variance of the mean of the rows from window `first` on.

    In time it is seen on these rows and on those before them, of which the larger counts: a rise between the two is in
    neither, and a few windows show little of how windows differ. Of a late beginning it is also seen on whole windows,
    as one window that differs is a rise of its own. From the promotion on it is not: of few windows that would hide
    every rise.
    """
    if not sums.dated:
        return sums.grouped
    if sums.window.max() + 1 < FEWEST_WINDOWS:
        return math.inf
    seen = [_in_time(sums, sums.window >= first), _in_time(sums, sums.window < first)]
    freedom = max(one[1] for one in seen)
    more = sums.grouped - 1
    by_part = (max(1.0, *(one[0] for one in seen)) + more) * _few_units(freedom)
    if not first:
        return by_part
    ratio, freedom = _between_windows(sums, first)
    return max(by_part, (max(1.0, ratio) + more) * _few_units(freedom))


def _between_windows(sums: LossSums, first: int) -> tuple[float, float]:
    """The variance between windows over that of independent rows, with its degrees of freedom.

    The windows from `first` on and those before it each differ from their own mean: an analysis of variance.
    """
    import numpy as np

    count, total, squares = (np.bincount(sums.window, one) for one in (sums.count, sums.total, sums.squares))
    between = within = freedom = 0.0
    for side in (slice(None, first), slice(first, None)):
        held = count[side] > 0  # rows of weight 0 tell nothing
        if not held.any():
            continue
        rows, sums_of = count[side][held], total[side][held]
        mean = sums_of.sum() / rows.sum()
        between += float(((sums_of - mean * rows) ** 2 / rows).sum())
        within += float(squares[side].sum() - rows.sum() * mean**2)
        freedom += len(rows) - 1
    alone = within / float(count.sum())
    return (between / freedom / alone, freedom) if freedom > 0 and alone > 0 else (1.0, freedom)


def _in_time(sums: LossSums, chosen: np.ndarray) -> tuple[float, float]:
    """The variance of the mean of the `chosen` parts over that of independent rows, with its degrees of freedom.

    From blocks that overlap it has half as many degrees again as from blocks that do not (Meketon & Schmeiser 1984).
    """
    import numpy as np

    chosen = chosen & (sums.count > 0)
    count, total, squares = sums.count[chosen], sums.total[chosen], sums.squares[chosen]
    rows, parts = count.sum(), len(count)
    if parts < 2:
        return 1.0, 0.0
    mean = total.sum() / rows
    alone = float(squares.sum() - rows * mean**2) / rows**2
    found = standard_error((total - mean * count) * (parts / rows), Dependence(None, np.arange(parts)))
    if alone <= 0 or found.freedom < 1:
        return 1.0, found.freedom
    return found.error**2 / alone, found.freedom * (OVERLAPPING if found.block > 1 else 1.0)


def _log_evidence(expected: ExpectedLoss, sums: LossSums, windows_a_year: int) -> float:
    """The logarithm of the evidence; minus infinity where no beginning can be judged."""
    import numpy as np
    from scipy.special import logsumexp

    if not sums.count.sum():
        return -math.inf
    one = _Since.of(sums, windows_a_year)
    able = np.isfinite(one.inflation)
    if not able.any():
        return -math.inf
    with np.errstate(all="ignore"):
        reference, variance = _reference(expected, one)
        gain = one.total / one.count - reference
        spread = one.squares - 2 * reference * one.total + one.count * reference**2
        base = expected.value + reference
        # the error of the expected loss is one of its logarithm: so much wider is it at the realised loss
        ratio = np.maximum(1 + gain / base, 1 + 1e-6)
        variance = variance * ((ratio - 1) / np.log(ratio)) ** 2
        effective = one.count / one.inflation
        bet = np.array(RISES) * (base / (one.inflation * spread / one.count**2 + variance))[:, None]
        below = (sums.below + reference)[:, None]
        bet = np.minimum(bet / effective[:, None], 0.5 / below)
        penalty = _psi(bet, below) * (spread / one.inflation)[:, None]
        total = bet * effective[:, None]
        evidence = total * gain[:, None] - penalty - total**2 * variance[:, None] / 2
    weighted = evidence + np.log(one.prior)[:, None] + np.log(RISE_SHARES)
    return float(logsumexp(weighted[able & (one.count > 0)]))


def _reference(expected: ExpectedLoss, one: _Since) -> tuple[Floats, Floats]:
    """What a rise is measured from, less the expected loss, and its variance: holdout and earlier windows together.

    Never below the holdout: a model that was better for a while has promised no more.
    """
    import numpy as np

    known = np.where(
        (one.before > 0) & np.isfinite(one.inflation[0]) & (one.squares_before > 0),
        one.before**2 / (one.inflation[0] * one.squares_before),
        0.0,
    )
    variance = 1 / (1 / expected.error**2 + known)
    mean = np.where(one.before > 0, one.total_before / np.maximum(one.before, 1e-300), 0.0)
    return np.maximum(mean * known * variance, 0.0), variance


def _psi(bet: Floats, below: Floats) -> Floats:
    """The cumulant bound of losses that are at most `below` under their mean, for bets up to half of 1 / below."""
    import numpy as np

    share = bet * below
    found: Floats = (-np.log1p(-share) - share) / below**2
    return found
