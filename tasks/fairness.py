"""How a model's answers differ between groups of rows, such as sexes or ages, and how sure that is.

Every figure of a group is the mean of something over some of its rows: the share that is called positive over all, the
true positive rate over the rows that are positive. Each has an interval, and so has the difference between the largest
and the smallest of several groups:

- A share has Wilson's interval (1927), which holds where few or no rows are counted. Rows that depend on each other, or
  have unequal weights, count as so many independent ones as have the same standard error (Korn & Graubard 1998), and
  Student's quantile takes the normal one's place. Other means lie as many standard errors away as Student's t says.
- The difference of two groups is bounded from the bounds of both (method of variance estimates recovery, Zou & Donner,
  Statistics in Medicine 27, 2008; for shares this is Newcombe's interval, 1998). Where rows depend on each other the
  correlation of the two figures is estimated and used.
- Which groups are the extremes is known only after looking, so each of the k (k - 1) differences, either way round, is
  bounded at tail / (k (k - 1)): by Bonferroni's inequality all hold together (Dunn 1961). Then the largest of the lower
  bounds and the largest of the upper bounds hold for the difference between the largest and the smallest group.

The criteria: selection rate, demographic parity; true positive rate, equal opportunity, and with the false positive
rate, equalised odds (Hardt, Price & Srebro 2016); precision, predictive parity (Chouldechova 2017); calibration within
groups (Kleinberg, Mullainathan & Raghavan 2016). Where the groups' true rates differ, no model can satisfy all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from treadle.tasks.dependence import Dependence, StandardError, standard_error
from treadle.tasks.influence import class_codes, row_losses
from treadle.tasks.shares import share_ends
from treadle.tasks.weights import effective_rows, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from treadle.tasks.influence import Floats

Criterion = Literal[
    "", "selection_rate", "true_positive_rate", "false_positive_rate", "equalised_odds", "precision", "calibration",
    "error", "recall", "coverage",
]  # fmt: skip

CRITERIA: Mapping[str, tuple[Criterion, ...]] = {
    "binary": (
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
        "equalised_odds",
        "precision",
        "calibration",
        "error",
    ),
    "multiclass": ("error", "recall"),
    "regression": ("error", "calibration", "coverage"),
}
"""By what groups are compared, by task."""

RECALL = "recall of "
"""Begins the name of a class's recall."""

FEWEST_IN_GROUP, FEWEST_OF_BASE = 50, 10
"""A group of fewer rows, and a figure over fewer, are shown but not judged; weighted: as many of equal weight."""

MOST_GROUPS = 20
"""So many groups of a column are compared, the largest."""

MOST_CLASSES = 10
"""The recall of so many classes is compared, the most frequent."""

ENDS = 0.025
"""Intervals that are shown leave this out at either end."""


@dataclass(frozen=True, slots=True)
class DeliveredAnswers:
    """What a model answers for n rows, as it is delivered.

    `y` [n] class codes or values, `p` [n] or [n, classes] probabilities or values; `threshold` is the least probability
    that is called positive; `inside` [n] says whether a regression's interval holds the value (None: it has none);
    `classes` are the names of a multiclass task's; `weight` [n] weighs the rows (None: all alike).
    """

    task: str
    y: Floats
    p: Floats
    threshold: float = 0.5
    inside: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    dependence: Dependence = field(default_factory=Dependence)
    weight: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class GroupMeasure:
    """The mean of `values` [n] over the rows of the mask `among` [n]; `share`: its values are 0 and 1.

    `implied` [n] is the variance of each value by the model's own probabilities, a floor of what is seen.
    """

    name: str
    values: Floats
    among: np.ndarray | None = None
    share: bool = True
    implied: Floats | None = None


