"""Groups: do the challenger's answers differ between groups of rows by more than the config allows?

The figures and what bounds them stand in tasks/fairness.py. All of them are of the answers as they are delivered: at
the threshold that the model carries. Without `group_margin` differences are shown and refuse nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks import fairness
from treadle.tasks.dependence import Dependence
from treadle.tasks.gate.grouped import GroupedColumn, GroupFigure, GroupGap, GroupRow
from treadle.tasks.gate.slicing import MISSING, group_column
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.tasks.fairness import DeliveredAnswers, Extremes, GroupMean, GroupMeasure
    from treadle.tasks.gate.values import GateSpec, Judged

LEVEL = 1 / 2
"""The share of alpha that groups may spend: bounds from few rows, or few clusters, are a little too sure."""

SHOWN = 0.05
"""Intervals of differences leave this out, at both ends and for all groups of a column together."""

CRITERION_NAMES = {
    "selection_rate": "selection rate",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "equalised_odds": "equalised odds",
    "precision": "precision",
    "calibration": "calibration",
    "error": "error",
    "recall": "recall",
    "coverage": "coverage",
}


@dataclass(frozen=True, slots=True)
class GroupReview:
    """What the groups say: figures and differences, sentences that refuse, and sentences to know."""

    columns: tuple[GroupedColumn, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Compared:
    """A column's groups: every mean by measure, and the extremes of each measure by which two can be compared."""

    column: str
    rows: Mapping[str, int]
    means: Mapping[str, tuple[GroupMean, ...]]
    extremes: Mapping[str, Extremes]
    others: int
    other_rows: int


def review_groups(spec: GateSpec, judged: Judged) -> GroupReview:
    """The groups of each column of `spec.groups`, and what refuses.

    A difference refuses where its lower bound is above `group_margin`: at half of the one-sided level `alpha`, shared
    by all differences between two groups, in all columns (Bonferroni). A group of fewer than 50 rows is shown and not
    judged, nor a figure over fewer than 10 rows or too few blocks of dependent ones.
    """
    answers = _delivered(judged)
    measures = fairness.group_measures(answers) if judged.by_group and len(judged.y) else ()
    compared = [_compare(answers, measures, column, judged) for column in judged.by_group] if measures else []
    columns: list[GroupedColumn] = []
    refusals: list[str] = []
    notes: list[str] = []
    asked = spec.group_criterion if spec.group_margin is not None else ""
    judging = sum(bool(_by_measure(asked, measures, one)) for one in compared)
    family = sum(len(one.extremes) for one in compared)
    for one in compared:
        gaps = []
        for criterion in fairness.CRITERIA[judged.task]:
            between = _by_measure(criterion, measures, one)
            if not between:
                continue
            gap = _gap(one.column, criterion, between, answers, family)
            if criterion == asked:
                sentence = _refusal(spec, gap, between, judging)
                gap = gap.model_copy(update={"refuses": bool(sentence)})
                refusals += [sentence] if sentence else []
            gaps.append(gap)
        columns.append(_column(one, tuple(gaps)))
        notes += _noted(columns[-1], asked)
    for column in spec.groups:
        if column not in judged.by_group:
            missing = f"groups of {column!r} cannot be compared: the holdout has no such column"
            (refusals if asked else notes).append(missing)
    return GroupReview(tuple(columns), tuple(refusals), tuple(notes))


def _delivered(judged: Judged) -> DeliveredAnswers:
    return fairness.DeliveredAnswers(
        task=judged.task,
        y=judged.y,
        p=judged.challenger,
        threshold=judged.challenger_threshold,
        inside=judged.inside,
        classes=judged.classes,
        dependence=Dependence(judged.groups, judged.times),
        weight=relative(judged.weight),
    )


def _compare(answers: DeliveredAnswers, measures: tuple[GroupMeasure, ...], column: str, judged: Judged) -> _Compared:
    sliced = group_column(judged.by_group[column])
    groups = dict(fairness.compared_groups(sliced.levels, sliced.codes, in_order=sliced.binned))
    means, extremes = {}, {}
    for measure in measures:
        found = [fairness.group_mean(answers, measure, group, at) for group, at in groups.items()]
        means[measure.name] = tuple(one for one in found if one is not None)
        if (between := fairness.extremes(answers, measure, means[measure.name])) is not None:
            extremes[measure.name] = between
    rows = {group: len(at) for group, at in groups.items()}
    others = len({*sliced.codes.tolist()}) - len(groups)
    return _Compared(column, rows, means, extremes, others, len(judged.y) - sum(rows.values()))


