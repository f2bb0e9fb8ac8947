"""The gate: is the challenger better than the champion on rows that neither has seen?"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from tasks.leakage import Leak

POWER = 0.8
"""Rows that would show the gain `detect` less often than this cannot say that nothing was gained."""

RESAMPLES = 2_000
SMALLEST_SLICE = 200
UNDEFINED = 0.05
"""Above this share of draws on which the metric is not defined there is no bound."""

Decision = Literal["PROMOTE", "KEEP", "NOT_COMPARABLE", "REFUSED"]


class GateSpec(BaseModel):
    """What a challenger must show before it is promoted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_gain: float = Field(0.0, ge=0, description="the gain's lower bound must exceed this")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="one-sided error level of the bound")
    detect: float = Field(
        0.02, gt=0, description="a gain that the rows must be able to show (for errors: a share of the champion's)"
    )
    slices: tuple[str, ...] = Field((), description="columns whose slices are watched")


@dataclass(frozen=True, slots=True)
class Judged:
    """Two models on the same n holdout rows.

    `y` [n] class codes or values; `challenger` and `champion` calibrated probabilities or values, [n] or
    [n, classes]; `champion_name` is 'dummy' or 'version 3'; `slices` maps columns to their values as text [n].
    """

    task: str
    metric: str
    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray
    champion_name: str
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def first(self) -> bool:
        """Whether the dummy sits in the chair."""
        return self.champion_name == "dummy"


class SliceVerdict(BaseModel):
    """The gain within the rows where `column` is `value`, with Holm-corrected one-sided bounds, in `metric`."""

    model_config = ConfigDict(frozen=True)

    column: str
    value: str
    rows: int
    metric: str
    gain: float
    lower: float
    upper: float


