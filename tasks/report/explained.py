"""What predictions are made of: contributions by column, permutation importance, and effects of single columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.report.drawing import (
    BLUE,
    GRID,
    HALO,
    INK,
    MUTED,
    ORANGE,
    Plot,
    axis_number,
    draw,
    plain_numbers,
    spread_heights,
)
from treadle.tasks.report.words import clean, listing, metric_name, number, percent, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.explain import ColumnEffect, CorrelatedColumns, ExplainedColumn, Explanation
    from treadle.tasks.report.story import Story

SHOWN = 12
LANES = 5
COLOURS = (BLUE, ORANGE, MUTED)
LINE_COLOURS = (BLUE, ORANGE, INK)
EFFECT_WIDTH, EFFECT_HEIGHT = 300, 200


def explanation_figures(explanation: Explanation | None) -> list[Plot]:
    """Contributions and permutation importance, as far as there is something to show."""
    if explanation is None or not any(one.share > 0 for one in explanation.columns):
        return []
    plots = [contribution_figure(explanation)]
    if any(one.drop is not None and one.share > 0 for one in explanation.columns):
        plots.append(permutation_figure(explanation))
    return plots


def contribution_figure(explanation: Explanation) -> Plot:
    """The mean absolute contribution of each column, or of one margin every row's contribution as a dot."""
    shown = [one for one in explanation.columns if one.share > 0][:SHOWN]
    dots = any(one.points for one in shown)
    names = [shorten(one.column, 20) for one in shown]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        if dots:
            axes.axvline(0, color=MUTED, lw=1)
            for place, one in enumerate(shown):
                _swarm(axes, place, one)
            axes.set(xlabel="contribution: left lowers, right raises the prediction")
        else:
            axes.barh(range(len(shown)), [one.contribution for one in shown], color=BLUE, height=0.62, alpha=0.85)
            axes.set(xlabel="mean absolute contribution to the class margins")
        axes.set_yticks(
            range(len(shown)), [f"{name}  {percent(one.share)}" for name, one in zip(names, shown, strict=True)]
        )
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=dots, axis="y")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    what = (
        "Each dot is a row: how much the column's value adds to its prediction. Blue: the value is among the lowest "
        "third, orange: among the highest third, grey: between, missing or without an order. "
        if dots
        else "How much each column moves the class margins, up or down, on average. "
    )
    caption = (
        f"{what}Percentages: the column's share of all absolute contributions (mean |SHAP|, "
        f"{explanation.explained:,} of {explanation.rows:,} holdout rows). Unit: {clean(explanation.unit)}."
    )
    height = 48 + 21 * len(shown)
    return Plot("contributions", "Contributions by column", caption, draw("contributions", paint, height=height))


def _swarm(axes: Axes, place: int, one: ExplainedColumn) -> None:
    """A column's dots on its line, those that would lie on each other apart."""
    import numpy as np

    x = np.array([point for point, _ in one.points])
    level = np.array([np.nan if at is None else at for _, at in one.points])
    if not len(x):
        return
    reach = max(float(np.abs(x).max()), 1e-12)
    cell = np.round(x / reach * 30).astype(int)
    y = np.empty(len(x))
    for value in np.unique(cell):
        at = np.flatnonzero(cell == value)
        y[at] = (np.arange(len(at)) % LANES - (min(len(at), LANES) - 1) / 2) * 0.13
    thirds = np.where(np.isnan(level), 2, np.where(level < 1 / 3, 0, np.where(level > 2 / 3, 1, 2)))
    for which, colour in enumerate(COLOURS):
        of = thirds == which
        axes.plot(x[of], place + y[of], "o", color=colour, ms=2.6, alpha=0.7, mew=0)


