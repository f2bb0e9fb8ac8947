"""From measurements to a decision, and from a decision to words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.dependence import FEWEST_UNITS
from treadle.tasks.gate.groups import review_groups
from treadle.tasks.gate.luck import luck
from treadle.tasks.gate.measure import POWER, measure_gain
from treadle.tasks.gate.proper import better_beside, worse_than_dummy
from treadle.tasks.gate.slices import review_slices
from treadle.tasks.gate.sure import COMPARES_CLASSES, FEWEST_OF_A_LEVEL
from treadle.tasks.gate.values import Basis, Decision, GainBounds, GateSpec, Judged, Verdict
from treadle.tasks.gate.words import compared, difference, differences, equal_decimals, figure
from treadle.tasks.weights import effective_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from treadle.tasks.leakage import Leak

LUCK = 2e-4
"""A challenger is not promoted where predictions that say nothing would match its score more often than this.

Alpha alone would let every twentieth model of noise past a dummy. Two tests of 9,999 permutations can show no less, if
none of them scores as well.
"""

FEWEST_ROWS, FEWEST_OF_A_CLASS = 50, 5
"""On fewer new rows a champion is not compared at all: no bound is right often enough on so few."""

BY_CLASS = ("roc_auc", "average_precision", "f1")
"""Metrics of a binary task that nothing can be said by on a few rows of a class, whatever their sum."""


def decide_verdict(
    spec: GateSpec,
    judged: Judged,
    *,
    leaks: Sequence[Leak] = (),
    broken: Sequence[str] = (),
    seed: int = 0,
    looks: int = 1,
) -> Verdict:
    """The verdict: refused, else promoted where the challenger is better or fresh, else kept or not comparable.

    Better: the gain's lower bound exceeds `min_gain` and a quarter of `detect`, it is itself at least half of
    `detect`, its bound at the level charged for the `looks`-th comparison on (nearly) these rows exceeds `min_gain`,
    and predictions that say nothing would hardly ever score as well. Fresh: trained on newer rows than the champion,
    and surely not worse by more than `detect` than the last version that was promoted as better. A challenger that
    surely gains less is kept out however few the rows; but where groups or blocks of time are too few, nothing is said
    of a challenger. Where too few rows are new to both models nothing is compared, and those rows only say how many it
    would take. `broken` are sentences on checks that failed or could not be made: each refuses. In slices,
    and by proper scores, a first model is compared with the dummy.
    """
    bounds = measure_gain(spec, judged, looks)
    compared = judged.unseen is None
    slices, groups = review_slices(spec, judged), review_groups(spec, judged)
    refusals = [
        *_leaking(leaks),
        *broken,
        *_immeasurable(judged, bounds),
        *(_unwatched(spec, judged) if compared else ()),
        *(worse_than_dummy(spec, judged) if compared else ()),
        *slices.refusals,
        *groups.refusals,
    ]
    # a first model on few groups is judged row by row, with a caveat: a small table gets its first model
    alone = replace(judged, groups=None, times=None) if judged.first and bounds.standard.few else judged
    wanted = _basis(spec, judged, bounds) if compared and not refusals else ""
    chance = luck(alone, seed) if wanted else float("nan")
    basis = wanted if chance <= LUCK else ""
    decision: Decision
    if refusals:
        decision = "REFUSED"
    elif basis:
        decision = "PROMOTE"
    elif not compared or _untold(judged, bounds) or (bounds.power < POWER and bounds.upper >= bounds.margin):
        decision = "NOT_COMPARABLE"
    else:
        decision = "KEEP"
    if not compared:
        bounds = _uncompared(bounds)
    return Verdict(
        decision=decision,
        headline=_headline(decision, basis, judged, bounds, chance, refusals),
        reasons=(
            *refusals,
            *(_reasons(decision, judged, bounds, spec, chance, looks) if compared else _apart(judged, bounds)),
            *_weighted(judged),
        ),
        metric=judged.metric,
        value=bounds.value,
        champion_value=bounds.champion_value,
        gain=bounds.gain,
        lower=bounds.lower,
        upper=bounds.upper,
        power=bounds.power,
        rows=len(judged.y),
        rows_needed=bounds.rows_needed,
        slices=slices.verdicts,
        margin=bounds.margin,
        least=bounds.least,
        luck=chance,
        basis=basis,
        detect=bounds.detect,
        error=bounds.standard.error,
        charged_lower=bounds.charged_lower,
        may_lose=bounds.may_lose,
        looks=looks,
        units=bounds.standard.units,
        unit=bounds.standard.unit,
        notes=(*better_beside(spec, judged), *slices.notes, *groups.notes),
        boosters=judged.boosters,
        weighted_by=judged.weighted_by,
        groups=groups.columns,
    )


def _basis(spec: GateSpec, judged: Judged, bounds: GainBounds) -> Basis:
    """Why the challenger may be promoted, if its score is no luck; empty: it may not."""
    if _untold(judged, bounds):
        return ""
    if bounds.lower > bounds.margin and bounds.gain >= bounds.least and bounds.charged_lower > spec.min_gain:
        return "better"
    enabled = judged.times is not None if spec.fresh is None else spec.fresh
    fresh = enabled and judged.newer and not judged.first and bounds.fresh_lower > -bounds.may_lose
    return "fresh" if fresh else ""


def _untold(judged: Judged, bounds: GainBounds) -> str:
    """Why nothing can be said on these rows however they turn out; empty where something can."""
    import numpy as np

    standard = bounds.standard
    if judged.task == "binary" and judged.metric in BY_CLASS:
        positive = judged.y == 1
        sides = ((positive, "positive"), (~positive, "negative"))
        rarest, what = min((effective_rows(judged.weight, rows), name) for rows, name in sides)
        if rarest < FEWEST_OF_A_CLASS:
            return f"{rarest} {what} rows are too few to measure {judged.metric} by (at least {FEWEST_OF_A_CLASS})"
    if judged.task == "multiclass" and judged.metric in COMPARES_CLASSES and not judged.first:
        rarest = min(effective_rows(judged.weight, judged.y == one) for one in np.unique(judged.y))
        if rarest < FEWEST_OF_A_LEVEL:
            return (
                f"{rarest} rows of the rarest class are too few to measure {judged.metric} by (at least "
                f"{FEWEST_OF_A_LEVEL})"
            )
    if standard.few and not judged.first:
        fewest = FEWEST_UNITS[standard.unit]
        each = f" of {standard.block} periods each" if standard.block > 1 else ""
        return (
            f"the rows fall into {standard.units:.3g} {standard.unit}{each}, within which they depend on each other; "
            f"two models need at least {fewest}"
        )
    return ""


def enough(task: str, y: np.ndarray, weight: np.ndarray | None = None) -> bool:
    """Whether `y` [n] are rows enough to compare two models on: 50, and 5 of every class of a binary task.

    Rows of unequal `weight` [n] count as so many of equal weight.
    """
    import numpy as np

    counts = [effective_rows(weight, y == one) for one in (0, 1)] if task == "binary" else [FEWEST_OF_A_CLASS]
    return effective_rows(weight, np.ones(len(y), dtype=bool)) >= FEWEST_ROWS and min(counts) >= FEWEST_OF_A_CLASS


def _uncompared(bounds: GainBounds) -> GainBounds:
    """Bounds where the champion was trained on the rows: only the challenger's value and the rows needed."""
    nan = float("nan")
    needed = max(bounds.rows_needed or 0, FEWEST_ROWS)
    return replace(
        bounds,
        champion_value=nan,
        gain=nan,
        lower=nan,
        upper=nan,
        power=0.0,
        rows_needed=needed,
        charged_lower=nan,
        may_lose=nan,
    )


