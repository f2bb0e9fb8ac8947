"""Slices: is the challenger worse in a part of the rows than what it would replace?

A slice is the rows where a column has one value, or lies in one bin of its numbers or dates; values of few rows are
pooled. Every slice of 200 rows or more is examined, and what is not examined is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.gate import words
from treadle.tasks.gate.measure import WORTH, worth_detecting
from treadle.tasks.gate.slicing import MISSING, RARE, SMALLEST_SLICE, Sliced, slice_column
from treadle.tasks.gate.sure import gain_on
from treadle.tasks.gate.values import SliceVerdict
from treadle.tasks.metrics import greater_is_better

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.tasks.gate.sure import Gain
    from treadle.tasks.gate.values import GateSpec, Judged


LEVEL = 1 / 2
"""The share of alpha that slices may spend: bounds from few rows are a little too sure, and 5% must hold for all."""

MOST_NAMED = 5
"""So many slices of one kind are named in the notes; the report lists all."""


@dataclass(frozen=True, slots=True)
class SliceReview:
    """What the slices say: their gains, sentences that refuse, and sentences to know."""

    verdicts: tuple[SliceVerdict, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slice:
    where: str
    column: str
    value: str
    gain: Gain


def review_slices(spec: GateSpec, judged: Judged) -> SliceReview:
    """Every slice of 200 rows or more, with bounds that hold for all together (Holm 1979).

    The slices are ordered by how surely each lost; the k-th of m is bounded at alpha / (2 (m - k + 1)), and from the
    first one on that may have lost nothing, none counts as worse. One that surely lost refuses where the loss is also
    `slice_margin` or more: sure and relevant, both (Roychoudhury, Scheuer & Neuenschwander, Clinical Trials 15, 2018).
    A first model is compared with the dummy predictor of the whole, and slices where it has no skill are named. Where
    too few rows are new to both models, no slice is examined.
    """
    if judged.unseen is not None:
        unexamined = "slices were not examined: nothing is compared on so few new rows"
        return SliceReview(notes=(unexamined,) if spec.slices else ())
    sliced = {column: slice_column(values) for column, values in judged.slices.items()}
    measured = [one for column, cuts in sliced.items() for one in _measured(judged, column, cuts)]
    found = [one for one in measured if one.gain.known]
    notes = [*_not_there(spec, judged), *_not_examined(sliced), *_not_told(measured)]
    if not found:
        return SliceReview(notes=tuple(notes))
    found.sort(key=lambda one: one.gain.loses())
    verdicts, refusals, small_losses = [], [], []
    surely = True
    for rank, one in enumerate(found):
        level = LEVEL * spec.alpha / (len(found) - rank)
        upper, margin = one.gain.upper(level), slice_margin(spec, one.gain)
        surely = surely and upper < 0
        refuses = surely and one.gain.gain <= -margin
        if surely:
            loss, most = words.differences(one.gain.gain, upper)
            sentence = f"{one.where}: {one.gain.metric} gain {loss}, at most {most}"
            if refuses:
                refusals.append(f"worse where {sentence} after correction for {len(found)} slices")
            else:
                small_losses.append(f"{sentence}, less than the {words.figure(margin)} that would refuse")
        verdicts.append(
            SliceVerdict(
                column=one.column,
                value=one.value,
                rows=one.gain.rows,
                metric=one.gain.metric,
                score=one.gain.value,
                gain=one.gain.gain,
                lower=one.gain.lower(level),
                upper=upper if surely else max(upper, 0.0),
                margin=margin,
                refuses=refuses,
            )
        )
    told = [f"a little worse where {one}" for one in small_losses[:MOST_NAMED]]
    if judged.first:
        told += _without_skill(spec, judged, found)
    return SliceReview(tuple(verdicts), tuple(refusals), (_summary(spec, judged, found, refusals), *told, *notes))


def slice_margin(spec: GateSpec, gain: Gain) -> float:
    """The smallest loss that refuses, in units of the gain's metric; for errors a share of the other model's.

    Default: half of the gain that is worth detecting there; such a half is also the least gain that promotes.
    """
    if spec.slice_margin is None:
        return WORTH * worth_detecting(spec, gain.metric, gain.other_value)
    margin = spec.slice_margin
    return margin if greater_is_better(gain.metric) else margin * abs(gain.other_value)


def _measured(judged: Judged, column: str, cuts: Sequence[Sliced]) -> Iterator[_Slice]:
    """The gain in every slice of enough rows; one that both cuts have comes once, all rows together never."""
    import numpy as np

    known: set[tuple[str, int]] = set()
    for sliced in cuts:
        for code, value in enumerate(sliced.levels):
            here = np.flatnonzero(sliced.codes == code)
            if SMALLEST_SLICE <= len(here) < len(judged.y) and (value, len(here)) not in known:
                known.add((value, len(here)))
                gain = gain_on(judged, judged.metric, here=here)
                shown = value if sliced.binned or value in (RARE, MISSING) else repr(value)
                yield _Slice(f"{column} is {shown} ({gain.rows:,} rows)", column, value, gain)


def _summary(spec: GateSpec, judged: Judged, found: Sequence[_Slice], refusals: Sequence[str]) -> str:
    margins = [slice_margin(spec, one.gain) for one in found if one.gain.metric == judged.metric]
    ends = list(dict.fromkeys(words.figure(end) for end in (min(margins), max(margins)))) if margins else []
    least = f"by {' to '.join(ends)} {judged.metric} or more" if ends else "by the margin or more"
    columns = ", ".join(sorted({one.column for one in found}))
    worse = f"{len(refusals)} surely worse" if refusals else "none surely worse"
    return f"{len(found)} slice{'' if len(found) == 1 else 's'} of {columns} examined: {worse} {least}"


def _without_skill(spec: GateSpec, judged: Judged, found: Sequence[_Slice]) -> Iterator[str]:
    """Slices where a first model may be no better than the dummy, and surely gains less than half of what it gains."""
    whole = {one.gain.metric for one in found}
    over_all = {metric: gain_on(judged, metric).gain for metric in sorted(whole)}
    level = LEVEL * spec.alpha / len(found)
    named = 0
    for one in sorted(found, key=lambda one: one.gain.gain):
        gain, usual = one.gain, over_all[one.gain.metric]
        if gain.lower(spec.alpha) <= 0 and gain.upper(level) < usual / 2 and named < MOST_NAMED:
            named += 1
            here, there = words.differences(gain.gain, usual)
            yield f"no skill shown where {one.where}: {gain.metric} {here} over the dummy, on all rows {there}"


def _not_there(spec: GateSpec, judged: Judged) -> Iterator[str]:
    for column in spec.slices:
        if judged.first and column not in judged.slices:
            yield f"slices of {column!r} were not examined: the holdout has no such column"


def _not_told(measured: Sequence[_Slice]) -> Iterator[str]:
    """Slices of enough rows that nothing can be said of."""
    unknown = [one.where for one in measured if not one.gain.known]
    if unknown:
        more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
        yield (
            f"not examined, because their rows are one group or block of time: {'; '.join(unknown[:MOST_NAMED])}{more}"
        )


def _not_examined(sliced: dict[str, tuple[Sliced, ...]]) -> Iterator[str]:
    for column, (one, *_) in sliced.items():
        rows = len(one.codes)
        if len(one.levels) == 1:
            yield f"slices of {column!r} were not examined: all {rows:,} rows are in one, {one.levels[0]!r}"
        elif one.left_out:
            many = "a value that has" if one.small == 1 else f"{one.small:,} values that have"
            yield (
                f"not examined of {column!r}: {one.left_out:,} of {rows:,} rows, with {many} fewer than "
                f"{SMALLEST_SLICE} rows{'' if one.small == 1 else ' each'}"
            )