class Verdict(BaseModel):
    """What the gate says, in a word, a sentence, reasons and numbers.

    `gain` is positive where the challenger is better, whichever way the metric runs; `lower` and `upper` are its
    one-sided bounds at alpha; `power` is the chance that such rows would show a gain of `detect`, and `rows_needed`
    how many would with power 0.8 (None where these do). A number that could not be computed is NaN.
    """

    # JSON knows no NaN, and null would not be read back
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    decision: Decision
    headline: str
    reasons: tuple[str, ...]
    metric: str
    value: float
    champion_value: float
    gain: float
    lower: float
    upper: float
    power: float
    rows: int
    rows_needed: int | None
    slices: tuple[SliceVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The measured gain and what the paired bootstrap says about it; `detect` in units of the metric."""

    value: float
    champion_value: float
    gain: float
    lower: float
    upper: float
    power: float
    detect: float
    rows_needed: int | None
    undefined: float


def decide(
    spec: GateSpec, judged: Judged, *, leaks: Sequence[Leak] = (), broken: Sequence[str] = (), seed: int = 0
) -> Verdict:
    """The verdict: refused, else promoted where the gain's lower bound exceeds `min_gain`, else kept or not comparable.

    A challenger that is surely worse is kept out however few the rows. `broken` are sentences on checks that failed
    or could not be made: each refuses. Slices are judged only against a real champion: nobody loses anything to a
    dummy's.
    """
    bounds = measure(spec, judged, seed)
    by_slice = () if judged.first else slice_verdicts(spec, judged, seed)
    refusals = [
        *_leaking(leaks),
        *broken,
        *_immeasurable(judged, bounds),
        *_unwatched(spec, judged),
        *_worse_slices(by_slice),
    ]
    decision: Decision
    if refusals:
        decision = "REFUSED"
    elif bounds.lower > spec.min_gain:
        decision = "PROMOTE"
    else:
        decision = "NOT_COMPARABLE" if bounds.power < POWER and bounds.upper >= 0 else "KEEP"
    return Verdict(
        decision=decision,
        headline=_headline(decision, judged, bounds, refusals),
        reasons=(*refusals, *_reasons(spec, judged, bounds)),
        metric=judged.metric,
        value=bounds.value,
        champion_value=bounds.champion_value,
        gain=bounds.gain,
        lower=bounds.lower,
        upper=bounds.upper,
        power=bounds.power,
        rows=len(judged.y),
        rows_needed=bounds.rows_needed,
        slices=by_slice,
    )


def measure(spec: GateSpec, judged: Judged, seed: int) -> Bounds:
    """Values, gain, bootstrap bounds, and the power for `detect`.

    With s the bootstrap's standard error and z the normal quantile, a true gain of min_gain + d is shown with
    probability Phi(d / s - z(1 - alpha)); n rows needed for power 0.8 are n ((z(0.8) + z(1 - alpha)) s / d)²
    (Chow, Shao & Wang, Sample Size Calculations in Clinical Research, 3.2.2).
    """
    import numpy as np

    task, metric, y = judged.task, judged.metric, judged.y
    value = metrics.score(task, metric, y, judged.challenger)
    champion_value = metrics.score(task, metric, y, judged.champion)
    drawn = metrics.bootstrap_gain(metric, task, y, judged.challenger, judged.champion, resamples=RESAMPLES, seed=seed)
    known = drawn[np.isfinite(drawn)]
    detect = spec.detect if metrics.greater_is_better(metric) else spec.detect * abs(champion_value)
    if not len(known):
        nan = float("nan")
        return Bounds(value, champion_value, nan, nan, nan, 0.0, detect, None, 1.0)
    error, z = float(np.std(known)), NormalDist().inv_cdf(1 - spec.alpha)
    certain = error == 0 or detect == 0
    power = 1.0 if certain else NormalDist().cdf(detect / error - z)
    needed = 0 if certain else int(np.ceil(len(y) * ((NormalDist().inv_cdf(POWER) + z) * error / detect) ** 2))
    return Bounds(
        value=value,
        champion_value=champion_value,
        gain=metrics.gain(metric, value, champion_value),
        lower=float(np.quantile(known, spec.alpha)),
        upper=float(np.quantile(known, 1 - spec.alpha)),
        power=power,
        detect=detect,
        rows_needed=needed if power < POWER else None,
        undefined=1 - len(known) / len(drawn),
    )


def slice_verdicts(spec: GateSpec, judged: Judged, seed: int) -> tuple[SliceVerdict, ...]:
    """The gain within every slice of 200 rows or more, with bounds corrected for their number (Holm 1979).

    The slices are ordered by how surely each lost; the k-th of m is bounded at alpha / (m - k + 1), and from the
    first one on that may have lost nothing, no slice counts as worse.
    """
    found = [
        one
        for column, values in judged.slices.items()
        for one in metrics.slices(
            judged.metric,
            judged.task,
            judged.y,
            judged.challenger,
            judged.champion,
            column=column,
            values=values,
            smallest=SMALLEST_SLICE,
            seed=seed,
        )
    ]
    found.sort(key=lambda one: one.gain / one.error if one.error else float("inf") * (one.gain or 1))
    verdicts: list[SliceVerdict] = []
    still_worse = True
    for rank, one in enumerate(found):
        z = NormalDist().inv_cdf(1 - spec.alpha / (len(found) - rank))
        upper = one.gain + z * one.error
        still_worse = still_worse and upper < 0
        verdicts.append(
            SliceVerdict(
                column=one.column,
                value=one.value,
                rows=one.rows,
                metric=one.metric,
                gain=one.gain,
                lower=one.gain - z * one.error,
                upper=upper if still_worse else max(upper, 0.0),
            )
        )
    return tuple(verdicts)


def _leaking(leaks: Sequence[Leak]) -> Iterator[str]:
    for leak in leaks:
        who = " and ".join(repr(name) for name in leak.columns)
        whole = f"column {who} alone gives" if len(leak.columns) == 1 else f"columns {who} together give"
        yield (
            f"leak: {whole} the target ({leak.metric} {leak.score:.4f}); "
            "if it is known only after the fact, name it in data.drop"
        )


def _immeasurable(judged: Judged, bounds: Bounds) -> Iterator[str]:
    import numpy as np

    rows = len(judged.y)
    for who, p in (("the challenger", judged.challenger), (judged.champion_name, judged.champion)):
        if lost := int((~np.isfinite(p.reshape(rows, -1)).all(axis=1)).sum()):
            yield f"{who} gave no number for {lost:,} of {rows:,} holdout rows"
    if judged.task != "regression" and len(np.unique(judged.y)) < 2:
        yield f"the {len(judged.y):,} holdout rows hold one class only, which nothing can be judged by"
    elif bounds.undefined > UNDEFINED or not np.isfinite(bounds.value + bounds.champion_value):
        yield (
            f"{judged.metric} is not defined on {bounds.undefined:.0%} of the draws from {len(judged.y):,} holdout "
            "rows: hold out more, or choose another metric"
        )


def _unwatched(spec: GateSpec, judged: Judged) -> Iterator[str]:
    """A slice column that is not there: a check that cannot be made is a failure, not a check that is off."""
    for column in spec.slices:
        if not judged.first and column not in judged.slices:
            yield f"slices of {column!r} cannot be watched: the holdout has no such column"


def _worse_slices(by_slice: Sequence[SliceVerdict]) -> Iterator[str]:
    for one in by_slice:
        if one.upper < 0:
            yield (
                f"worse where {one.column} is {one.value!r} ({one.rows:,} rows): {one.metric} gain {one.gain:+.4g}, "
                f"at most {one.upper:+.4g} after correction for {len(by_slice)} slices"
            )


def _headline(decision: Decision, judged: Judged, bounds: Bounds, refusals: Sequence[str]) -> str:
    rival = "the dummy predictor" if judged.first else judged.champion_name
    numbers = f"{judged.metric} {bounds.value:.4g} against {bounds.champion_value:.4g}"
    rows = f"{len(judged.y):,} holdout rows"
    stays = "no model is promoted" if judged.first else f"{judged.champion_name} stays champion"
    if decision == "REFUSED":
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        return f"{refusals[0]}{more}"
    if decision == "PROMOTE":
        return f"better than {rival}: {numbers} on {rows}"
    if decision == "KEEP":
        return f"not better than {rival}: {numbers} on {rows}; {stays}"
    needed = f"about {bounds.rows_needed:,} would" if bounds.rows_needed else "more would"
    return f"{rows} cannot tell whether it is better than {rival} ({numbers}); {needed}, and {stays}"


def _reasons(spec: GateSpec, judged: Judged, bounds: Bounds) -> Iterator[str]:
    rival = "the dummy" if judged.first else judged.champion_name
    sure = f"{1 - spec.alpha:.0%}"
    yield (
        f"gain over {rival}: {bounds.gain:+.4g} {judged.metric}, with {sure} confidence at least {bounds.lower:+.4g} "
        f"(needed: more than {spec.min_gain:g}) and at most {bounds.upper:+.4g}; paired bootstrap, {RESAMPLES:,} draws"
    )
    yield (
        f"these rows would show a gain of {bounds.detect:.4g} with probability {bounds.power:.0%}"
        + (f"; about {bounds.rows_needed:,} rows would with {POWER:.0%}" if bounds.rows_needed else "")
    )
