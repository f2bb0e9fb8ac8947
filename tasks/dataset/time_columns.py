"""Columns that only tell time apart (a year, a drifting index): which they are, and which of them hurt.

A tree that learns such a column knows times, and every later row is beyond what it has seen.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import error_of_windows
from treadle.tasks.dataset.order import BLOCKS, FEWEST_ROWS, Shape, blocks_of, quick_losses, surely

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.dataset.folds import Fold

TELLS = 0.75
"""AUC from which on a column alone tells early rows from late ones."""

BINS = 32

YEAR = 365.0

MOST_FITTED = 20_000
"""On so many rows at most a model is fitted that says whether a column hurts."""

FEWEST_FITTED = 1_000
"""On fewer rows nothing is measured where the time is short."""

FIXED_AS_ROWS = 5_000
"""What a small model takes whatever its rows, as rows: 20,000 rows take four times as long as 1,000."""

TUNED: Shape = (6, 0.1, 80)
"""Depth, learning rate and rounds of these models."""


@dataclass(frozen=True, slots=True)
class TimeTelling:
    """A column that alone tells early rows from late ones, and with which AUC."""

    column: str
    auc: float


def time_telling_columns(X: np.ndarray, columns: Mapping[str, Sequence[int]]) -> tuple[TimeTelling, ...]:
    """The columns that tell the first half of the rows of `X` [n, features] from the second, the best first.

    `X` is encoded, NaN for missing, and in order of time; `columns` maps each source column to its features' indices.
    Each feature is looked at alone: how often a row of each of `BINS` bins is late is learned from blocks of rows, and
    asked of others. Below `FEWEST_ROWS` rows, and below an AUC of `TELLS`, no column tells.
    """
    if len(X) < FEWEST_ROWS:
        return ()
    found = []
    for name, indices in columns.items():
        aucs = [auc for auc in (_alone(X[:, index]) for index in indices) if surely(auc - 0.5)]
        best = max((float(auc.mean()) for auc in aucs), default=0.5)
        if best >= TELLS:
            found.append(TimeTelling(name, best))
    return tuple(sorted(found, key=lambda one: -one.auc))


@dataclass(frozen=True, slots=True)
class Hurting:
    """The columns without which later rows are answered for better; whether the clock limited what was measured."""

    columns: tuple[str, ...] = ()
    by_clock: bool = False


def hurting_columns(
    task: str,
    rows: MatrixRows,
    *,
    columns: Mapping[str, Sequence[int]],
    candidates: Sequence[str],
    folds: Sequence[Fold],
    until: float = math.inf,
    rising: Collection[str] = (),
) -> Hurting:
    """Those of `candidates` without which later rows are answered for better, in the order in which they went.

    `columns` maps every source column to its features' indices in `rows.X`, `folds` are rolling ones (`rolling_folds`).
    A quick booster is fitted on up to `MOST_FITTED` rows of each fold, the last, with and without the column; it goes
    where the loss (squared error, log loss) without it is lower by more than a standard error, over all rows that were
    answered for and over the folds: what helps in one season only stays. Then the others are tried again without it.
    The last column of all never goes. Nothing is begun after `until`, a moment of the monotonic clock. Of `rising`
    candidates, which never fall as time goes on, every later value lies beyond those that are known: they go unless the
    loss with them is lower by more than that. This is measured on fewer rows where the time is short, and until twice
    the time has passed; a column for which no time is left stays.
    """
    import numpy as np

    open_ = [name for name in candidates if name in columns]
    usable = [fold for fold in folds if task == "regression" or len(np.unique(rows.y[fold.fitted])) >= 2]
    if not usable or not open_:
        return Hurting()
    aside, latest, most = [name for name in open_ if name in rising], until, MOST_FITTED
    if not aside or len(aside) == len(columns):
        aside = []
    else:
        latest = until + max(until - time.monotonic(), 0.0)
        most = _rows_in_time(task, rows, usable, sets=1 + len(aside), until=until, latest=latest)
    limited = most < min(MOST_FITTED, max(len(fold.fitted) for fold in usable))
    if not most:  # no rising column can be measured: it stays
        open_, aside, most = [name for name in open_ if name not in aside], [], MOST_FITTED
        if not open_ or time.monotonic() >= until:
            return Hurting(by_clock=True)

    def losses(of: Collection[str]) -> list[np.ndarray]:
        X = rows.X[:, [index for name in of for index in columns[name]]]
        fits = ((_spread(fold.fitted, most), fold.answered) for fold in usable)
        return [quick_losses(task, X, rows.y, *fit, TUNED) for fit in fits]

    gone = list(aside)
    kept = {name: at for name, at in columns.items() if name not in gone}
    whole = losses(kept)
    for name in aside:
        stays = time.monotonic() >= latest
        if not stays:
            beside = losses([other for other in columns if other in kept or other == name])
            if stays := gain_in_errors(whole, beside) > 1:
                whole = beside
        if stays:
            gone.remove(name)
            kept = {other: at for other, at in columns.items() if other not in gone}
    open_ = [name for name in open_ if name not in aside]
    while open_ and len(kept) > 1 and time.monotonic() < until:
        without = {name: losses([other for other in kept if other != name]) for name in open_}
        saved = {name: gain_in_errors(whole, loss) for name, loss in without.items()}
        worst = max(saved, key=lambda name: saved[name])
        if saved[worst] <= 1:
            break
        open_ = [name for name in open_ if name != worst and saved[name] > 0]
        whole = without[worst]
        del kept[worst]
        gone.append(worst)
    return Hurting(tuple(gone), limited or time.monotonic() >= until)


def _spread(fitted: np.ndarray, most: int) -> np.ndarray:
    """The last `MOST_FITTED` of the rows, or `most` of these at even distances: neighbouring rows show no rise."""
    import numpy as np

    newest = fitted[-MOST_FITTED:]
    return newest if len(newest) <= most else newest[np.linspace(0, len(newest) - 1, most).astype(np.int64)]


def _rows_in_time(task: str, rows: MatrixRows, folds: Sequence[Fold], *, sets: int, until: float, latest: float) -> int:
    """So many rows of each fold that `sets` models of each end before `until`, `MOST_FITTED` at most.

    Forecast from the seconds of one model of `FEWEST_FITTED` rows. So many are returned at least; 0 where even theirs
    would end after `latest`.
    """
    import xgboost  # noqa: F401  so that the seconds of its import do not count

    fold, began = folds[-1], time.monotonic()
    if began >= latest:
        return 0
    if until == math.inf or max(len(one.fitted) for one in folds) <= FEWEST_FITTED:
        return MOST_FITTED
    quick_losses(task, rows.X, rows.y, _spread(fold.fitted, FEWEST_FITTED), fold.answered, TUNED)
    each = (time.monotonic() - began) * sets * len(folds)
    left = until - time.monotonic()
    if each > latest - time.monotonic():
        return 0
    affordable = left / each * (FEWEST_FITTED + FIXED_AS_ROWS) - FIXED_AS_ROWS
    return int(min(max(affordable, FEWEST_FITTED), MOST_FITTED))


def rising_columns(X: np.ndarray, columns: Mapping[str, Sequence[int]]) -> frozenset[str]:
    """The columns none of whose features ever falls in `X` [n, features], whose rows are in order of time.

    What is missing is passed over; a column that is always the same does not rise.
    """
    import numpy as np

    def rises(values: np.ndarray) -> bool:
        known = values[~np.isnan(values)]
        return bool(len(known) > 1 and known[-1] > known[0] and (np.diff(known) >= 0).all())

    return frozenset(name for name, indices in columns.items() if all(rises(X[:, index]) for index in indices))


def _alone(values: np.ndarray) -> np.ndarray:
    """AUC of the second half of the rows against the first by one feature, in pairs of blocks by the other blocks."""
    import numpy as np

    edges = np.empty(0)
    if np.isfinite(values).any():
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.where(np.isnan(values), BINS, np.searchsorted(edges, values, side="right"))
    block, half = blocks_of(len(values)), BLOCKS // 2
    counts = np.bincount(block * (BINS + 1) + bins, minlength=BLOCKS * (BINS + 1)).reshape(BLOCKS, BINS + 1)
    # the bins of a block that is left out are empty: neighbours speak for them
    near = 0.25 ** np.abs(np.subtract.outer(np.arange(BINS + 1), np.arange(BINS + 1)))
    near[BINS, :BINS] = near[:BINS, BINS] = 0
    aucs = []
    for pair in range(half):
        early, late = counts[pair], counts[pair + half]
        before, after = counts[:half].sum(axis=0) - early, counts[half:].sum(axis=0) - late
        order = np.argsort((after @ near) / ((before + after) @ near + 1e-9), kind="stable")
        below = np.cumsum(early[order]) - early[order] / 2
        aucs.append(float((late[order] * below).sum() / (early.sum() * late.sum())))
    return np.array(aucs)


def gain_in_errors(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """By how many standard errors the mean loss falls; both are lists of the rows' losses in each window of time.

    The error is the larger one of two: over rows, and over windows, whose rows have their season in common.
    """
    import numpy as np

    gains = np.concatenate(before) - np.concatenate(after)
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    error = max(
        error, error_of_windows([(len(old), float((old - new).mean())) for old, new in zip(before, after, strict=True)])
    )
    return float(gains.mean()) / error if error else 0.0


def season_comes_back(days: np.ndarray, first_window: float, horizon: float) -> bool:
    """Whether later rows lie in a season of the history that no window of it could use.

    `days` [n] are the times in days of the rows outside the holdout, `first_window` is the start of the oldest window,
    `horizon` the length of a window, and so of the holdout and of what comes after it. A calendar column then seems
    useless on the windows, and is not afterwards: with eleven months of history the next month is in its first one.
    """
    begin, end = float(days.min()), float(days.max())
    return first_window - begin < YEAR <= end + 2 * horizon - begin
