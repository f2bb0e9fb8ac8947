"""The report: one HTML file, readable offline, on a phone, on paper, in light and dark, without a script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.tasks.baselines import as_good
from treadle.tasks.gate.words import beside, differences, pair
from treadle.tasks.metrics import gain, greater_is_better
from treadle.tasks.report import gallery, multiclass
from treadle.tasks.report.drawing import themed
from treadle.tasks.report.groups import group_tables
from treadle.tasks.report.slices import slice_lines
from treadle.tasks.report.story import Finding
from treadle.tasks.report.words import (
    clean,
    label,
    metric_meaning,
    metric_name,
    number,
    percent,
    shorten,
    signed,
    values_in_words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from treadle.tasks.explain import ExplainedRow
    from treadle.tasks.report.drawing import Plot
    from treadle.tasks.report.story import Story

WHO = {"challenger": "This model", "champion": "Champion", "linear": "Linear", "dummy": "Dummy"}
CLASSES = 30
SLICES = 60
KEY_LINES = 4
COLUMNS = 20
REASONS = 5
"""So many reasons of a row's prediction are shown one by one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval on a number line, in percent of its width: zero, ends (cut at the edges), middle."""

    zero: float
    low: float
    high: float
    middle: float
    below: bool
    above: bool


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One metric: cells in the order of the table's head, then on training rows, and how much better it is there."""

    name: str
    direction: str
    chosen: bool
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    train: str
    gap: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A column in numbers: how its values move the prediction, its shares, and the metric's drop without it."""

    name: str
    values: str
    share: str
    gain: str
    drop: str
    ends: str


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """A row with its largest reasons, each (column, value, signed contribution, whether it raises), and the rest."""

    about: ExplainedRow
    reasons: tuple[tuple[str, str, str, bool], ...]
    others: str
    base: str
    margin: str


def render_report(story: Story, drawn: gallery.Gallery | None = None) -> str:
    """The whole page; below 2 MB whatever the number of rows, classes, columns and trials.

    `drawn` are the story's pictures where they are drawn already.
    """
    heads, lines = scoreboard(story)
    drawn = drawn or gallery.gallery_of(story)
    slices = slice_lines(story)
    told = differences(story.verdict.gain, story.verdict.lower, story.verdict.upper)
    far = reach([(one.lower, one.upper) for one in slices])
    return (
        environment()
        .get_template("page.html")
        .render(
            story=story,
            verdict=story.verdict,
            tone=story.verdict.decision.lower().replace("_", "-"),
            findings=first_findings(story),
            reasons=[one for one in story.verdict.reasons if one != story.verdict.headline],
            explanation=story.explanation,
            sections=sections(story, drawn, bool(slices)),
            heads=heads,
            lines=lines,
            key_lines=lines[:KEY_LINES],
            told=told,
            gain=number_line(
                story.verdict.gain,
                story.verdict.lower,
                story.verdict.upper,
                reach([(story.verdict.lower, story.verdict.upper)]),
            ),
            judged=pictures(drawn.judged),
            explained=pictures(drawn.explained),
            effects=pictures(drawn.effects),
            column_lines=column_lines(story),
            more_columns=max(0, len(story.explanation.columns) - COLUMNS) if story.explanation else 0,
            examples=example_rows(story),
            most_reasons=REASONS,
            learned=pictures(drawn.learned),
            classes=multiclass.class_lines(story) if story.task == "multiclass" else [],
            most_classes=CLASSES,
            slices=[
                (one, differences(one.gain, one.lower, one.upper), number_line(one.gain, one.lower, one.upper, far))
                for one in slices[:SLICES]
            ],
            more_slices=max(0, len(slices) - SLICES),
            group_tables=group_tables(story),
            group_pictures=pictures(drawn.groups),
        )
    )


