"""How the model came to be: rounds, trials, their parameters, and the columns that it uses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.metrics import greater_is_better
from tasks.report.drawing import BLUE, MUTED, ORANGE, Plot, draw, end_labels, thin
from tasks.report.regression import plain
from tasks.report.words import listing, metric_name, number, percent, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.report.story import Story
    from tasks.search import Trial

COLUMNS = 15
PARAMETERS = 6


def figures(story: Story) -> list[Plot]:
    """Learning curve, importance, trials and their parameters, as far as there is something to show."""
    plots = []
    if len(story.curve.validation):
        plots.append(curve(story))
    if any(share > 0 for share in story.importance.values()):
        plots.append(importance(story))
    done = finished(story.trials)
    if len(done) > 1:
        plots.append(trials(story, done))
        if shown := telling(done):
            plots.append(parameters(story, done, shown))
    return plots


def finished(tried: Sequence[Trial]) -> list[Trial]:
    """Trials that have a value to show, in order."""
    return sorted(
        (one for one in tried if one.value is not None and math.isfinite(one.value)),
        key=lambda one: one.number,
    )


def worth(done: list[Trial]) -> np.ndarray:
    """The values [trials] of trials that have one."""
    import numpy as np

    return np.array([one.value for one in done], dtype=float)


def complete(trial: Trial) -> bool:
    """Whether the trial was let run to its end."""
    return trial.state == "complete"


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

    gap = abs(float(train[-1] - validation[-1])) if len(train) else float("nan")
    caption = (
        f"Validation is best at round {best + 1:,} of {len(validation):,} (the dot, {name} "
        f"{number(float(validation[best]))}); the wider the lines part, the more is learned by heart: "
        f"at the end the gap is {number(gap, 3)}."
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


def whole_numbers(axes: Axes) -> None:
    """Ticks at whole numbers only: there is no half round or trial."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def importance(story: Story) -> Plot:
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


def trials(story: Story, done: list[Trial]) -> Plot:
    """The value of every trial, and the best so far."""
    import numpy as np

    up, name = greater_is_better(story.metric), metric_name(story.metric)
    whole = [one for one in done if complete(one)] or done
    values = worth(whole)
    best = np.maximum.accumulate(values) if up else np.minimum.accumulate(values)
    numbers = np.array([one.number + 1 for one in whole], dtype=float)
    stopped = [one for one in done if not complete(one)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(
            [one.number + 1 for one in stopped],
            worth(stopped),
            "x",
            color=MUTED,
            ms=4,
            alpha=0.7,
        )
        axes.plot(
            *thin(np.append(numbers, done[-1].number + 1.0), np.append(best, best[-1])),
            color=ORANGE,
            drawstyle="steps-post",
        )
        axes.plot(numbers, values, "o", color=BLUE, ms=4.5, alpha=0.75, mew=0)
        axes.set(xlabel="trial", ylabel=f"validation {name}")
        whole_numbers(axes)
        near(axes, worth(done), values, up)
        end_labels(axes, [(float(best[-1]), "best so far", ORANGE)], float(done[-1].number + 1))

    winner = whole[int(np.argmax(values) if up else np.argmin(values))]
    first = next((one for one in whole if one.number == 0), whole[0])
    caption = f"Trial {winner.number + 1} of {len(story.trials):,} was best with {name} {number(winner.value)}"
    caption += (
        f", the strong default at the start had {number(first.value)}"
        if winner is not first
        else ", the very first, a strong default"
    )
    if stopped:
        caption += f"; {len(stopped):,} {'were' if len(stopped) > 1 else 'was'} stopped early (crosses)"
    return Plot("trials", "Trials", caption + ".", draw("trials", paint))


def near(axes: Axes, everything: np.ndarray, values: np.ndarray, up: bool) -> None:
    """Keep one hopeless trial from flattening the others: cut the bad end where it lies far off."""
    import numpy as np

    bad = values.max() - values if not up else values - values.min()
    good = values.max() if up else values.min()
    far = np.abs(everything - good)
    reach = 1.3 * float(np.quantile(far, 0.9)) if bad.any() else 0.0
    if 0 < reach < 0.6 * float(far.max()):
        edge = 0.06 * reach
        axes.set_ylim((good - reach, good + edge) if up else (good - edge, good + reach))


def telling(done: list[Trial]) -> list[str]:
    """The parameters that moved, first those whose rank goes with the value's (Spearman's rho)."""
    import numpy as np

    values = worth(done)
    strengths: dict[str, float] = {}
    for name in sorted({name for one in done for name in one.params}):
        column = numbers_of(done, name)
        here = np.isfinite(column)
        if here.sum() < 3 or np.ptp(column[here]) == 0:
            continue
        a, b = ranks(column[here]), ranks(values[here])
        strengths[name] = abs(float(np.corrcoef(a, b)[0, 1])) if np.ptp(b) else 0.0
    return sorted(strengths, key=lambda name: -strengths[name])[:PARAMETERS]


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [n] from 0; equal values share their mean rank."""
    import numpy as np

    _, which, rows = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(rows) - (rows + 1) / 2)[which]


def numbers_of(done: list[Trial], name: str) -> np.ndarray:
    """A parameter's values [trials] as floats; NaN where a trial lacks it or it is no number."""
    import numpy as np

    found = [one.params.get(name) for one in done]
    return np.array([float(v) if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in found])


def parameters(story: Story, done: list[Trial], shown: list[str]) -> Plot:
    """The value against each telling parameter."""
    import numpy as np

    lines = math.ceil(len(shown) / 2)
    values = worth(done)
    whole = np.array([complete(one) for one in done])
    up = greater_is_better(story.metric)
    best = int(
        np.argmax(np.where(whole | ~whole.any(), values, -np.inf))
        if up
        else np.argmin(np.where(whole | ~whole.any(), values, np.inf))
    )

    def paint(figure: Figure) -> None:
        grid = np.atleast_1d(figure.subplots(lines, 2 if len(shown) > 1 else 1, sharey=True)).ravel()
        for axes, name in zip(grid, shown, strict=False):
            column = numbers_of(done, name)
            axes.plot(column[~whole], values[~whole], "x", color=MUTED, ms=3.5, alpha=0.6)
            axes.plot(column[whole], values[whole], "o", color=BLUE, ms=4, alpha=0.7, mew=0)
            axes.plot(column[best], values[best], "o", color=ORANGE, ms=6.5)
            plain(axes)
            scale(axes, column)
            axes.set_xlabel(shorten(name, 22))
            near(axes, values, values[whole] if whole.any() else values, up)
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
        figure.supylabel(f"validation {metric_name(story.metric)}", fontsize=9.5)

    caption = (
        "Each dot is a trial, the large one the best; a cloud that gets better towards one edge says that "
        "better values may lie beyond it, a flat one that the parameter hardly matters."
    )
    return Plot("parameters", "Parameters tried", caption, draw("parameters", paint, height=60 + 105 * lines))


def scale(axes: Axes, column: np.ndarray) -> None:
    """A logarithmic axis for parameters that were drawn over orders of magnitude."""
    import numpy as np
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    here = column[np.isfinite(column)]
    if here.min() <= 0 or here.max() / here.min() < 20:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
