"""How many values lie in their 90% interval, how sure that share is, and when it is too few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.dependence import Dependence

NOMINAL = 0.9
LEAST = 0.87
"""Intervals fail where fewer values than this lie inside, and surely fewer than `NOMINAL`."""


class IntervalCoverage(BaseModel):
    """The share of `rows` values inside their 90% interval, with the ends of its own 95% interval; the mean width.

    `lower` and `upper` are None where there are too few rows, groups or blocks of time to tell.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    share: float
    lower: float | None
    upper: float | None
    width: float

    @property
    def fails(self) -> bool:
        """Whether the intervals promise too much: fewer than `LEAST` inside, and surely fewer than `NOMINAL`."""
        return self.share < LEAST and self.upper is not None and self.upper < NOMINAL

    def sentence(self, whose: str) -> str:
        """The share with its interval and the width, in words; `whose` values they are, as "the holdout's"."""
        sure = (
            "" if self.lower is None else f" (95% interval {100 * self.lower:.1f}% to {100 * (self.upper or 1):.1f}%)"
        )
        return f"the 90% intervals hold {100 * self.share:.1f}% of {whose} values{sure}, mean width {self.width:.4g}"


def interval_coverage(
    y: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    dependence: Dependence | None = None,
) -> IntervalCoverage | None:
    """The coverage of the labels `y` [n] by the intervals `lower` to `upper` [n], ends included; None without rows.

    Rows without an end (NaN) do not count. `weight` [n] weighs rows; `dependence` says which of them depend on each
    other (None: none do), which makes the share less sure.
    """
    import numpy as np

    from treadle.tasks.dependence import Dependence, standard_error
    from treadle.tasks.metrics import share_bounds
    from treadle.tasks.shares import share_ends
    from treadle.tasks.weights import effective_rows, relative

    known = np.isfinite(lower) & np.isfinite(upper) & (True if weight is None else weight > 0)
    if not known.any():
        return None
    at = np.flatnonzero(known)
    y, lower, upper = y[at], lower[at], upper[at]
    weights = None if weight is None else relative(weight[at])
    inside = ((y >= lower) & (y <= upper)).astype(np.float64)
    share = float(np.average(inside, weights=weights))
    moved = (inside - share) * (1.0 if weights is None else weights)
    depends = dependence.of(at) if dependence else Dependence()
    standard = standard_error(moved, depends, weights)
    reach = standard.quantile(0.975)
    low: float | None = None
    high: float | None = None
    if standard.error > 0 and np.isfinite(reach):
        low, high = share_bounds(share, reach * standard.error)
    elif np.isfinite(reach):  # all inside, or all outside: the share has an error all the same
        rows = len(at) if weights is None else effective_rows(weights, weights > 0)
        low, high = map(float, share_ends(share, min(standard.units, rows), reach))
    width = float(np.average(upper - lower, weights=weights))
    return IntervalCoverage(rows=len(at), share=share, lower=low, upper=high, width=width)


def by_fifths(p: np.ndarray) -> list[np.ndarray]:
    """The positions of the rows with the lowest fifth of the predictions `p` [n], with the next one, and so on."""
    import numpy as np

    return np.array_split(np.argsort(p, kind="stable"), min(5, len(p)))