def group_measures(answers: DeliveredAnswers) -> tuple[GroupMeasure, ...]:
    """What is measured in every group, for the task."""
    import numpy as np

    y, p = np.asarray(answers.y, dtype=np.float64), np.asarray(answers.p, dtype=np.float64)
    if answers.task == "regression":
        found = [GroupMeasure("error", np.abs(y - p), share=False), GroupMeasure("calibration", y - p, share=False)]
        if answers.inside is not None:
            found.append(GroupMeasure("coverage", answers.inside.astype(np.float64)))
        return tuple(found)
    answered = class_codes(p, answers.threshold)
    wrong = GroupMeasure("error", (answered != y).astype(np.float64))
    if answers.task == "multiclass":
        codes, counts = np.unique(y.astype(np.int64), return_counts=True)
        frequent = codes[np.argsort(-counts, kind="stable")][:MOST_CLASSES].tolist()
        recalls = (
            GroupMeasure(f"{RECALL}{answers.classes[code]}", (answered == code).astype(np.float64), y == code)
            for code in sorted(frequent)
        )
        return (wrong, *recalls, GroupMeasure("log_loss", row_losses("log_loss", y, p), share=False))
    positive, flagged = y == 1, answered == 1
    return (
        GroupMeasure("positive_rate", positive.astype(np.float64)),
        GroupMeasure("selection_rate", flagged.astype(np.float64)),
        GroupMeasure("true_positive_rate", flagged.astype(np.float64), positive),
        GroupMeasure("false_positive_rate", flagged.astype(np.float64), ~positive),
        GroupMeasure("precision", positive.astype(np.float64), flagged),
        GroupMeasure("calibration", y - p, share=False, implied=p * (1 - p)),
        wrong,
        GroupMeasure("brier", row_losses("brier", y, p), share=False),
    )


def measures_of(criterion: str, measures: Sequence[GroupMeasure]) -> tuple[GroupMeasure, ...]:
    """The measures whose differences make the criterion: two of equalised odds, all recalls."""
    if criterion == "equalised_odds":
        return tuple(one for one in measures if one.name in ("true_positive_rate", "false_positive_rate"))
    if criterion == "recall":
        return tuple(one for one in measures if one.name.startswith(RECALL))
    return tuple(one for one in measures if one.name == criterion)


@dataclass(frozen=True, slots=True)
class GroupMean:
    """A group's mean, how sure it is, and the positions of its rows.

    `effective` is how many independent rows say as much; `normal`: its bounds need no Student's t.
    """

    group: str
    at: np.ndarray
    value: float
    standard: StandardError
    effective: float
    share: bool
    normal: bool
    enough: bool

    def ends(self, tail: float) -> tuple[float, float]:
        """The bounds that each leave `tail` out; infinite where nothing can be said."""
        from scipy.special import ndtri

        quantile = float(-ndtri(tail)) if self.normal else self.standard.quantile(1 - tail)
        if not math.isfinite(quantile) or not math.isfinite(self.standard.error):
            return (0.0, 1.0) if self.share else (-math.inf, math.inf)
        if self.share:
            return share_ends(self.value, self.effective, quantile)
        return self.value - quantile * self.standard.error, self.value + quantile * self.standard.error


def group_mean(answers: DeliveredAnswers, measure: GroupMeasure, group: str, rows: np.ndarray) -> GroupMean | None:
    """The mean of `measure` over those of the positions `rows` that it is over; None where there are none."""
    import numpy as np

    at = rows if measure.among is None else rows[measure.among[rows]]
    if not len(at):
        return None
    weight = None if answers.weight is None else answers.weight[at]
    values, depends = measure.values[at], answers.dependence.of(at)
    value = float(np.average(values, weights=weight))
    alone = depends.groups is None and depends.times is None
    most = effective_rows(weight, np.ones(len(at), dtype=bool))
    standard = standard_error(_moved(values, value, weight), depends, weight)
    if measure.implied is not None:
        weights = relative(weight)
        weights = np.ones(len(at)) if weights is None else weights
        least = math.sqrt(float(weights**2 @ measure.implied[at])) / float(weights.sum())
        standard = replace(standard, error=max(standard.error, least))
    effective = float(most)
    if measure.share and not (alone and weight is None):
        spread = value * (1 - value)
        effective = min(effective, spread / standard.error**2 if spread and standard.error else standard.units)
    whole = most if measure.among is None else effective_rows(answers.weight, _mask(len(answers.y), rows))
    return GroupMean(
        group=group,
        at=at,
        value=value,
        standard=standard,
        effective=max(effective, 1.0),
        share=measure.share,
        normal=measure.share and alone,
        enough=whole >= FEWEST_IN_GROUP and most >= FEWEST_OF_BASE and (alone or not standard.few),
    )


def _mask(size: int, at: np.ndarray) -> np.ndarray:
    import numpy as np

    mask = np.zeros(size, dtype=bool)
    mask[at] = True
    return mask


def _moved(values: Floats, value: float, weight: np.ndarray | None) -> Floats:
    """The influence of each row on the mean of `values` [k]."""
    import numpy as np

    weights = relative(weight)
    moved = values - value
    return np.asarray(moved if weights is None else moved * weights * (len(values) / weights.sum()))