def _leaking(leaks: Sequence[Leak]) -> Iterator[str]:
    for leak in leaks:
        who = " and ".join(repr(name) for name in leak.columns)
        whole = f"column {who} alone gives" if len(leak.columns) == 1 else f"columns {who} together give"
        yield (
            f"leak: {whole} the target ({leak.metric} {leak.score:.4f}); "
            "if it is known only after the fact, name it in data.drop"
        )


def _immeasurable(judged: Judged, bounds: GainBounds) -> Iterator[str]:
    import numpy as np

    rows = len(judged.y)
    for who, p in (("the challenger", judged.challenger), (judged.champion_name, judged.champion)):
        if lost := int((~np.isfinite(p.reshape(rows, -1)).all(axis=1)).sum()):
            yield f"{who} gave no number for {lost:,} of {rows:,} holdout rows"
    if judged.task != "regression" and len(np.unique(judged.y)) < 2:
        yield f"the {len(judged.y):,} holdout rows hold one class only, which nothing can be judged by"
    elif not np.isfinite(bounds.value + bounds.champion_value):
        yield (
            f"{judged.metric} is not defined on the {len(judged.y):,} holdout rows: "
            "hold out more, or choose another metric"
        )


def _unwatched(spec: GateSpec, judged: Judged) -> Iterator[str]:
    """A slice column that is not there: a check that cannot be made is a failure, not a check that is off."""
    for column in spec.slices:
        if not judged.first and column not in judged.slices:
            yield f"slices of {column!r} cannot be watched: the holdout has no such column"


