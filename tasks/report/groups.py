"""Groups of rows: the answers side by side, with intervals, and where a difference between groups is sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.fairness import RECALL
from treadle.tasks.gate.groups import CRITERION_NAMES
from treadle.tasks.report.drawing import BLUE, INK, MUTED, Plot, draw, plain_numbers
from treadle.tasks.report.story import Finding
from treadle.tasks.report.words import number, percent, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from treadle.tasks.gate import Verdict
    from treadle.tasks.gate.grouped import GroupedColumn, GroupFigure, GroupGap
    from treadle.tasks.report.story import Story

WORTH_SAYING = 0.02
"""A smaller difference, in the criterion's unit, is in the table and not on the first screen."""

MOST_SAID = 2
"""So many differences of a column are said on the first screen, the largest."""

HEADS = {
    "positive_rate": "Really positive",
    "selection_rate": "Called positive",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
    "calibration": "Actual − predicted",
    "error": "Wrong",
    "coverage": "In the interval",
    "brier": "Brier score",
    "log_loss": "Log loss",
}

MEANINGS = {
    "selection_rate": "share of rows that are called positive (demographic parity: the same in all groups)",
    "true_positive_rate": "of the rows that are positive, the share that is called so (equal opportunity)",
    "false_positive_rate": "of the rows that are negative, the share that is called positive",
    "equalised_odds": "the larger of the differences in true and false positive rate, here",
    "precision": "of the rows that are called positive, the share that is (predictive parity)",
    "calibration": "what happened less what was predicted, on average",
    "error": "share of wrong answers",
    "recall": "of the rows of a class, the share that is called so; most different",
    "coverage": "share of values inside their 90% interval",
}

SCORES = ("brier", "log_loss")
"""Figures that are no shares."""

SEVERAL = ("equalised_odds", "recall")
"""Criteria of several measures: the one that differs most is named."""

AMOUNT = "mean distance between value and prediction"


@dataclass(frozen=True, slots=True)
class GroupTable:
    """The figures of one column's groups as text: heads, and per group its name, rows and cells.

    A cell is value, interval, and whether it may be judged. `number` counts the tables from 1; the names of the
    column's pictures begin with `groups_NUMBER_`.
    """

    number: int
    column: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, int, tuple[tuple[str, str, bool], ...]], ...]
    gaps: tuple[tuple[GroupGap, tuple[str, ...]], ...]
    more: str


def group_findings(verdict: Verdict) -> Iterator[Finding]:
    """What the first screen says of groups: the differences that are sure and large enough to matter, if any."""
    sentences, more = [], 0
    for column in verdict.groups:
        sure = [gap for gap in column.gaps if gap.sure and gap.gap >= WORTH_SAYING * gap.unit]
        sure = sorted((gap for gap in sure if gap.criterion != "equalised_odds"), key=lambda gap: -gap.gap / gap.unit)
        sentences += [_said(gap) for gap in sure[:MOST_SAID]]
        more += len(sure[MOST_SAID:])
    if sentences:
        others = f"{more} more sure differences, and all figures," if more else "All figures"
        last = f"{others} stand below, under By group. They do not say whether a difference is just."
        yield Finding("Groups are answered differently", (*sentences, last), caution=True)


def _said(gap: GroupGap) -> str:
    name = MEANINGS["calibration"] if gap.criterion == "calibration" else _named(gap)
    high, low = (_value(gap, value) for value in (gap.high, gap.low))
    return (
        f"{name[:1].upper()}{name[1:]} by {shorten(gap.column)}: {high} for {shorten(gap.largest)}, {low} for "
        f"{shorten(gap.smallest)}; the difference is {_points(gap, gap.gap)}, and surely at least "
        f"{_points(gap, gap.lower)}."
    )


def _named(gap: GroupGap) -> str:
    return gap.measure if gap.measure.startswith(RECALL) else CRITERION_NAMES[gap.measure]


def _points(gap: GroupGap, *values: float) -> str:
    """Differences: of shares in percentage points, of amounts as they are."""
    if _is_share(gap):
        return f"{' to '.join(f'{100 * value:.1f}' for value in values)} points"
    return " to ".join(number(value, 3) for value in values)


def _value(gap: GroupGap, value: float) -> str:
    """A share in percent; an amount of a regression as it is."""
    return percent(value, 1).replace("-", "−") if _is_share(gap) else number(value, 3)


def _is_share(gap: GroupGap) -> bool:
    return gap.unit == 1 or gap.criterion == "coverage"


