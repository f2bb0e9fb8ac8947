"""The probability from which a binary prediction is positive: how a person declares it, and how it is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from treadle.tasks.influence import Floats

    Counts = tuple[Floats, Floats, float, float]
    """(Weight of) rows called positive and hits of each candidate, of all positives, of all rows."""

ThresholdMetric = Literal["f1", "f1_macro", "accuracy", "balanced_accuracy"]

FEWEST_NEWEST = 500
"""The newest half of dated rows speaks for itself from so many rows on."""


class MistakeCosts(BaseModel):
    """What a missed positive costs beside a false alarm; only their ratio matters to the threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    miss: float = Field(gt=0, allow_inf_nan=False, description="the cost of a positive row that is not called so")
    alarm: float = Field(gt=0, allow_inf_nan=False, description="the cost of a negative row that is called positive")


class ThresholdKeys(BaseModel):
    """Keys of [score] that say which rows are called positive; at most one of them is set (binary only)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cost: MistakeCosts | None = Field(
        None,
        description="what mistakes cost, such as { miss = 5, alarm = 1 }: positive from alarm / (alarm + miss) on",
    )
    flag: float | None = Field(None, gt=0, lt=1, description="share of rows that are called positive")
    threshold: ThresholdMetric | Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="the probability from which a row is called positive, or the metric that chooses it"
    )

    @property
    def declared(self) -> dict[str, object]:
        """The keys that are set, as they stand in the file."""
        keys = self.model_dump(mode="json", include=set(ThresholdKeys.model_fields))
        return {name: value for name, value in keys.items() if value is not None}


class ThresholdRule(BaseModel):
    """How the threshold is chosen on rows that were left out.

    `by`: 'positives' (as many rows are called positive as are), 'cost' (of a `miss` and an `alarm`), 'share' (`value`
    of the rows), 'number' (`value` itself) or the metric that is highest. `declared`: the config asks for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["positives", "cost", "share", "number"] | ThresholdMetric = "positives"
    value: float = 0.0
    miss: float = 1.0
    alarm: float = 1.0
    declared: bool = False

    def words(self) -> str:
        """The rule in short, as a version's spec keeps it."""
        match self.by:
            case "cost":
                return f"cost: miss {self.miss:g}, alarm {self.alarm:g}"
            case "share":
                return f"flag: {self.value:g}"
            case "number":
                return f"threshold: {self.value:g}"
            case "positives":
                return "as many as are positive"
            case _:
                return f"threshold: {self.by}"


DEFAULT_RULE = ThresholdRule()
"""As many rows are called positive as are."""


def threshold_rule(keys: ThresholdKeys, metric: str) -> ThresholdRule:
    """The rule that `[score]` declares; without one F1 or accuracy where models are judged by it, else 'positives'."""
    if keys.cost is not None:
        return ThresholdRule(by="cost", miss=keys.cost.miss, alarm=keys.cost.alarm, declared=True)
    if keys.flag is not None:
        return ThresholdRule(by="share", value=keys.flag, declared=True)
    if isinstance(keys.threshold, float):
        return ThresholdRule(by="number", value=keys.threshold, declared=True)
    if keys.threshold is not None:
        return ThresholdRule(by=keys.threshold, declared=True)
    if metric == "f1" or metric == "accuracy":  # noqa: PLR1714 - so that the type checker knows the two
        return ThresholdRule(by=metric)
    return DEFAULT_RULE


def choose_threshold(
    rule: ThresholdRule,
    p: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    newest: np.ndarray | None = None,
) -> float:
    """The least probability that is called positive, by `rule`, from rows that the model was not fitted on.

    `p` float64 [n] are calibrated probabilities, `y` [n] labels as 0 and 1, `weight` [n] weighs the rows (None: all
    alike), `newest` is a mask [n] of those whose share is flagged by the rule 'share' (None: all).

    By cost a row is called positive where that costs less on average, from alarm / (alarm + miss) on (Elkan 2001, The
    foundations of cost-sensitive learning, IJCAI). All other rules take the probability halfway between two neighbours
    that part the rows, or one above all of them, which calls no row positive. Of equally good ones the highest is
    taken.
    """
    if rule.by == "cost":
        return rule.alarm / (rule.alarm + rule.miss)
    if rule.by == "number":
        return rule.value
    if rule.by == "share" and newest is not None and newest.any():
        p, y, weight = p[newest], y[newest], None if weight is None else weight[newest]
    if rule.by in ("positives", "share"):

        def nearness(called: Floats, _hits: Floats, positives: float, rows: float) -> Floats:
            return -abs(called - (positives if rule.by == "positives" else rule.value * rows)) / rows

        return _best_cut(nearness, p, y, weight)
    return _best_cut(_SCORES[rule.by], p, y, weight)


def newest_half(times: np.ndarray | None) -> np.ndarray | None:
    """A mask [n] of the newer half of rows by `times` [n]; None for undated rows and where it would be too few."""
    import numpy as np

    if times is None or not len(times):
        return None
    newer: np.ndarray = times >= np.sort(times)[len(times) // 2]
    return newer if newer.sum() >= FEWEST_NEWEST and not newer.all() else None


def _best_cut(
    score: Callable[[Floats, Floats, float, float], Floats],
    p: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
) -> float:
    """The probability that parts rows of the highest `score` from the rest."""
    import numpy as np

    order = np.argsort(-p, kind="stable")
    ranked, positive = p[order], (y[order] == 1).astype(np.float64)
    each = np.ones(len(p)) if weight is None else weight[order]
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    called = np.append(0.0, np.cumsum(each)[ends])
    hits = np.append(0.0, np.cumsum(each * positive)[ends])
    # sums of weights are equal up to rounding
    best = int(np.argmax(np.round(score(called, hits, float(hits[-1]), float(called[-1])), 12)))
    if best == 0:
        above = (ranked[0] + 1) / 2
        return float(above if above > ranked[0] else np.nextafter(ranked[0], np.inf))
    last = ends[best - 1]
    below = ranked[last + 1] if last + 1 < len(p) else 0.0
    return float((ranked[last] + below) / 2)


def _f1(called: Floats, hits: Floats, positives: float, _rows: float) -> Floats:
    """2 TP / (called + real)."""
    return 2 * hits / _above_zero(called + positives)


def _macro_f1(called: Floats, hits: Floats, positives: float, rows: float) -> Floats:
    """F1 of the positive class above the cut and of the negative one below it."""
    negatives_below = (rows - called) - (positives - hits)
    negatives = 2 * negatives_below / _above_zero((rows - called) + (rows - positives))
    return (_f1(called, hits, positives, rows) + negatives) / 2


def _accuracy(called: Floats, hits: Floats, positives: float, rows: float) -> Floats:
    return (hits + (rows - called) - (positives - hits)) / rows


def _balanced_accuracy(called: Floats, hits: Floats, positives: float, rows: float) -> Floats:
    negatives = rows - positives
    right = negatives - (called - hits)
    return (hits / max(positives, 1e-300) + right / max(negatives, 1e-300)) / 2


def _above_zero(values: Floats) -> Floats:
    import numpy as np

    return np.maximum(values, np.finfo(np.float64).tiny)


_SCORES: dict[str, Callable[[Floats, Floats, float, float], Floats]] = {
    "f1": _f1,
    "f1_macro": _macro_f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}