def _headline(
    decision: Decision,
    basis: Basis,
    judged: Judged,
    bounds: GainBounds,
    chance: float,
    refusals: Sequence[str],
) -> str:
    opponent = "the dummy predictor" if judged.first else judged.champion_name
    numbers = compared(judged.metric, bounds.value, bounds.champion_value, bounds.gain)
    rows = f"{len(judged.y):,} holdout rows{f' (weighted by {judged.weighted_by!r})' if judged.weighted_by else ''}"
    if decision == "REFUSED":
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        return f"{refusals[0]}{more}"
    if decision == "PROMOTE":
        lost = f"trained on newer rows, and not worse than {opponent} by more than {figure(bounds.may_lose)}"
        caveat = f"; {_caveat(bounds)}" if judged.first and bounds.standard.few else ""
        return f"{lost if basis == 'fresh' else f'better than {opponent}'}: {numbers} on {rows}{caveat}"
    stays = "no model is promoted" if judged.first else f"{judged.champion_name} stays champion"
    needed = f"about {bounds.rows_needed:,} would" if bounds.rows_needed else "more would"
    why = _untold(judged, bounds)
    if judged.unseen is not None:
        new = f"only {judged.unseen:,} of {rows} are new to both the challenger and {opponent}"
        text = f"{new}, which is too few to compare them; {needed} do, and"
    elif why:
        text = f"{why}; {needed} do, and"
    elif chance > LUCK:
        text = f"no better than guessing may be by luck: {numbers} on {rows};"
    elif decision == "KEEP":
        text = f"{_kept(opponent, bounds)}: {numbers} on {rows};"
    else:
        text = f"{rows} cannot tell whether it is better than {opponent} ({numbers}); {needed}, and"
    return f"{text} {stays}"


def _kept(opponent: str, bounds: GainBounds) -> str:
    if bounds.lower <= 0:
        return f"not better than {opponent}"
    if bounds.gain < bounds.least:
        return f"better than {opponent}, but by less than {figure(bounds.least)}"
    if bounds.lower <= bounds.margin:
        return f"better than {opponent}, but not surely by more than {figure(bounds.margin)}"
    return f"better than {opponent}, but not surely enough for one of many comparisons on these rows"


def _caveat(bounds: GainBounds) -> str:
    standard = bounds.standard
    return (
        f"only {standard.units:.2g} {standard.unit}, within which rows depend on each other: two models are compared "
        f"on {FEWEST_UNITS[standard.unit]} or more"
    )


def _reasons(
    decision: Decision, judged: Judged, bounds: GainBounds, spec: GateSpec, chance: float, looks: int
) -> Iterator[str]:
    opponent = "the dummy" if judged.first else judged.champion_name
    sure, standard = f"{1 - spec.alpha:.0%}", bounds.standard
    if judged.boosters:
        yield f"compared: {judged.boosters}"
    if standard.freedom >= 1:
        gain, lower, upper = differences(bounds.gain, bounds.lower, bounds.upper)
        least, margin = equal_decimals(bounds.least, bounds.margin, by=bounds.margin)
        yield (
            f"gain over {opponent}: {gain} {judged.metric}, with {sure} confidence at least {lower} and at most "
            f"{upper} (needed: at least {least}, and with that confidence more than {margin}); from "
            f"{int(standard.units):,} {standard.unit}"
        )
    if bounds.lower == bounds.upper:
        yield f"the two score alike whichever of these {len(judged.y):,} rows are drawn"
    elif decision != "PROMOTE":  # a promoted gain was shown: how likely that was reads as how sure it is
        yield (
            f"these rows would show a gain of {figure(bounds.detect)} with probability {bounds.power:.0%}"
            + (f"; about {bounds.rows_needed:,} rows would with {POWER:.0%}" if bounds.rows_needed else "")
        )
    if not judged.first and standard.freedom >= 1 and bounds.lower != bounds.upper:
        level = f"{100 * (1 - bounds.charged):.7g}%"
        yield (
            f"comparison {looks:,} on (nearly) these rows: with {level} confidence the gain is at least "
            f"{difference(bounds.charged_lower)} (needed: more than {figure(spec.min_gain)})"
        )
    if judged.newer and not judged.first and standard.freedom >= 1:
        yield (
            f"trained on newer rows than {opponent}: its gain over the last version that was promoted as better is at "
            f"least {difference(bounds.fresh_lower)} (needed to be promoted as fresh: more than "
            f"{difference(-bounds.may_lose)})"
        )
    if chance > LUCK:
        yield (
            f"predictions that say nothing would score as well with probability {chance:.2g} (needed: at most {LUCK:g})"
        )
    yield from judged.why_left_out


def _weighted(judged: Judged) -> Iterator[str]:
    import numpy as np

    if judged.weight is not None:
        whole = effective_rows(judged.weight, np.ones(len(judged.y), dtype=bool))
        yield (
            f"every score is weighted by {judged.weighted_by!r}: the {len(judged.y):,} rows say as much as {whole:,} "
            "of equal weight"
        )


def _apart(judged: Judged, bounds: GainBounds) -> Iterator[str]:
    yield from judged.why_left_out
    yield (
        f"about {bounds.rows_needed:,} rows new to both would show a gain of {figure(bounds.detect)} with probability "
        f"{POWER:.0%}, estimated on the {len(judged.y):,} that are not; label newer rows, or let a person decide"
    )
