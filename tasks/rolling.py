"""Rolling origins: windows as long as a month, each answered for by a model of what is older.

They show what a version may be wrong by in the month after it was made, and calibrate the version by more than the
newest rows (Tashman 2000, Out-of-sample tests of forecasting accuracy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.calibration import WINDOWS
from treadle.tasks.dataset.folds import Fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.base_rate import BaseRate
    from treadle.tasks.calibration import Chosen
    from treadle.tasks.dataset import SplitSpec
    from treadle.tasks.fitting import Fit
    from treadle.tasks.training import Problem

DAYS = 30

MOST_WINDOWS = 11
"""Origins, each half a window after the one before it: each costs a fit."""

EIGHTHS = 8
"""Where the rows do not span months enough, a window is this share of them."""

FEWEST_BEFORE = 1 / 8
"""A window is fitted where at least this share of the rows is older."""

MOST_FITTED, MOST_ANSWERED = 25_000, 10_000
"""Rows of a window that are fitted, and answered for, at most: drawn at random from all that are there."""

MOST_OF_DEAR = 10_000
"""Rows of a window that are fitted at most where fits are dear for the budget."""


@dataclass(frozen=True, slots=True)
class WindowLength:
    """How long a window is: `units` of time as `dataset.split.moments` counts them, or (where 0) so many `rows`."""

    units: float
    rows: int

    @property
    def words(self) -> str:
        """The length in words: '30 days', '2,500 rows'."""
        return f"{DAYS} days" if self.units else f"{self.rows:,} rows"


def window_length(rows: pa.Table, problem: Problem) -> WindowLength:
    """A window of `DAYS` days where `WINDOWS` of them lie behind the first eighth of the rows; else an eighth of them.

    Rows without a time are not counted.
    """
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset.split import gap_units, moments

    when, known = moments(rows, problem.time)
    if problem.time and known.any() and pa.types.is_temporal(rows.schema.field(problem.time).type):
        units = float(gap_units(rows, f"{DAYS}d", problem.time))
        times = np.sort(when[known].astype(np.float64))
        if times[-1] - times[int(len(times) * FEWEST_BEFORE)] >= WINDOWS * units:
            return WindowLength(units, 0)
    return WindowLength(0.0, max(1, len(rows) // EIGHTHS))


def rolling_windows(
    rows: pa.Table, problem: Problem, split: SplitSpec, y: np.ndarray, most: int = MOST_FITTED
) -> tuple[Fold, ...]:
    """Windows of `rows`, the oldest first; each is to be fitted on (`most` rows of) what is older than it and its gap.

    `y` [n] are the labels as numbers. Windows are as long as `window_length` and begin half of that apart, so that a
    row is in two of them; the last ends with the newest row. Rows without a time count as the oldest. Where the rows
    to fit lack a second label there is no window; a month in which nothing happened is one.
    """
    import numpy as np

    from treadle.tasks.dataset.split import gap_units, moments

    when, known = moments(rows, problem.time)
    if not known.any():
        return ()
    times = np.where(known, when.astype(np.float64), when[known].min())
    length, ordered = window_length(rows, problem), np.sort(times)
    steps = range(MOST_WINDOWS + 1, -1, -1)
    if length.units:
        cuts = [float(ordered[-1] - length.units * step / 2) for step in steps[:-1]]
    else:
        cuts = [float(ordered[max(0, len(ordered) - length.rows * step // 2)]) for step in steps[:-1]]
    cuts.append(np.inf)
    first, gap = float(ordered[int(len(ordered) * FEWEST_BEFORE)]), gap_units(rows, split.gap, problem.time)
    draw, found = np.random.default_rng(len(rows)), []
    for start, end in zip(cuts, cuts[2:], strict=False):
        before = times <= start - gap if gap else times < start
        fold = Fold(np.flatnonzero(before), np.flatnonzero((times >= start) & (times < end)))
        labelled = problem.task == "regression" or len(np.unique(y[fold.fitted])) > 1
        if start >= first and labelled and len(fold.fitted) and len(fold.answered):
            found.append(Fold(_some(fold.fitted, most, draw), _some(fold.answered, MOST_ANSWERED, draw)))
    return tuple(found)


def _some(rows: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    import numpy as np

    return rows if len(rows) <= most else np.sort(draw.choice(rows, most, replace=False))


def window_codes(folds: Sequence[Fold], count: int) -> np.ndarray:
    """The newest window of each of `count` rows, numbered from the oldest; -1 in none. `folds` are the oldest first."""
    import numpy as np

    codes = np.full(count, -1, dtype=np.int64)
    for number, fold in enumerate(folds):
        codes[fold.answered] = number
    return codes


def chosen_calibration(
    problem: Problem, fit: Fit, rows: pa.Table, split: SplitSpec, windows: Sequence[Fold] = ()
) -> Chosen | None:
    """The map that wins on the rows that were left out, and their probabilities by it; None for regression.

    Of a time split maps are measured on later rows: on the next of `windows`, the oldest first, or where there are none
    on pieces of the answered rows. Groups are left out whole.
    """
    import numpy as np

    from treadle.tasks.calibration import choose_calibration, cut_by_time
    from treadle.tasks.dependence import dependence_of
    from treadle.tasks.weights import relative

    at = fit.answered
    if problem.task == "regression" or not at.any():
        return None
    depends = dependence_of(rows, split, problem.time).of(np.flatnonzero(at))
    codes = None if depends.times is None else cut_by_time(depends.times.astype(np.float64))
    if codes is not None and len(windows) >= WINDOWS:
        codes = window_codes(windows, len(rows))[at]
    return choose_calibration(
        problem.task,
        fit.raw[at].astype(np.float32),
        fit.y[at],
        relative(None if fit.weight is None else fit.weight[at]),
        codes,
        depends.groups,
    )


def rolling_rates(
    problem: Problem, fit: Fit, rows: pa.Table, windows: Sequence[Fold], chosen: Chosen
) -> tuple[BaseRate, ...]:
    """The errors of the base rate in `windows`, the oldest first, each answered for by what is older.

    A window's answers are calibrated by the method of `chosen`, fitted on rows older than the window, by their age.
    """
    import numpy as np

    from treadle.tasks.base_rate import base_rates, joined_windows
    from treadle.tasks.calibration_maps import fit_map
    from treadle.tasks.postprocess import label_text

    labels, length = [label_text(label) for label in problem.classes], window_length(rows, problem).words
    codes = window_codes(windows, len(rows))
    weight = np.ones(len(rows)) if fit.weight is None else fit.weight
    found: tuple[BaseRate, ...] = ()
    for number, fold in enumerate(windows):
        raw = (fit.by_fold[number] if fit.by_fold else fit.raw[fold.answered]).astype(np.float32)
        p, older = raw.astype(np.float64), (codes >= 0) & (codes < number) & fit.answered
        if chosen.calibration.method != "none" and len(np.unique(fit.y[older])) > 1:
            known = fit.raw[older].astype(np.float32).astype(np.float64)
            aged = weight[older] * chosen.age ** (number - 1.0 - codes[older])
            made = fit_map(problem.task, chosen.calibration.method, known, fit.y[older].astype(np.int64), aged)
            p = made.of(raw)
        window = np.zeros(len(p), dtype=np.int64)
        rates = base_rates(labels, length, window, fit.y[fold.answered], p, weight[fold.answered])
        found = joined_windows(found, rates)
    return found


def holdout_rates(
    problem: Problem, length: WindowLength, times: np.ndarray, y: np.ndarray, p: np.ndarray, weight: np.ndarray | None
) -> tuple[BaseRate, ...]:
    """The errors of the base rate in the first two windows of the holdout, which the judged model answers for.

    `times` [n] are the holdout rows' as `dataset.split.moments` counts them, `p` [n] or [n, classes] the calibrated
    probabilities. A window of which less than half is there does not count.
    """
    import numpy as np

    from treadle.tasks.base_rate import base_rates
    from treadle.tasks.postprocess import label_text

    if length.units:
        place = (times.astype(np.float64) - float(times.min())) / length.units
    else:
        place = np.searchsorted(np.sort(times), times, side="left") / length.rows
    codes = np.floor(place).astype(np.int64)
    whole = min(2, int(np.floor(place.max() + 0.5)))
    codes[codes >= whole] = -1
    labels = [label_text(label) for label in problem.classes]
    return base_rates(labels, length.words, codes, y, p, weight, held_out=True)