@dataclass(frozen=True, slots=True)
class Extremes:
    """The groups of the largest and the smallest mean among those that may be judged, and every pair's correlation."""

    means: tuple[GroupMean, ...]
    correlations: Mapping[tuple[int, int], float]

    @property
    def largest(self) -> GroupMean:
        """The group of the largest mean."""
        return max(self.means, key=lambda one: one.value)

    @property
    def smallest(self) -> GroupMean:
        """The group of the smallest mean."""
        return min(self.means, key=lambda one: one.value)

    @property
    def comparisons(self) -> int:
        """How many differences there are, either way round."""
        return len(self.means) * (len(self.means) - 1)

    def bounds(self, tail: float) -> tuple[float, float, tuple[GroupMean, GroupMean]]:
        """Lower and upper bound of the largest difference, and the pair that is surest, the larger mean first.

        Each bound leaves out `tail` for all differences together.
        """
        ends = [one.ends(tail / self.comparisons) for one in self.means]
        found = [
            (*self._difference(first, second, ends), (self.means[first], self.means[second]))
            for first in range(len(self.means))
            for second in range(len(self.means))
            if first != second
        ]
        lower, _, pair = max(found, key=lambda one: one[0])
        return max(lower, 0.0), max(one[1] for one in found), pair

    def _difference(self, first: int, second: int, ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Bounds of the first mean less the second, from the bounds of both (Zou & Donner 2008)."""
        difference = self.means[first].value - self.means[second].value
        together = self.correlations.get((min(first, second), max(first, second)), 0.0)
        down, up = self.means[first].value - ends[first][0], ends[first][1] - self.means[first].value
        other_up, other_down = ends[second][1] - self.means[second].value, self.means[second].value - ends[second][0]
        reach = [_together(down, other_up, together), _together(up, other_down, together)]
        return difference - reach[0], difference + reach[1]


def _together(one: float, other: float, correlation: float) -> float:
    if not math.isfinite(one + other):
        return math.inf
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))


def extremes(answers: DeliveredAnswers, measure: GroupMeasure, means: Sequence[GroupMean]) -> Extremes | None:
    """The groups that may be judged by `measure`, compared; None where there are fewer than two."""
    judged = tuple(one for one in means if one.enough)
    if len(judged) < 2:
        return None
    correlations = {}
    if answers.dependence.groups is not None or answers.dependence.times is not None:
        correlations = {
            (first, second): _correlation(answers, measure, judged[first], judged[second])
            for second in range(len(judged))
            for first in range(second)
        }
    return Extremes(judged, correlations)


def _correlation(answers: DeliveredAnswers, measure: GroupMeasure, first: GroupMean, second: GroupMean) -> float:
    """The correlation of two groups' means, from the standard error of their difference."""
    import numpy as np

    product = first.standard.error * second.standard.error
    if not product or not math.isfinite(product):
        return 0.0
    at = np.concatenate([first.at, second.at])
    moved = []
    for one, sign in ((first, 1.0), (second, -1.0)):
        weight = None if answers.weight is None else answers.weight[one.at]
        moved.append(sign * _moved(measure.values[one.at], one.value, weight) * len(at) / len(one.at))
    weight = None if answers.weight is None else answers.weight[at]
    between = standard_error(np.concatenate(moved), answers.dependence.of(at), weight).error
    if not math.isfinite(between):
        return 0.0
    found = (first.standard.error**2 + second.standard.error**2 - between**2) / (2 * product)
    return float(np.clip(found, -1.0, 1.0))


def selection_ratio(means: Sequence[GroupMean]) -> tuple[float, float, float] | None:
    """The smallest over the largest share, with its 95% interval; None where none is above 0.

    The four-fifths rule of the US guidelines asks for 0.8 (29 CFR 1607.4 D). The bounds of the k shares hold together
    (Bonferroni), so the ratios of their extremes hold too.
    """
    largest = max(one.value for one in means)
    if not largest:
        return None
    ends = [one.ends(ENDS / len(means)) for one in means]
    low, high = (tuple(one[end] for one in ends) for end in (0, 1))
    most = min(high) / max(low) if max(low) > 0 else 1.0
    return min(one.value for one in means) / largest, max(0.0, min(low) / max(high)), min(1.0, most)


def compared_groups(
    levels: Sequence[str], codes: np.ndarray, *, in_order: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """The positions of each group's rows, of the largest groups; `codes` [n] number the `levels`.

    They come by size, or in the order of the levels.
    """
    import numpy as np

    counts = np.bincount(codes, minlength=len(levels))
    largest = np.argsort(-counts, kind="stable")[:MOST_GROUPS]
    for code in np.sort(largest) if in_order else largest:
        if counts[code]:
            yield levels[code], np.flatnonzero(codes == code)
