"""How rows are left out in turn, to measure trials and to calibrate: in folds, in windows of time, or once.

Random and group splits leave out a fifth of the rows five times, several times over where rows are few. Time splits
leave out windows that each are as long as the holdout, and fit on what lies before each: a setting that wins in one
season only does not win. Where the budget does not allow that, the validation rows are left out, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dataset.folds import FOLDS, Fold
from treadle.tasks.interval import QUANTILE_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import OpenParts, SplitSpec
    from treadle.tasks.training import Problem

WINDOWS = 3
"""Windows of time that are measured at most."""

AFFORDABLE = 8
"""Rows are left out in turn where the budget allows so many trials of it."""

TYPICAL_ROUNDS = 180
"""Rounds of a trial at the portfolio's rates, with those that find out that no more help."""

QUANTILES_WORTH = 0.05
"""A second booster, of quantiles, is fitted where it costs no more than this share of the budget."""

FEW, FEWEST = 3_000, 1_000
"""Below so many rows they are dealt to folds twice, or three times, as far as the budget allows `AFFORDABLE` trials of
it: one deal is luck."""


ANSWERED = 20_000
"""Once so many rows were answered for, no further fold is fitted: calibration gains no more, and a fit of many rows is
dear."""


class Layout(BaseModel):
    """`kind`: 'folds' (rows dealt, or groups), 'windows' (of time) or 'single' (the validation rows).

    `repeats` is how often rows are dealt to folds. `bagged`: the boosters of the folds are the model; else it is one
    fitted on all rows. `dear`: fits are slow for the budget, so the serving model is calibrated by what the judged one
    says of the holdout, and no fold is fitted for it. `quantiles`: there is time for a second booster, for intervals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["folds", "windows", "single"] = "single"
    repeats: int = 1
    bagged: bool = True
    dear: bool = False
    quantiles: bool = False

    @property
    def quantile_trees(self) -> int:
        """Trees of the second booster."""
        return 2 * QUANTILE_ROUNDS if self.quantiles else 0

    def sentence(self, lanes: int) -> str:
        """How trials are measured, in words; `lanes` are the folds or windows there are."""
        if self.kind == "single" or lanes == 1:
            return "trials are measured on the validation rows"
        if self.kind == "windows":
            return f"trials are measured on {lanes} windows of time, each fitted on what is older"
        times = "" if self.repeats == 1 else f", dealt {self.repeats} times"
        return f"trials are measured in {lanes // self.repeats} folds of rows{times}"


def choose_layout(
    split: SplitSpec,
    *,
    rows: int,
    columns: int,
    outputs: int,
    budget: float,
    folds: str,
    bagged: bool = True,
    quantiles: bool = False,
) -> Layout:
    """The layout for `rows` rows outside the holdout that become `columns` features and `outputs` trees a round.

    `budget` are the seconds of search and fits together; `folds` is 'never' for the validation rows alone. `bagged`
    allows the model to be the average of its folds, `quantiles` a second booster for its intervals. The pace is
    calculated and never measured, so that the same table and budget give the same layout.
    """
    if folds == "never":
        return Layout()
    kind: Literal["folds", "windows"] = "windows" if split.strategy == "time" else "folds"
    trial = trial_seconds(kind, rows=rows, columns=columns, outputs=outputs)
    affordable = budget / 2 / (AFFORDABLE * trial)
    if affordable < 1:
        return Layout(dear=True)
    repeats = min(int(affordable), 1 if kind == "windows" or rows >= FEW else 2 if rows >= FEWEST else 3)
    second = quantiles and quantiles_affordable(trial * repeats, budget)
    return Layout(kind=kind, repeats=repeats, bagged=bagged, quantiles=second)


def trial_seconds(
    kind: Literal["folds", "windows", "single"], *, rows: int, columns: int, outputs: int, repeats: int = 1
) -> float:
    """About how long a trial takes on an ordinary machine, with `rows` rows outside the holdout."""
    fitted = {"folds": rows * (FOLDS - 1) * repeats, "windows": rows * WINDOWS // 2, "single": rows}[kind]
    lanes = {"folds": FOLDS, "windows": WINDOWS, "single": 1}[kind] * repeats
    return TYPICAL_ROUNDS * _expected_pace(rows, fitted, columns, lanes, outputs)


def quantiles_affordable(trial: float, budget: float) -> bool:
    """Whether two trees a round for quantiles fit the `budget` in seconds, for the judged and the serving model.

    `trial` are the seconds that a trial takes on the same lanes.
    """
    return 2 * 2 * QUANTILE_ROUNDS / TYPICAL_ROUNDS * trial <= QUANTILES_WORTH * budget


def affordable_lanes(folds: Sequence[Fold], *, columns: int, rounds: int, seconds: float) -> int:
    """Of how many folds boosters of `rounds` rounds on `columns` features are fitted in `seconds`; at least 1.

    It is calculated, like the layout, for boosters of one tree a round.
    """
    rows = mean_fitted(folds)
    return min(max(1, int(seconds / (rounds * _expected_pace(rows, rows, columns, 1, 1)))), len(folds))


def _expected_pace(rows: int, fitted: int, columns: int, lanes: int, outputs: int) -> float:
    """Seconds of a round on `lanes` of `rows` rows, `fitted` of all lanes together, that become `columns` features."""
    from treadle.tasks.search.space import expected_pace

    bins = columns * min(64, max(2, rows // 4))
    return expected_pace(fitted, columns, bins * lanes, outputs)


def search_folds(
    layout: Layout, problem: Problem, parts: OpenParts, split: SplitSpec, y: np.ndarray, seed: int
) -> tuple[Fold, ...]:
    """Positions among training and validation rows, in this order, that each lane of the search fits and measures.

    `y` [n] are their labels as numbers. Of the holdout nothing is used but its number of rows, by which windows are
    measured. Folds on whose sides a class is missing are left out; where none is left, the validation rows are
    measured.
    """
    import pyarrow as pa

    if layout.kind == "folds":
        found = dealt(problem, pa.concat_tables([parts.train, parts.validation]), split, y, seed, layout.repeats)
    elif layout.kind == "windows":
        found = _windows(problem, parts, split)
    else:
        found = ()
    if split.strategy == "time" and split.group:
        rows = pa.concat_tables([parts.train, parts.validation])
        found = tuple(_of_new_groups(fold, rows, split.group) for fold in found)
    usable = [fold for fold in found if problem.task == "regression" or _two_labels(y, fold)]
    return tuple(usable) or single_fold(parts)


def single_fold(parts: OpenParts) -> tuple[Fold, ...]:
    """Training rows are fitted, validation rows answered for."""
    import numpy as np

    train = len(parts.train)
    return (Fold(np.arange(train), np.arange(train, train + len(parts.validation))),)


def dealt(
    problem: Problem, rows: pa.Table, split: SplitSpec, y: np.ndarray, seed: int, repeats: int = 1
) -> tuple[Fold, ...]:
    """`FOLDS` folds of `rows`, `repeats` times over: by group, or without a key rows of one content together.

    Where `split.duplicates` is 'apart', rows of one content are dealt like any others.
    """
    from treadle.tasks.dataset import folds

    found: list[Fold] = []
    for repeat in range(repeats):
        if split.strategy == "group":
            found += folds.grouped_folds(rows, [split.group], repeat)
        elif problem.key or split.duplicates == "apart":
            found += folds.dealt_folds(y, seed + 7_919 * repeat)
        else:
            no_inputs = (problem.target, problem.weight)
            inputs = [name for name in rows.column_names if name not in no_inputs and not name.startswith("_")]
            found += folds.grouped_folds(rows, inputs, repeat)
    return tuple(found)


def _windows(problem: Problem, parts: OpenParts, split: SplitSpec) -> tuple[Fold, ...]:
    """The newest windows before the holdout, oldest first; each is fitted on what is older than it."""
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import folds
    from treadle.tasks.dataset.split import gap_units, moments

    rows = pa.concat_tables([parts.train, parts.validation])
    when, has_time = moments(rows, problem.time)
    when = np.where(has_time, when.astype(np.float64), -np.inf)
    ordered, length = np.sort(when), parts.holdout_rows
    starts = []
    for window in range(1, WINDOWS + 1):
        first = len(ordered) - window * length
        if first >= length * 2 // 3:  # fewer rows to fit than that say little about a fit on all
            starts.append(float(ordered[first]))
    return folds.rolling_folds(when, tuple(sorted(set(starts))), gap_units(rows, split.gap, problem.time))


def _of_new_groups(fold: Fold, rows: pa.Table, group: str) -> Fold:
    """The fold with the answered rows of groups that are not fitted: the gate judges no others. All, where none is."""
    import numpy as np

    from treadle.tasks.dataset.split import known_groups

    fitted = np.zeros(len(rows), dtype=bool)
    fitted[fold.fitted] = True
    new = fold.answered[~known_groups(rows, group, fitted)[fold.answered]]
    return Fold(fold.fitted, new) if len(new) else fold


def _two_labels(y: np.ndarray, fold: Fold) -> bool:
    import numpy as np

    return all(len(np.unique(y[side])) > 1 for side in (fold.fitted, fold.answered))


def usable_folds(y: np.ndarray, found: Sequence[Fold]) -> list[Fold]:
    """The folds to fit: the last ones of `found` whose fitted rows have two labels or more, until rows are enough."""
    import numpy as np

    chosen: list[Fold] = []
    for fold in reversed(found):
        if sum(len(one.answered) for one in chosen) < ANSWERED and len(np.unique(y[fold.fitted])) >= 2:
            chosen.append(fold)
    return chosen


def mean_fitted(folds: Sequence[Fold]) -> int:
    """How many rows a lane fits, on average."""
    return sum(len(fold.fitted) for fold in folds) // max(1, len(folds))
