"""What a threshold means on the newest holdout rows: how many it calls positive, how many rightly, what it misses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dependence import Dependence, standard_error
from treadle.tasks.performance import MetricBounds
from treadle.tasks.postprocess import label_text
from treadle.tasks.threshold import ThresholdRule, newest_half
from treadle.tasks.weights import effective_rows, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from treadle.tasks.postprocess import ClassLabel
    from treadle.tasks.report import Finding

LEVEL = 0.95
DRIFT = 1.5
"""Where so many times as many rows are called positive as are, or as many times fewer, the report says so."""

FEWEST_OF_A_CLASS = 10
"""The newest rows speak for themselves where they have so many rows of both classes."""


class FlagCost(BaseModel):
    """Mean cost of mistakes per 1,000 rows: by the delivered predictions, by calling no row positive, and every row."""

    model_config = ConfigDict(frozen=True)

    delivered: float
    none: float
    all: float


class FlagMeaning(BaseModel):
    """What a threshold means on `rows` holdout rows, the newest ones where they are dated (`newest`).

    `flagged` is the share of rows that are called positive, `positives` the share that are; `precision` is the share of
    called rows that are positive (None: none is called), `recall` the share of positive rows that are called, each with
    its 95% interval (None where rows are too few or depend too much on each other). `accuracy` is the share of right
    predictions, `frequent` that of always answering the more frequent class.
    """

    model_config = ConfigDict(frozen=True)

    threshold: float
    chosen_by: str
    rows: int
    newest: bool
    positives: float
    flagged: MetricBounds
    precision: MetricBounds
    recall: MetricBounds
    accuracy: float
    frequent: float
    cost: FlagCost | None = None

    def sentence(self) -> str:
        """The figures in one line."""
        rows = f"the {'newest ' if self.newest else ''}{self.rows:,} holdout rows"
        if self.precision.value is None:
            return f"positive from {self.threshold:.3g} on: none of {rows}, of which {self.positives:.1%} are positive"
        return (
            f"positive from {self.threshold:.3g} on: {_percent(self.flagged)} of {rows}, of which {self.positives:.1%} "
            f"are positive; precision {_percent(self.precision)}, recall {_percent(self.recall)}"
        )

    def metrics(self) -> dict[str, float]:
        """The figures under one name each, for a metrics store; what is not defined is left out."""
        named: dict[str, float | None] = {
            "flagged": self.flagged.value,
            "positives": self.positives,
            "precision": self.precision.value,
            "recall": self.recall.value,
            "accuracy": self.accuracy,
            "frequent_class_accuracy": self.frequent,
            "cost_per_1000": self.cost.delivered if self.cost else None,
        }
        return {f"flag_{name}": value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Counted:
    """Rows by truth and prediction: masks [n], weights [n] of mean 1, and how the rows depend on each other."""

    actual: np.ndarray
    called: np.ndarray
    weight: np.ndarray
    dependence: Dependence

    def share(self, of: np.ndarray, among: np.ndarray) -> MetricBounds:
        """The weighted share of `of` among the rows of the mask `among`, with its interval.

        Wilson's interval (1927) for as many rows as the share's standard error says, which knows of dependence and
        weights; where that error is 0, for the rows of equal weight that say as much.
        """
        import numpy as np

        total = float(self.weight @ among)
        if not total:
            return MetricBounds(value=None, lower=None, upper=None)
        value = float(self.weight @ (of & among)) / total
        moved = self.weight * ((of & among) - value * among) * (len(among) / total)
        standard = standard_error(moved, self.dependence, self.weight)
        reach, rows = standard.quantile((1 + LEVEL) / 2), float(effective_rows(self.weight, among))
        if not np.isfinite(reach) or not np.isfinite(standard.error):
            return MetricBounds(value=value, lower=None, upper=None)
        if standard.error > 0:
            rows = min(rows, value * (1 - value) / standard.error**2)
        spread = reach**2 / max(rows, 1e-9)
        middle = (value + spread / 2) / (1 + spread)
        half = np.sqrt(spread * value * (1 - value) + spread**2 / 4) / (1 + spread)
        lower, upper = max(0.0, float(middle - half)), min(1.0, float(middle + half))
        return MetricBounds(value=value, lower=min(lower, value), upper=max(upper, value))


def flag_meaning(
    rule: ThresholdRule,
    threshold: float,
    y: np.ndarray,
    p: np.ndarray,
    weight: np.ndarray | None = None,
    dependence: Dependence | None = None,
) -> FlagMeaning:
    """What a binary model's `threshold`, chosen by `rule`, means on holdout rows.

    `y` [n] labels as 0 and 1, `p` [n] calibrated probabilities, `weight` [n] weighs the rows (None: all alike).
    `dependence` says which rows depend on each other. Dated rows count from the middle of the holdout on, where these
    have 10 rows of either class.
    """
    import numpy as np

    known = dependence or Dependence()
    newest = newest_half(known.times)
    if newest is not None and min((y[newest] == 1).sum(), (y[newest] != 1).sum()) < FEWEST_OF_A_CLASS:
        newest = None
    at = np.arange(len(y)) if newest is None else np.flatnonzero(newest)
    weights = relative(None if weight is None else weight[at])
    each = np.ones(len(at)) if weights is None else np.asarray(weights)
    one = _Counted(y[at] == 1, p[at] >= threshold, each, known.of(at))
    every = np.ones(len(at), dtype=bool)
    total, positives = float(each.sum()), float(each @ one.actual)
    missed, alarms = float(each @ (one.actual & ~one.called)), float(each @ (~one.actual & one.called))
    cost = None
    if rule.by == "cost":
        thousand = 1_000 / total
        cost = FlagCost(
            delivered=thousand * (rule.miss * missed + rule.alarm * alarms),
            none=thousand * rule.miss * positives,
            all=thousand * rule.alarm * (total - positives),
        )
    return FlagMeaning(
        threshold=threshold,
        chosen_by=rule.words(),
        rows=len(at),
        newest=newest is not None,
        positives=positives / total,
        flagged=one.share(one.called, every),
        precision=one.share(one.actual, one.called),
        recall=one.share(one.called, one.actual),
        accuracy=1 - (missed + alarms) / total,
        frequent=max(positives, total - positives) / total,
        cost=cost,
    )


def flag_finding(meaning: FlagMeaning, rule: ThresholdRule, target: str, classes: Sequence[ClassLabel]) -> Finding:
    """The report's words on it; a caution where calling rows positive says little or nothing."""
    from treadle.tasks.report import Finding

    negative, positive = (label_text(one) for one in classes)
    return Finding(
        title=f"What the prediction '{positive}' means",
        sentences=tuple(_sentences(meaning, rule, target, negative, positive)),
        caution=_says_little(meaning) or (rule.by == "positives" and _drift(meaning) > 0),
    )