def environment() -> Environment:
    """Templates beside this module: everything is escaped, a name that is not there is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    templates.filters.update(number=number, percent=percent, metric=metric_name, label=label)
    return templates


def pictures(plots: Sequence[Plot]) -> list[tuple[Plot, str]]:
    """Each plot with its SVG made for the page."""
    from markupsafe import Markup

    return [(plot, Markup(themed(plot.svg, f"{plot.title}: {plot.caption}"))) for plot in plots]  # noqa: S704 - our SVG


def linear_is_as_good(story: Story) -> str:
    """One sentence where the linear model is as good as the trees, else nothing."""
    values = {who: scores.get(story.metric, math.nan) for who, scores in story.scores.items()}
    ours, linear, dummy = (values.get(who, math.nan) for who in ("challenger", "linear", "dummy"))
    if not as_good(story.metric, ours, linear, dummy):
        return ""
    better = "better" if gain(story.metric, linear, ours) > 0 else "as good"
    return (
        f"A linear model is {better}: {metric_name(story.metric)} {number(linear)} against {number(ours)} "
        "on the same rows. It is easier to explain and to run; consider it, or find columns that say more."
    )


def sections(story: Story, drawn: gallery.Gallery, slices: bool) -> list[tuple[str, str, bool]]:
    """The table of contents: id, name, and whether the page has it."""
    return [
        (
            "verdict",
            "Why this verdict",
            bool(story.verdict.notes or set(story.verdict.reasons) - {story.verdict.headline}),
        ),
        ("leaks", "Leaks", bool(story.leaks)),
        ("suspects", "Columns to question", bool(story.suspects)),
        ("scores", "All scores", True),
        ("quality", "How good it is", bool(drawn.judged)),
        ("classes", "Class by class", story.task == "multiclass"),
        ("slices", "Slices", slices),
        ("groups", "By group", bool(group_tables(story))),
        ("explanation", "What the predictions are made of", bool(drawn.explained)),
        ("training", "How it was trained", bool(drawn.learned)),
        ("facts", "Facts", True),
    ]


def first_findings(story: Story) -> list[Finding]:
    """The cards of the first screen: what limits the use of the model is marked; where a line is as good, that too."""
    found = list(story.findings)
    if sentence := linear_is_as_good(story):
        found.append(Finding("A linear model", (sentence,), caution=True))
    return found


def column_lines(story: Story) -> list[ColumnLine]:
    """The columns that carry most, in numbers."""
    found = []
    for one in story.explanation.columns[:COLUMNS] if story.explanation else ():
        measured = one.drop is not None and one.drop_lower is not None and one.drop_upper is not None and one.share > 0
        found.append(
            ColumnLine(
                name=one.column,
                values=values_in_words(one),
                share=percent(one.share, 1),
                gain=percent(one.gain, 1),
                drop=signed(one.drop or 0.0) if measured else "unused" if one.share == 0 else "not measured",
                ends=f"{signed(one.drop_lower or 0.0)} to {signed(one.drop_upper or 0.0)}" if measured else "",
            )
        )
    return found


def example_rows(story: Story) -> list[ExampleRow]:
    """The explained rows as the page shows them."""
    shown = []
    for one in story.explanation.examples if story.explanation else ():
        top, rest = one.reasons[:REASONS], one.reasons[REASONS:]
        shown.append(
            ExampleRow(
                about=one,
                reasons=tuple(
                    (shorten(why.column, 28), shorten(why.value, 28), signed(why.contribution), why.contribution > 0)
                    for why in top
                    if why.contribution
                ),
                others=signed(sum(why.contribution for why in rest)) if rest else "",
                base=number(one.base, 3),
                margin=number(one.margin, 3),
            )
        )
    return shown


def scoreboard(story: Story) -> tuple[list[str], list[ScoreLine]]:
    """The key numbers: the models in the head, and one line for each metric, the chosen one first."""
    who = [name for name in WHO if name in story.scores]
    mine = story.scores.get("challenger", {})
    metrics = sorted(mine, key=lambda metric: metric != story.metric)
    lines = []
    for metric in metrics:
        up = greater_is_better(metric)
        values = [story.scores[name].get(metric, math.nan) for name in who]
        defined = [value for value in values if not math.isnan(value)]
        best = (max(defined) if up else min(defined)) if defined else math.nan
        train = story.train_scores.get(metric, math.nan)
        *cells, on_training = (text.replace("-", "−") for text in beside([*values, train]))
        lines.append(
            ScoreLine(
                name=metric_name(metric),
                direction="higher is better" if up else "lower is better",
                chosen=metric == story.metric,
                cells=tuple(cells),
                best=tuple(value == best for value in values),
                train=on_training,
                gap=pair(train, mine[metric], gain(metric, train, mine[metric]))[2].replace("-", "−"),
                meaning=metric_meaning(metric),
            )
        )
    return [WHO[name] for name in who], lines


def reach(intervals: Sequence[tuple[float, float]]) -> float:
    """How far number lines go from zero: nine in ten ends fit, so that one wide interval squeezes none."""
    ends = sorted(abs(end) for interval in intervals for end in interval if math.isfinite(end))
    return 1.15 * ends[min(len(ends) - 1, math.ceil(0.9 * len(ends)))] if ends else 1.0


def number_line(middle: float, low: float, high: float, far: float) -> Interval | None:
    """Where an interval lies on a line from -far to +far; None where an end is not a number."""
    if not all(math.isfinite(value) for value in (middle, low, high)) or far <= 0:
        return None

    def place(value: float) -> float:
        return round(50 + 50 * min(1.0, max(-1.0, value / far)), 1)

    return Interval(50, place(low), place(high), place(middle), below=high < 0, above=low > 0)
