"""From measurements to a decision, and from a decision to words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.gate.measure import POWER, RESAMPLES, luck, measure_gain
from treadle.tasks.gate.proper import better_beside, worse_than_dummy
from treadle.tasks.gate.slices import SliceReview, review_slices
from treadle.tasks.gate.values import Decision, GainBounds, GateSpec, Judged, Verdict
from treadle.tasks.gate.words import alike, compared, differences, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from treadle.tasks.leakage import Leak

UNDEFINED = 0.05
"""Above this share of draws on which the metric is not defined there is no bound."""

LUCK = 1e-4
"""A challenger is not promoted where labels shuffled at random would match its score more often than this.

Alpha alone would let every twentieth model of noise past a dummy.
"""

FEWEST_ROWS, FEWEST_OF_A_CLASS = 50, 5
"""On fewer new rows a champion is not compared at all: the bootstrap is too sure on so few."""


def decide_verdict(
    spec: GateSpec, judged: Judged, *, leaks: Sequence[Leak] = (), broken: Sequence[str] = (), seed: int = 0
) -> Verdict:
    """The verdict: refused, else promoted where the gain is sure and worth it, else kept or not comparable.

    Sure and worth it: its lower bound exceeds `min_gain` and a quarter of `detect`, it is itself at least half of
    `detect`, and labels shuffled at random would hardly ever be matched as well. A challenger that surely gains less
    is kept out however few the rows. Where too few rows are new to both models nothing is compared, and those rows
    only say how many it would take. `broken` are sentences on checks that failed or could not be made: each refuses.
    In slices a first model is compared with the dummy.
    """
    bounds = measure_gain(spec, judged, seed)
    compared = judged.unseen is None
    slices = review_slices(spec, judged, seed) if compared else SliceReview()
    refusals = [
        *_leaking(leaks),
        *broken,
        *_immeasurable(judged, bounds),
        *(_unwatched(spec, judged) if compared else ()),
        *(worse_than_dummy(spec, judged, seed) if compared else ()),
        *slices.refusals,
    ]
    chance = luck(judged, seed)
    decision: Decision
    if refusals:
        decision = "REFUSED"
    elif not compared:
        decision = "NOT_COMPARABLE"
    elif bounds.lower > bounds.margin and bounds.gain >= bounds.least and chance < LUCK:
        decision = "PROMOTE"
    else:
        decision = "NOT_COMPARABLE" if bounds.power < POWER and bounds.upper >= bounds.margin else "KEEP"
    if not compared:
        bounds = _uncompared(bounds)
    return Verdict(
        decision=decision,
        headline=_headline(decision, judged, bounds, refusals),
        reasons=(
            *refusals,
            *(_reasons(decision, judged, bounds, spec, chance) if compared else _apart(judged, bounds)),
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
        notes=(*better_beside(spec, judged, seed), *slices.notes),
    )


def enough(task: str, y: np.ndarray) -> bool:
    """Whether `y` [n] are rows enough to compare two models on: 50, and 5 of every class of a binary task."""
    import numpy as np

    rarest = min(np.sum(y == 1), np.sum(y == 0)) if task == "binary" else FEWEST_OF_A_CLASS
    return len(y) >= FEWEST_ROWS and bool(rarest >= FEWEST_OF_A_CLASS)


def _uncompared(bounds: GainBounds) -> GainBounds:
    """Bounds where the champion was trained on the rows: only the challenger's value and the rows needed."""
    nan = float("nan")
    needed = max(bounds.rows_needed or 0, FEWEST_ROWS)
    return replace(bounds, champion_value=nan, gain=nan, lower=nan, upper=nan, power=0.0, rows_needed=needed)


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


def _headline(decision: Decision, judged: Judged, bounds: GainBounds, refusals: Sequence[str]) -> str:
    opponent = "the dummy predictor" if judged.first else judged.champion_name
    numbers = compared(judged.metric, bounds.value, bounds.champion_value, bounds.gain)
    rows = f"{len(judged.y):,} holdout rows"
    stays = "no model is promoted" if judged.first else f"{judged.champion_name} stays champion"
    needed = f"about {bounds.rows_needed:,} would" if bounds.rows_needed else "more would"
    if decision == "REFUSED":
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        return f"{refusals[0]}{more}"
    if judged.unseen is not None:
        new = f"only {judged.unseen:,} of {rows} are new to both the challenger and {opponent}"
        return f"{new}, which is too few to compare them; about {bounds.rows_needed:,} would do, and {stays}"
    if decision == "PROMOTE":
        return f"better than {opponent}: {numbers} on {rows}"
    if bounds.lower > bounds.margin and bounds.gain >= bounds.least:
        return f"no better than guessing may be by luck: {numbers} on {rows}; {stays}"
    if decision == "KEEP":
        return f"not better than {opponent}: {numbers} on {rows}; {stays}"
    return f"{rows} cannot tell whether it is better than {opponent} ({numbers}); {needed}, and {stays}"


def _reasons(decision: Decision, judged: Judged, bounds: GainBounds, spec: GateSpec, chance: float) -> Iterator[str]:
    opponent = "the dummy" if judged.first else judged.champion_name
    sure = f"{1 - spec.alpha:.0%}"
    gain, lower, upper = differences(bounds.gain, bounds.lower, bounds.upper)
    least, margin = alike(bounds.least, bounds.margin, by=bounds.margin)
    yield (
        f"gain over {opponent}: {gain} {judged.metric}, with {sure} confidence at least {lower} and at most {upper} "
        f"(needed: at least {least}, and with that confidence more than {margin}); paired bootstrap, "
        f"{RESAMPLES:,} draws"
    )
    if bounds.lower == bounds.upper:
        yield f"the two score alike whichever of these {len(judged.y):,} rows are drawn"
    elif decision != "PROMOTE":  # a promoted gain was shown: how likely that was reads as how sure it is
        yield (
            f"these rows would show a gain of {figure(bounds.detect)} with probability {bounds.power:.0%}"
            + (f"; about {bounds.rows_needed:,} rows would with {POWER:.0%}" if bounds.rows_needed else "")
        )
    if chance >= LUCK:
        yield (
            f"on labels shuffled at random it would score as well with probability {chance:.2g} "
            f"(needed: less than {LUCK:g})"
        )
    yield from judged.why_left_out


def _apart(judged: Judged, bounds: GainBounds) -> Iterator[str]:
    yield from judged.why_left_out
    yield (
        f"about {bounds.rows_needed:,} rows new to both would show a gain of {figure(bounds.detect)} with probability "
        f"{POWER:.0%}, estimated on the {len(judged.y):,} that are not; label newer rows, or let a person decide"
    )
