"""Do probabilities come true on the holdout? Calibration in the large, and the calibration slope.

Calibration in the large is the mean probability less the observed rate. The slope is that of a logistic regression of
the label on the logit of the probability (Cox 1958, Two further applications of a model for binary regression): below 1
the probabilities are too far from the base rate, above 1 too near. Both have 95% intervals that know which rows depend
on each other, and weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.base_rate import widest
from treadle.tasks.dependence import Dependence, StandardError, standard_error
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from treadle.tasks.base_rate import BaseRate
    from treadle.tasks.influence import Floats
    from treadle.tasks.report import Finding

CONFIDENCE = 0.95

STEPS = 50
"""Of Newton's method, which takes fewer than ten where there is a maximum."""

WIDE_MONTH = 0.1
"""A month's base rate that may be off by more than this is marked in the report."""

FEWEST = 10
"""Rows of each class from which on a slope is fitted."""


class Reliability(BaseModel):
    """How one class's probabilities came true: `difference` is `predicted` less `observed`, `slope` is Cox's.

    The ends of the intervals are None where the rows do not tell them (too few that are independent), the slope too
    where it cannot be fitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    rows: int
    predicted: float
    observed: float
    difference: float
    lower: float | None = None
    upper: float | None = None
    slope: float | None = None
    slope_lower: float | None = None
    slope_upper: float | None = None

    @property
    def off(self) -> bool:
        """Whether the mean or the slope is surely off."""
        mean = self.lower is not None and self.upper is not None and not self.lower <= 0 <= self.upper
        ends = (self.slope_lower, self.slope_upper)
        return mean or (ends[0] is not None and ends[1] is not None and not ends[0] <= 1 <= ends[1])

    def sentences(self) -> tuple[str, ...]:
        """Both figures in words."""
        between = "" if self.lower is None else f" (95% interval {self.lower:+.3f} to {self.upper:+.3f})"
        found = [
            f"On the holdout the mean probability of {self.label} is {self.predicted:.3f}, and {self.observed:.3f} of "
            f"the rows are: a difference of {self.difference:+.3f}{between}."
        ]
        if self.slope is not None:
            ends = (
                "" if self.slope_lower is None else f" (95% interval {self.slope_lower:.2f} to {self.slope_upper:.2f})"
            )
            if self.slope_lower is not None and self.slope_upper is not None and self.slope_upper < 1:
                why = "its probabilities are too far from the base rate"
            elif self.slope_lower is not None and self.slope_lower > 1:
                why = "its probabilities are too near to the base rate"
            else:
                why = "1 is right, below it probabilities are too far from the base rate"
            found.append(f"The calibration slope is {self.slope:.2f}{ends}: {why}.")
        return tuple(found)


def reliability(
    task: str,
    labels: Sequence[str],
    y: np.ndarray,
    p: np.ndarray,
    weight: np.ndarray | None = None,
    dependence: Dependence | None = None,
) -> tuple[Reliability, ...]:
    """Of a binary task one value, of the positive class; of more classes one each against the rest; else none.

    `labels` are the classes in the order of their codes, `y` [n] codes, `p` [n] or [n, classes] probabilities.
    """
    import numpy as np

    if task == "regression" or not len(y):
        return ()
    depends = dependence or Dependence()
    if p.ndim == 1:
        return (_of_class(labels[-1], y == 1, p, weight, depends),)
    return tuple(
        _of_class(label, y == code, np.asarray(p[:, code]), weight, depends) for code, label in enumerate(labels)
    )


def farthest(found: Sequence[Reliability]) -> Reliability | None:
    """The class whose mean probability is the furthest off, surely ones first; None where there is none."""
    return max(found, key=lambda one: (one.off, abs(one.difference)), default=None)


def calibration_findings(found: Sequence[Reliability], rates: Sequence[BaseRate]) -> tuple[Finding, ...]:
    """What the report says first of both: of several classes the one that is the furthest off."""
    from treadle.tasks.report import Finding

    findings = []
    if one := farthest(found):
        others = f"Of {len(found)} classes it is the furthest off; the result of `train --json` has the others."
        more = (others,) if len(found) > 1 else ()
        findings.append(Finding("Are its probabilities right?", (*one.sentences(), *more), caution=one.off))
    if month := widest(rates):
        ends = month.interval
        wide = ends is None or max(map(abs, ends)) > WIDE_MONTH
        findings.append(Finding("How far may a month be off?", month.sentences(), caution=wide))
    return tuple(findings)


def calibration_metrics(found: Sequence[Reliability], rates: Sequence[BaseRate]) -> dict[str, float]:
    """The same as numbers, by their names among a run's metrics; what is not known is left out."""
    named: dict[str, float | None] = {}
    if one := farthest(found):
        named |= {"holdout_calibration_in_the_large": one.difference, "holdout_calibration_slope": one.slope}
    if (month := widest(rates)) and (ends := month.interval):
        named |= {"month_base_rate_lower": ends[0], "month_base_rate_upper": ends[1]}
    return {name: value for name, value in named.items() if value is not None}


def _of_class(
    label: str, hit: np.ndarray, p: np.ndarray, weight: np.ndarray | None, dependence: Dependence
) -> Reliability:
    import numpy as np

    y, p = hit.astype(np.float64), p.astype(np.float64)
    relative_weight = relative(weight)
    weights = np.ones(len(y)) if relative_weight is None else relative_weight
    share = len(y) / weights.sum()
    predicted, observed = float(weights @ p / weights.sum()), float(weights @ y / weights.sum())
    off = predicted - observed
    lower, upper = _ends(off, standard_error((p - y - off) * weights * share, dependence, weight))
    found: dict[str, float | None] = {"lower": lower, "upper": upper}
    counting = y[weights > 0]
    if min(counting.sum(), len(counting) - counting.sum()) >= FEWEST and (cox := _slope(y, p, weights)) is not None:
        slope, moved = cox
        ends = _ends(slope, standard_error(moved, dependence, weight))
        found |= {"slope": slope, "slope_lower": ends[0], "slope_upper": ends[1]}
    return Reliability(label=label, rows=len(y), predicted=predicted, observed=observed, difference=off, **found)


def _ends(value: float, error: StandardError) -> tuple[float | None, float | None]:
    """The ends of the interval; None where they are not finite."""
    import numpy as np

    half = error.quantile((1 + CONFIDENCE) / 2) * error.error if error.freedom >= 1 else float("inf")
    return (value - half, value + half) if np.isfinite(half) else (None, None)


def _slope(y: Floats, p: Floats, weights: Floats) -> tuple[float, Floats] | None:
    """The slope of y on logit p by maximum likelihood, and each row's influence on it [n]; None where there is none."""
    import numpy as np

    inside = np.clip(p, 1e-7, 1 - 1e-7)
    X = np.column_stack([np.ones(len(y)), np.log(inside / (1 - inside))])
    if not np.ptp(X[weights > 0, 1]):
        return None
    free = np.array([0.0, 1.0])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(X @ free, -500, 500)))
        information = (X * (weights * chance * (1 - chance))[:, None]).T @ X
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, X.T @ (weights * (y - chance)))
        free = free + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            scores = X * (weights * (y - chance))[:, None]
            moved = len(y) * np.linalg.solve(information, scores.T)[1]
            return float(free[1]), np.asarray(moved)
    return None
