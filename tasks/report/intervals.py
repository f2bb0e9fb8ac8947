"""What the first screen of the report says of regression's intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.coverage import LEAST, by_fifths, interval_coverage
from treadle.tasks.report.story import Finding
from treadle.tasks.report.words import number, percent

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.dependence import Dependence

FEWEST = 200
"""Fifths of fewer rows are not shown: their coverage has a standard error of 0.02 or more."""


def interval_finding(
    y: np.ndarray,
    p: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    dependence: Dependence | None = None,
) -> Finding | None:
    """Coverage and mean width on the holdout, overall and by fifths of the prediction; None without rows.

    `y`, `p` and the ends `lower` and `upper` are of the same n rows, which `weight` [n] weighs; `dependence` says which
    of them depend on each other.
    """
    import numpy as np

    whole = interval_coverage(y, lower, upper, weight=weight, dependence=dependence)
    if whole is None:
        return None
    first = whole.sentence("the holdout's")
    sentences = [f"{first[:1].upper()}{first[1:]}."]
    if whole.fails:
        sentences.append("They promise too much: use them as a rough range only, or train on newer rows.")
    parts = by_fifths(p) if len(p) >= 5 * FEWEST else []
    fifths = [
        interval_coverage(
            y[rows],
            lower[rows],
            upper[rows],
            weight=None if weight is None else weight[rows],
            dependence=dependence.of(rows) if dependence else None,
        )
        for rows in parts
    ]
    known = [one for one in fifths if one is not None]
    if known:
        shares = ", ".join(percent(one.share) for one in known)
        widths = ", ".join(number(one.width, 3) for one in known)
        sentences.append(f"By fifths of the prediction, lowest first: {shares} inside, mean widths {widths}.")
    weak = [place for place, one in enumerate(known) if one.fails]
    if weak:
        named = [("lowest", "second", "third", "fourth", "highest")[place] for place in weak]
        sentences.append(f"Fewer than {percent(LEAST)} lie inside in the {' and the '.join(named)} fifth.")
    if len(y) >= 5 * FEWEST:
        largest = by_fifths(y)[-1]
        inside = (y[largest] >= lower[largest]) & (y[largest] <= upper[largest])
        held = percent(float(np.average(inside, weights=None if weight is None else weight[largest])))
        sentences.append(
            f"They hold for rows of like predictions; of the fifth with the largest values {held} lie inside."
        )
    return Finding("Intervals", tuple(sentences), caution=whole.fails or bool(weak))