def permutation_figure(explanation: Explanation) -> Plot:
    """How much worse the metric gets without each column's information, with 95% intervals."""
    shown: list[tuple[str, ExplainedColumn | CorrelatedColumns]] = [
        (shorten(one.column, 22), one) for one in explanation.columns if one.drop is not None and one.share > 0
    ]
    shown = sorted(shown, key=lambda item: -(item[1].drop or 0.0))[:SHOWN]
    together: list[tuple[str, ExplainedColumn | CorrelatedColumns]] = [
        (shorten(" + ".join(shorten(name, 12) for name in one.columns), 27), one)
        for one in explanation.groups[:3]
        if one.drop is not None
    ]
    lines = [*shown, *together]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, lw=1)
        for place, (_, one) in enumerate(lines):
            colour = BLUE if place < len(shown) else ORANGE
            axes.hlines(place, one.drop_lower or 0.0, one.drop_upper or 0.0, color=colour, alpha=0.45, lw=3)
            axes.plot([one.drop or 0.0], [place], "o", color=colour, ms=5)
        axes.set_yticks(range(len(lines)), [name for name, _ in lines])
        axes.set(ylim=(len(lines) - 0.4, -0.6), xlabel=f"{metric_name(explanation.metric)} gets worse by")
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    caption = (
        f"How much worse {metric_name(explanation.metric)} gets on holdout rows where a column's values are dealt to "
        f"other rows ({explanation.permuted:,} rows, {explanation.repeats} times; bars: 95% intervals)."
    )
    if together:
        groups = "; ".join(listing([shorten(name, 18) for name in one.columns]) for one in explanation.groups[:3])
        caption += (
            " Orange: strongly correlated columns, permuted together, because they stand for each other and each alone "
            f"seems to matter little ({groups})."
        )
    return Plot(
        "permutation",
        "Permutation importance",
        caption,
        draw("permutation", paint, height=48 + 21 * len(lines)),
    )


def _joined(group: CorrelatedColumns) -> str:
    """The first two columns of a group, and how many more there are."""
    more = len(group.columns) - 2
    return " + ".join(shorten(name, 10) for name in group.columns[:2]) + (f" + {more}" if more > 0 else "")


def effect_figures(story: Story) -> list[Plot]:
    """How the mean prediction moves with each of the columns that carry most."""
    if story.explanation is None:
        return []
    return [effect_figure(story, one, place) for place, one in enumerate(story.explanation.effects)]


def effect_figure(story: Story, effect: ColumnEffect, place: int) -> Plot:
    """One column: the mean prediction above, the rows of the holdout by its value below."""
    name = f"effect_{place + 1}"
    what = {
        "binary": f"mean probability of {shorten(str(story.classes[1]), 14)}" if story.task == "binary" else "",
        "regression": f"mean predicted {shorten(story.target, 14)}",
        "multiclass": "mean probability",
    }[story.task]

    def paint(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.set_ylabel(what, fontsize=8.5)
        axes.set_ylim(_limits_of(story, effect))
        if effect.kind == "levels":
            _levels(axes, below, effect)
        else:
            _curve(axes, below, effect)
        _name_lines(axes, effect)
        below.set_ylabel("rows", fontsize=8)
        below.set_yticks([])
        below.grid(visible=False)

    caption = f"{effect.method.capitalize()} on {effect.rows:,} rows: {effect.why}. {_span_in_words(effect)}"
    title = shorten(effect.column, 34)
    return Plot(name, title, clean(caption), draw(name, paint, height=EFFECT_HEIGHT, width=EFFECT_WIDTH))


def _limits_of(story: Story, effect: ColumnEffect) -> tuple[float, float]:
    """The range of the lines with some room; of probabilities within 0 and 1, and never a hair's breadth."""
    values = [value for line in effect.lines.values() for value in line]
    values += list((effect.missing or {}).values())
    low, high = min(values), max(values)
    least = 0.04 if story.task != "regression" else 0.02 * max(abs(low), abs(high), 1e-9)
    pad = max(0.12 * (high - low), (least - (high - low)) / 2)
    low, high = low - pad, high + pad
    return (max(0.0, low), min(1.0, high)) if story.task != "regression" else (low, high)


def _curve(axes: Axes, below: Axes, effect: ColumnEffect) -> None:
    for (name, line), colour in zip(effect.lines.items(), LINE_COLOURS, strict=False):
        axes.plot(effect.at, line, "o-", color=colour, ms=3, lw=1.4)
        if effect.missing is not None:
            axes.plot([0.985], [effect.missing[name]], "D", color=colour, ms=4, transform=axes.get_yaxis_transform())
    widths = [high - low for low, high in zip(effect.edges[:-1], effect.edges[1:], strict=True)]
    below.bar(
        effect.edges[:-1], effect.counts, width=[0.9 * one for one in widths], align="edge", color=BLUE, alpha=0.5, lw=0
    )
    low, high = min(effect.at[0], effect.edges[0]), max(effect.at[-1], effect.edges[-1])
    room = 0.04 * (high - low)
    right = 7 if "" not in effect.lines else 3 if effect.missing is not None else 1
    axes.set_xlim(low - room, high + right * room)
    plain_numbers(axes)
    below.xaxis.set_major_formatter(lambda value, _: _x_text(effect, value))
    if effect.kind == "moment":
        below.set_xticks([effect.at[0], effect.at[-1]])
        below.get_xticklabels()[0].set_horizontalalignment("left")
        below.get_xticklabels()[-1].set_horizontalalignment("right")


def _x_text(effect: ColumnEffect, value: float) -> str:
    """A place on the axis: a number, or the day of a moment in seconds since 1970."""
    if effect.kind != "moment":
        return axis_number(value)
    from datetime import UTC, datetime, timedelta

    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(value)):%Y-%m-%d}"