def _sentences(meaning: FlagMeaning, rule: ThresholdRule, target: str, negative: str, positive: str) -> Iterator[str]:
    yield f"{target} is predicted as '{positive}' from a probability of {meaning.threshold:.3g} on: {_reason(rule)}."
    if rule.by == "positives":
        yield "Misses and false alarms are about equally many there. [score] cost, flag or threshold sets another rule."
    rows = f"the newest {meaning.rows:,} holdout rows" if meaning.newest else f"the {meaning.rows:,} holdout rows"
    share = "none" if meaning.precision.value is None else _percent(meaning.flagged)
    yield f"Of {rows} {meaning.positives:.1%} are '{positive}', and {share} are predicted so."
    if rule.by == "positives" and (times := _drift(meaning)):
        yield (
            f"That is {times:.2g} times as many as are '{positive}': these rows differ from those by which the "
            "threshold was chosen."
        )
    if meaning.precision.value is not None:
        yield (
            f"Of the rows predicted so {_percent(meaning.precision)} are '{positive}' (precision); of all that are, "
            f"{_percent(meaning.recall)} are predicted so (recall)."
        )
    frequent = positive if meaning.positives > 0.5 else negative
    yield (
        f"{meaning.accuracy:.1%} of the predictions are right; always answering '{frequent}' is right in "
        f"{meaning.frequent:.1%}" + (f", and finds no '{positive}'." if frequent == negative else ".")
    )
    if cost := meaning.cost:
        yield (
            f"Mistakes cost {cost.delivered:,.4g} for each 1,000 rows; predicting '{negative}' for all costs "
            f"{cost.none:,.4g}, '{positive}' for all {cost.all:,.4g}."
        )


def _reason(rule: ThresholdRule) -> str:
    match rule.by:
        case "positives":
            return "of the rows left out of the fit, as many are predicted so as are so"
        case "cost":
            return f"a miss costs {rule.miss:g} and a false alarm {rule.alarm:g} ([score] cost)"
        case "share":
            return f"{rule.value:.1%} of the newest rows left out of the fit reach it ([score] flag)"
        case "number":
            return "[score] threshold says so"
        case _:
            where = "[score] threshold" if rule.declared else "[tune] metric"
            return f"there {rule.by.replace('_', ' ')} is highest on rows left out of the fit ({where})"


def _percent(share: MetricBounds) -> str:
    if share.value is None:
        return "none"
    if share.lower is None or share.upper is None:
        return f"{share.value:.1%}"
    return f"{share.value:.1%} ({share.lower:.1%} to {share.upper:.1%})"


def _drift(meaning: FlagMeaning) -> float:
    """How many times as many rows are called positive as are, where that is surely no chance and beyond `DRIFT`."""
    flagged, positives = meaning.flagged, meaning.positives
    if flagged.value is None or flagged.lower is None or flagged.upper is None or not positives:
        return 0.0
    surely = not flagged.lower <= positives <= flagged.upper
    times = flagged.value / positives
    return times if surely and not 1 / DRIFT <= times <= DRIFT else 0.0


def _says_little(meaning: FlagMeaning) -> bool:
    """Whether no row is called, or those that are called are not surely positive more often than others."""
    lower = meaning.precision.lower
    return meaning.precision.value is None or (lower is not None and lower <= meaning.positives)