def group_tables(story: Story) -> list[GroupTable]:
    """A table for each column of `[gate] groups`, in their order."""
    return [_table(story, at, column) for at, column in enumerate(story.verdict.groups, 1)]


def _table(story: Story, at: int, column: GroupedColumn) -> GroupTable:
    names = list(dict.fromkeys(name for row in column.groups for name in row.figures))
    amounts = story.task == "regression"
    heads = {**HEADS, "error": "Absolute error"} if amounts else HEADS
    plain = (*SCORES, "error", "calibration") if amounts else SCORES
    lines = tuple(
        (row.group, row.rows, tuple(_cell(row.figures.get(name), name in plain) for name in names))
        for row in column.groups
    )
    more = f"and {column.others:,} smaller groups of {column.other_rows:,} rows together" if column.others else ""
    gaps = tuple(
        (
            gap,
            (
                CRITERION_NAMES[gap.criterion],
                _meaning(gap, amounts),
                f"{gap.largest}: {_value(gap, gap.high)}",
                f"{gap.smallest}: {_value(gap, gap.low)}",
                _points(gap, gap.gap),
                _points(gap, gap.lower, gap.upper),
            ),
        )
        for gap in column.gaps
    )
    return GroupTable(at, column.column, tuple(_head(heads, name) for name in names), lines, gaps, more)


def _head(heads: dict[str, str], name: str) -> str:
    return heads.get(name, name[:1].upper() + name[1:])


def _meaning(gap: GroupGap, amounts: bool) -> str:
    meaning = AMOUNT if amounts and gap.criterion == "error" else MEANINGS[gap.criterion]
    return f"{meaning}: {_named(gap)}" if gap.criterion in SEVERAL else meaning


def _cell(figure: GroupFigure | None, amount: bool) -> tuple[str, str, bool]:
    """Value, interval, and whether it may be judged."""
    if figure is None:
        return "n/a", "no rows", False
    text = number if amount else percent
    digits = 3 if amount else 1
    if figure.lower is None or figure.upper is None:
        return text(figure.value, digits), "no interval", figure.enough
    value, lower, upper = (text(one, digits).replace("-", "−") for one in (figure.value, figure.lower, figure.upper))
    return value, f"{lower} to {upper}", figure.enough


def group_plots(story: Story) -> list[Plot]:
    """For each column and criterion the groups' figures with their intervals, the largest group at the top."""
    return [
        _plot(f"groups_{at}_{gap.criterion}", column, gap, story.task == "regression")
        for at, column in enumerate(story.verdict.groups, 1)
        for gap in column.gaps
        if gap.criterion != "equalised_odds"
    ]


def _plot(name: str, column: GroupedColumn, gap: GroupGap, amounts: bool) -> Plot:
    rows = [row for row in column.groups if gap.measure in row.figures]
    figures = [row.figures[gap.measure] for row in rows]
    shown = [end for one in figures for end in (one.lower, one.upper) if end is not None and one.enough]
    low, high = min(*shown, gap.low), max(*shown, gap.high)
    pad = 0.06 * (high - low) or 0.01

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (row, one) in enumerate(zip(rows, figures, strict=True)):
            colour = BLUE if one.enough else MUTED
            if one.lower is not None and one.upper is not None:
                axes.hlines(
                    -place, max(one.lower, low - pad), min(one.upper, high + pad), color=colour, alpha=0.45, lw=4
                )
            axes.plot([one.value], [-place], "o", color=colour, ms=5, mfc=colour if row.rows else "none")
        for value in (gap.low, gap.high):
            axes.axvline(value, color=MUTED, lw=0.8, ls=(0, (2, 3)))
        axes.set(ylim=(0.6 - len(rows), 0.6), xlim=(low - pad, high + pad))
        plain_numbers(axes)
        if not amounts or gap.criterion == "coverage":
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}".replace("-", "−"))
        axes.set_yticks([-place for place in range(len(rows))], [shorten(row.group, 18) for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")

    sure = "sure" if gap.sure else "may be chance"
    caption = (
        f"{_meaning(gap, amounts)[:1].upper()}{_meaning(gap, amounts)[1:]}. Largest difference {_points(gap, gap.gap)} "
        f"({_points(gap, gap.lower, gap.upper)}), {sure}."
    )
    title = f"{_named(gap)} by {shorten(column.column)}"
    return Plot(name, title[:1].upper() + title[1:], caption, draw(name, paint, height=46 + 20 * len(rows), width=240))