def _name_lines(axes: Axes, effect: ColumnEffect) -> None:
    """The classes' names at the ends of their lines, apart from each other; the axis leaves room for them."""
    if "" in effect.lines:
        return
    low, high = axes.get_ylim()
    heights = spread_heights([line[-1] for line in effect.lines.values()], 0.1 * (high - low))
    x = effect.at[-1] + (0.25 if effect.kind == "levels" else 0.0)
    for name, height, colour in zip(effect.lines, heights, LINE_COLOURS, strict=False):
        text = axes.text(x, height, f" {shorten(name, 12)}", color=colour, fontsize=8, va="center", gid=HALO)
        text.set_in_layout(False)


def _levels(axes: Axes, below: Axes, effect: ColumnEffect) -> None:
    places = list(range(len(effect.labels)))
    for line, colour in zip(effect.lines.values(), LINE_COLOURS, strict=False):
        axes.plot(places, line, "o", color=colour, ms=5)
    below.bar(places, effect.counts, width=0.7, color=BLUE, alpha=0.5, lw=0)
    long = max((len(one) for one in effect.labels), default=0) * len(places) > 34
    below.set_xticks(
        places,
        [shorten(one, 14) for one in effect.labels],
        rotation=40 if long else 0,
        ha="right" if long else "center",
        fontsize=7.5 if long else 8.5,
    )
    axes.set_xlim(-0.6, len(places) - 0.4 + (0 if "" in effect.lines else 0.25 * len(places)))
    axes.grid(visible=True, axis="y", color=GRID)


def _span_in_words(effect: ColumnEffect) -> str:
    """From where to where the first line goes."""
    name, line = next(iter(effect.lines.items()))
    low, high = min(range(len(line)), key=line.__getitem__), max(range(len(line)), key=line.__getitem__)
    of = f" of {shorten(name, 16)}" if name else ""
    at = [axis_number(value) for value in effect.at] if effect.kind == "number" else effect.labels
    words = (
        f"The mean prediction{of} is lowest at {shorten(at[low], 18)} ({number(line[low], 3)}) and highest at "
        f"{shorten(at[high], 18)} ({number(line[high], 3)})"
    )
    if effect.missing is not None and effect.kind != "levels":
        words += f"; without a value it is {number(effect.missing[name], 3)} (diamond)"
    return words + "."
