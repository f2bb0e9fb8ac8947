"""Integer columns whose values may name someone or something: a student, a shop, a tariff.

No name or kind tells them from amounts, but the target does: of an amount the neighbours are alike, of an id they are
not. So an id's own rows say more of a row than those of near values do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.features.encoding import typed_column
from treadle.tasks.features.fitting import kept_levels
from treadle.tasks.features.statistics import MOST_CLASSES

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.features.measure import EncodingProblem

LEAST_IDS, ROWS_EACH = 30, 2
"""An integer column of so many values, which come back so often on average, may hold ids."""

BINS, PRIOR_ROWS = 64, 10
"""Neighbours are compared in so many bins; a mean is drawn to that of all rows as by so many rows more."""


def possible_ids(problem: EncodingProblem) -> list[str]:
    """The integer columns whose values tell more than their bins do, those of the most values first.

    Both are asked for the rows that the last fold answers for. Columns that are categories already, or must stay
    numbers, are left out; all are, where there are too many classes for target statistics.
    """
    if problem.task == "multiclass" and problem.classes > MOST_CLASSES:
        return []
    found = {}
    for column in problem.schema.columns:
        name = column.name
        if column.kind != "integer" or name not in problem.columns or name in {*problem.categories, *problem.numbers}:
            continue
        levels = len(kept_levels(typed_column(problem.rows, name)))
        if LEAST_IDS <= levels <= problem.rows.num_rows / ROWS_EACH and _tells_more_than_bins(problem, name):
            found[name] = levels
    return sorted(found, key=lambda name: (-found[name], name))


def _tells_more_than_bins(problem: EncodingProblem, name: str) -> bool:
    import numpy as np
    import pyarrow as pa

    values = typed_column(problem.rows, name).cast(pa.float64(), safe=False).to_numpy()
    y = problem.y.astype(np.float64)
    if problem.task == "multiclass":
        y = (y == np.bincount(problem.y.astype(np.int64)).argmax()).astype(np.float64)
    fold = problem.folds[-1]
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    _, exact = np.unique(values, return_inverse=True)  # missing values are one level
    near = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return _held_error(exact, y, fold.fitted, fold.answered) < _held_error(near, y, fold.fitted, fold.answered)


def _held_error(level: np.ndarray, y: np.ndarray, fitted: np.ndarray, answered: np.ndarray) -> float:
    """The mean squared error of shrunk level means; `level` are codes from 0."""
    import numpy as np

    size, mean = int(level.max()) + 1, float(y[fitted].mean())
    rows = np.bincount(level[fitted], minlength=size)
    means = (np.bincount(level[fitted], y[fitted], size) + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS)
    return float(((y[answered] - means[level[answered]]) ** 2).mean())
