"""How the model learned, and which columns it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.metrics import gain, greater_is_better
from treadle.tasks.report.drawing import BLUE, ORANGE, Plot, draw, end_labels, thin, whole_numbers
from treadle.tasks.report.words import listing, metric_name, number, percent, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.report.story import Story

COLUMNS = 15


def learning_figures(story: Story) -> list[Plot]:
    """Learning curve and importance, as far as there is something to show."""
    plots = [curve(story)] if story.curve.validation else []
    if any(share > 0 for share in story.importance.values()):
        plots.append(importance_figure(story))
    return plots


def curve(story: Story) -> Plot:
    """The metric by round, on training and on validation rows."""
    import numpy as np

    train = np.asarray(story.curve.train, dtype=float)
    validation = np.asarray(story.curve.validation, dtype=float)
    name, rounds = metric_name(story.curve.metric), np.arange(1, len(validation) + 1, dtype=float)
    up = greater_is_better(story.curve.metric)
    best = int(np.nanargmax(validation) if up else np.nanargmin(validation)) if not np.isnan(validation).all() else 0

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*thin(np.arange(1, len(train) + 1, dtype=float), train), color=ORANGE)
        axes.plot(*thin(rounds, validation), color=BLUE)
        axes.plot(rounds[best], validation[best], "o", color=BLUE, ms=6)
        axes.set(xlabel="round (trees)", ylabel=name)
        whole_numbers(axes)
        if not up:
            steep(axes, np.concatenate([train, validation]))
        lines = [(train[-1], "train", ORANGE)] if len(train) else []
        end_labels(axes, [*lines, (validation[-1], "validation", BLUE)], float(rounds[-1]))

    gap = gain(story.curve.metric, float(train[-1]), float(validation[-1])) if len(train) else float("nan")
    caption = (
        f"Validation is best at round {best + 1:,} of {len(validation):,} (the dot, {name} "
        f"{number(float(validation[best]))}); the wider the lines part, the more is learned by heart: "
        f"at the end training is better by {number(gap, 3)}."
    )
    return Plot("learning", "Learning curve", caption, draw("learning", paint))


def steep(axes: Axes, errors: np.ndarray) -> None:
    """A logarithmic axis for errors that fall so far that a straight one would hide where they end."""
    import numpy as np
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    here = errors[np.isfinite(errors)]
    if len(here) and here.min() > 0 and here.max() / here.min() > 8:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def importance_figure(story: Story) -> Plot:
    """The share of the gain that each source column brings."""
    ranked = sorted(story.importance.items(), key=lambda item: (-item[1], item[0]))
    total = sum(share for _, share in ranked)
    shown = [(shorten(name, 22), share / total) for name, share in ranked[:COLUMNS]]
    if len(ranked) > COLUMNS:
        shown.append((f"{len(ranked) - COLUMNS} others", sum(share for _, share in ranked[COLUMNS:]) / total))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(shown))
        axes.barh(places, [share for _, share in shown], color=BLUE, height=0.62, alpha=0.85)
        for place, (_, share) in zip(places, shown, strict=True):
            axes.annotate(percent(share), (share, place), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, [name for name, _ in shown])
        axes.set(xlim=(0, 1.16 * max(share for _, share in shown)), ylim=(len(shown) - 0.4, -0.6))
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    first = min(3, len(ranked))
    share = sum(value for _, value in ranked[:first]) / total
    names = listing([shorten(name) for name, _ in ranked[:first]])
    caption = (
        f"How much of the gain in the trees comes from each column: {names} "
        f"{'bring' if first > 1 else 'brings'} {percent(share)} of it; a surprising name may be a leak."
    )
    return Plot("importance", "Importance by column", caption, draw("importance", paint, height=26 + 19 * len(shown)))