def _by_measure(criterion: str, measures: tuple[GroupMeasure, ...], one: _Compared) -> dict[str, Extremes]:
    """The extremes by each measure of `criterion` that can be compared."""
    names = [measure.name for measure in fairness.measures_of(criterion, measures)]
    return {name: one.extremes[name] for name in names if name in one.extremes}


def _gap(
    column: str, criterion: str, between: Mapping[str, Extremes], answers: DeliveredAnswers, family: int
) -> GroupGap:
    """The difference by `criterion`, with its 95% interval; `family` is how many measures of all columns there are."""
    import numpy as np

    widest, found = max(between.items(), key=lambda one: one[1].largest.value - one[1].smallest.value)
    bounds = [one.bounds(SHOWN / len(between)) for one in between.values()]
    sure = max(one.bounds(SHOWN / family)[0] for one in between.values()) > 0
    ratio = fairness.selection_ratio(found.means) if criterion == "selection_rate" else None
    unit = 1.0
    if answers.task == "regression" and criterion != "coverage":
        unit = float(np.average(np.abs(answers.y - answers.p), weights=answers.weight))
    return GroupGap(
        column=column,
        criterion=criterion,
        measure=widest,
        largest=found.largest.group,
        smallest=found.smallest.group,
        high=found.largest.value,
        low=found.smallest.value,
        gap=found.largest.value - found.smallest.value,
        lower=max(lower for lower, _, _ in bounds),
        upper=max(upper for _, upper, _ in bounds),
        sure=sure,
        **dict(zip(("ratio", "ratio_lower", "ratio_upper"), ratio, strict=True)) if ratio else {},
        unit=unit,
    )


def _refusal(spec: GateSpec, gap: GroupGap, between: Mapping[str, Extremes], judging: int) -> str:
    """Why the groups of a column differ too much, or empty; `judging` columns are judged."""
    assert spec.group_margin is not None
    tail = LEVEL * spec.alpha / (judging * len(between))
    bounds = ((name, *one.bounds(tail)) for name, one in between.items())
    measure, lower, _, (high, low) = max(bounds, key=lambda found: found[1])
    if lower <= spec.group_margin * gap.unit:
        return ""
    named = CRITERION_NAMES.get(measure, measure)
    of = f" of the mean absolute error {gap.unit:.4g}" if gap.unit != 1 else ""
    return (
        f"groups of {gap.column!r} differ too much: {named} {high.value:.4g} where it is {_quoted(high.group)} "
        f"({len(high.at):,} rows), {low.value:.4g} where it is {_quoted(low.group)} ({len(low.at):,} rows), a "
        f"difference of {high.value - low.value:.4g}, with {1 - spec.alpha:.0%} confidence more than {lower:.4g} "
        f"(allowed by group_margin: {spec.group_margin:g}{of})"
    )


def _quoted(group: str) -> str:
    return group if group == MISSING else repr(group)


def _column(one: _Compared, gaps: tuple[GroupGap, ...]) -> GroupedColumn:
    figures: dict[str, dict[str, GroupFigure]] = {group: {} for group in one.rows}
    for name, means in one.means.items():
        for mean in means:
            lower, upper = (end if math.isfinite(end) else None for end in mean.ends(fairness.ENDS))
            if lower is not None and name != "calibration":  # all other figures are never below 0
                lower = max(lower, 0.0)
            figures[mean.group][name] = GroupFigure(
                value=mean.value, lower=lower, upper=upper, rows=len(mean.at), enough=mean.enough
            )
    groups = tuple(GroupRow(group=group, rows=rows, figures=figures[group]) for group, rows in one.rows.items())
    return GroupedColumn(column=one.column, groups=groups, gaps=gaps, others=one.others, other_rows=one.other_rows)


def _noted(column: GroupedColumn, asked: str) -> Iterator[str]:
    """What the differences of a column are, in one sentence, and what could not be judged."""
    judged = [gap for gap in column.gaps if gap.sure and gap.criterion != "equalised_odds"]
    figures = ", ".join(f"{CRITERION_NAMES[gap.criterion]} {gap.low:.3g} to {gap.high:.3g}" for gap in judged[:4])
    if judged:
        yield f'groups of {column.column!r} surely differ: {figures}; section "By group" of the report has all figures'
    elif column.gaps:
        yield f"groups of {column.column!r}: no difference is sure"
    if not column.gaps or (asked and asked not in {gap.criterion for gap in column.gaps}):
        yield (
            f"groups of {column.column!r} were not judged: fewer than two have rows enough "
            f"({fairness.FEWEST_IN_GROUP} rows, {fairness.FEWEST_OF_BASE} under the figure)"
        )
