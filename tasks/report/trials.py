"""What the search tried: the value of every trial, and of every parameter that varied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.tasks.metrics import greater_is_better
from treadle.tasks.report.drawing import (
    BLUE,
    MUTED,
    ORANGE,
    Plot,
    draw,
    end_labels,
    plain_numbers,
    thin,
    whole_numbers,
)
from treadle.tasks.report.words import metric_name, number, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.report.story import Story
    from treadle.tasks.search import Trial

PARAMETERS = 6
DOTS = 400


def trial_figures(story: Story) -> list[Plot]:
    """History and parameters, where there is more than one trial to compare."""
    done = trials_with_value(story.trials)
    if len(done) < 2:
        return []
    shown = informative_parameters(done)
    return [history_figure(story, done), *([parameter_figures(story, done, shown)] if shown else [])]


def trials_with_value(tried: Sequence[Trial]) -> list[Trial]:
    """Trials that have a value to show, in order."""
    return sorted(
        (one for one in tried if one.value is not None and math.isfinite(one.value)),
        key=lambda one: one.number,
    )


def worth(done: list[Trial]) -> np.ndarray:
    """The values [trials] of trials that have one."""
    import numpy as np

    return np.array([one.value for one in done], dtype=float)


def ran_to_end(trial: Trial) -> bool:
    """Whether the trial was let run to its end."""
    return trial.state == "complete"


def winner(done: list[Trial], up: bool) -> Trial:
    """The best trial; one that was stopped early only where none was let run to its end."""
    whole = [one for one in done if ran_to_end(one)] or done
    values = worth(whole)
    return whole[int(values.argmax() if up else values.argmin())]


def some(done: list[Trial]) -> list[Trial]:
    """At most `DOTS` trials to draw, evenly from first to last: a long study stays a small picture."""
    step = max(1, math.ceil(len(done) / DOTS))
    return done[::step]


def history_figure(story: Story, done: list[Trial]) -> Plot:
    """The value of every trial, and the best so far."""
    import numpy as np

    up, name = greater_is_better(story.metric), metric_name(story.metric)
    whole = [one for one in done if ran_to_end(one)] or done
    values = worth(whole)
    best = np.maximum.accumulate(values) if up else np.minimum.accumulate(values)
    numbers = np.array([one.number + 1 for one in whole], dtype=float)
    stopped = [one for one in done if not ran_to_end(one)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        crosses, dots = some(stopped), some(whole)
        axes.plot([one.number + 1 for one in crosses], worth(crosses), "x", color=MUTED, ms=4, alpha=0.7)
        axes.plot(
            *thin(np.append(numbers, done[-1].number + 1.0), np.append(best, best[-1])),
            color=ORANGE,
            drawstyle="steps-post",
        )
        axes.plot([one.number + 1 for one in dots], worth(dots), "o", color=BLUE, ms=4.5, alpha=0.75, mew=0)
        axes.set(xlabel="trial", ylabel=f"validation {name}")
        whole_numbers(axes)
        near(axes, worth(done), values, up)
        end_labels(axes, [(float(best[-1]), "best so far", ORANGE)], float(done[-1].number + 1))

    best_one = winner(done, up)
    first = next((one for one in whole if one.number == 0), whole[0])
    caption = f"Trial {best_one.number + 1} of {len(story.trials):,} was best with {name} {number(best_one.value)}"
    caption += (
        f", the strong default at the start had {number(first.value)}"
        if best_one is not first
        else ", the very first, a strong default"
    )
    if stopped:
        caption += f"; {len(stopped):,} {'were' if len(stopped) > 1 else 'was'} stopped early (crosses)"
    return Plot("trials", "Trials", caption + ".", draw("trials", paint))


def near(axes: Axes, everything: np.ndarray, values: np.ndarray, up: bool) -> None:
    """Keep one hopeless trial from flattening the others: cut the bad end where it lies far off."""
    import numpy as np

    good = values.max() if up else values.min()
    far = np.abs(everything - good)
    reach = 1.3 * float(np.quantile(far, 0.9)) if np.ptp(values) > 0 else 0.0
    if 0 < reach < 0.6 * float(far.max()):
        edge = 0.06 * reach
        axes.set_ylim((good - reach, good + edge) if up else (good - edge, good + reach))


def informative_parameters(done: list[Trial]) -> list[str]:
    """The parameters that varied, first those whose rank goes with the value's (Spearman's rho)."""
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


def parameter_figures(story: Story, done: list[Trial], shown: list[str]) -> Plot:
    """The value against each informative parameter."""
    import numpy as np

    lines, up = math.ceil(len(shown) / 2), greater_is_better(story.metric)
    best, dots = winner(done, up), some(done)
    values, whole = worth(dots), np.array([ran_to_end(one) for one in dots])

    def paint(figure: Figure) -> None:
        grid = np.atleast_1d(figure.subplots(lines, 2 if len(shown) > 1 else 1, sharey=True)).ravel()
        for axes, name in zip(grid, shown, strict=False):
            column = numbers_of(dots, name)
            axes.plot(column[~whole], values[~whole], "x", color=MUTED, ms=3.5, alpha=0.6)
            axes.plot(column[whole], values[whole], "o", color=BLUE, ms=4, alpha=0.7, mew=0)
            axes.plot(numbers_of([best], name), worth([best]), "o", color=ORANGE, ms=6.5)
            plain_numbers(axes)
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
