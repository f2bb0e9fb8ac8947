"""Permutation importance: how much worse the metric gets where a column's values are dealt to other rows.

Breiman 2001, Random Forests, section 10; on holdout rows, repeated, of columns and of groups of columns that are
strongly associated (alone each of these seems to matter little, because the others stand for it).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dependence import Dependence, usable_error
from treadle.tasks.influence import influences
from treadle.tasks.metrics import gain, metric_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.tasks.explain.source import SourceRows

Z = 1.96


@dataclass(frozen=True, slots=True)
class Drop:
    """How much worse the metric gets, positive is worse, with a 95% interval."""

    value: float
    lower: float
    upper: float


def permutation_drops(
    rows: SourceRows,
    metric: str,
    parts: Sequence[tuple[str, ...]],
    *,
    repeats: int,
    seed: int,
    dependence: Dependence | None = None,
    deadline: float = float("inf"),
) -> list[Drop | None]:
    """The drop of `metric` for each of `parts`, whose columns are permuted together; None where it is not defined.

    Parts whose turn comes after the `deadline` (time.perf_counter's) are not measured: None.

    The interval holds the chance of the rows, which may depend on each other (the standard error of the difference of
    influences, tasks/dependence.py), and that of the permutations (their variance over `repeats`).
    """
    import numpy as np

    task, cut = rows.model.task, rows.model.post.threshold
    p = rows.answers(rows.X)
    value = metric_value(task, metric, rows.y, p, rows.weight, threshold=cut)
    moved = influences(metric, rows.y, p, cut, rows.weight)
    sign = gain(metric, 1.0, 0.0)
    orders = [np.random.default_rng((seed, at)).permutation(len(rows.y)) for at in range(repeats)]
    found: list[Drop | None] = []
    for columns in parts:
        if time.perf_counter() > deadline:
            found.append(None)
            continue
        drops, others = [], np.zeros(len(rows.y))
        for order in orders:
            worse = rows.answers(rows.permuted(columns, order))
            drops.append(gain(metric, value, metric_value(task, metric, rows.y, worse, rows.weight, threshold=cut)))
            others += influences(metric, rows.y, worse, cut, rows.weight) / repeats
        mean = float(np.mean(drops))
        if not np.isfinite(mean):
            found.append(None)
            continue
        of_rows = usable_error(sign * (moved - others), dependence or Dependence(), rows.weight)
        of_orders = float(np.var(drops, ddof=1)) / repeats if repeats > 1 else 0.0
        reach = Z * float(np.sqrt(of_rows**2 + of_orders)) if np.isfinite(of_rows) else float("inf")
        found.append(Drop(mean, mean - reach, mean + reach) if np.isfinite(reach) else None)
    return found
