"""A number to predict: predicted against actual, residuals, and how many values the intervals hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.coverage import NOMINAL, by_fifths
from treadle.tasks.report.binary import bins
from treadle.tasks.report.drawing import BLUE, MUTED, Plot, draw, plain_numbers, wilson
from treadle.tasks.report.words import number, percent, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.report.story import Story

DENSE = 1_500


def regression_figures(story: Story) -> list[Plot]:
    """The pictures of a regression model."""
    if not len(story.y):
        return []
    plots = [predicted_actual(story), residuals(story)]
    if story.lower is not None and story.upper is not None:
        plots.append(coverage(story, story.lower, story.upper))
    return plots


def predicted_actual(story: Story) -> Plot:
    """Every holdout row, or how densely they lie, around the line of right answers."""
    import numpy as np

    y, p = story.y.astype(float), story.p
    low, high = frame(np.concatenate([y, p]))
    inside = (y >= low) & (y <= high) & (p >= low) & (p <= high)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel=shorten(story.target))
        plain_numbers(axes)
        axes.plot([low, high], [low, high], color=MUTED, lw=1, ls=(0, (4, 3)))
        if len(y) <= DENSE:
            axes.plot(p[inside], y[inside], "o", color=BLUE, ms=3.5, alpha=0.4, mew=0)
        else:
            density(axes, p[inside], y[inside], (low, high))

    spread = float(np.sum((y - y.mean()) ** 2))
    half = float(np.median(np.abs(y - p)))
    explained = 1 - float(np.sum((y - p) ** 2)) / spread if spread > 0 else float("nan")
    caption = (
        f"On the broken line predictions are right; half of them are within {number(half, 3)} of the truth, "
        f"and they explain {percent(explained)} of its variance"
    )
    if not inside.all():
        caption += f" ({percent(1 - float(inside.mean()), 1)} of the rows lie outside the picture)"
    return Plot("predicted_actual", "Predicted and actual", caption + ".", draw("predicted_actual", paint, height=300))


def frame(values: np.ndarray) -> tuple[float, float]:
    """Limits that a few far values do not stretch: the range, or the middle 99% of a far wider one."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    inner, outer = (float(edge) for edge in np.quantile(values, [0.005, 0.995]))
    if high - low > 1.6 * (outer - inner) > 0:
        low, high = inner, outer
    pad = 0.03 * (high - low) or 0.5
    return low - pad, high + pad


def density(axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> None:
    """Hexagons as opaque as they are full, on a logarithmic scale so that sparse places still show."""
    import numpy as np
    from matplotlib.colors import to_rgba

    hexagons = axes.hexbin(x, y, gridsize=34, extent=(*limits, *limits), mincnt=1, linewidths=0)
    rows = np.asarray(hexagons.get_array(), dtype=float)
    colours = np.tile(to_rgba(BLUE), (len(rows), 1))
    # a dozen shades are enough for the eye, and equal ones compress
    colours[:, 3] = np.round(0.1 + 0.9 * np.log(rows) / max(np.log(rows.max()), 1e-9), 1)
    hexagons.set_array(None)
    hexagons.set_facecolor(colours)


def residuals(story: Story) -> Plot:
    """How errors lie around zero along the predictions: median, middle half and 90%."""
    import numpy as np

    error, which = story.y - story.p, bins(story.p, 20)
    groups = [np.flatnonzero(which == one) for one in range(which.max() + 1)]
    at = np.array([story.p[rows].mean() for rows in groups])
    bands = np.array([np.quantile(error[rows], [0.05, 0.25, 0.5, 0.75, 0.95]) for rows in groups])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(0, color=MUTED, lw=1, ls=(0, (4, 3)))
        if len(at) > 1:
            axes.fill_between(at, bands[:, 0], bands[:, 4], color=BLUE, alpha=0.15, lw=0)
            axes.fill_between(at, bands[:, 1], bands[:, 3], color=BLUE, alpha=0.25, lw=0)
        else:
            axes.vlines(at, bands[:, 0], bands[:, 4], color=BLUE, alpha=0.4, lw=4)
        axes.plot(at, bands[:, 2], "o-", color=BLUE, ms=3.5)
        axes.set(xlabel="predicted", ylabel="actual − predicted")
        plain_numbers(axes)

    widths = bands[:, 4] - bands[:, 0]
    caption = (
        "A median (line) along zero means no bias at any height; dark holds half of the rows, light 90%, "
        f"and it is {number(float(widths[0]), 3)} wide where predictions are lowest and "
        f"{number(float(widths[-1]), 3)} where they are highest."
    )
    return Plot("residuals", "Residuals", caption, draw("residuals", paint, height=300))


def coverage(story: Story, lower: np.ndarray, upper: np.ndarray) -> Plot:
    """The share of rows inside their interval, along the predictions."""
    import numpy as np

    inside, which = (story.y >= lower) & (story.y <= upper), bins(story.p, 10)
    rows = np.bincount(which)
    shares, at = np.bincount(which, inside) / rows, np.bincount(which, story.p) / rows
    low, high = wilson(shares * rows, rows)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(NOMINAL, color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.text(1, NOMINAL, "90% ", color=MUTED, ha="right", va="bottom", transform=axes.get_yaxis_transform())
        axes.vlines(at, low, high, color=BLUE, alpha=0.45, lw=3)
        axes.plot(at, shares, "o", color=BLUE, ms=5)
        axes.set(xlabel="predicted", ylabel="share inside", ylim=(max(0.0, float(low.min()) - 0.05), 1.01))
        plain_numbers(axes)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    widths = [float(np.mean((upper - lower)[rows])) for rows in by_fifths(story.p)]
    caption = (
        f"The 90% intervals hold {percent(float(inside.mean()), 1)} of the holdout's true values and are "
        f"{number(float(np.mean(upper - lower)), 3)} wide on average, {number(widths[0], 3)} in the lowest fifth of "
        f"predictions, {number(widths[-1], 3)} in the highest; dots below the line show where they promise too much."
    )
    return Plot("coverage", "Interval coverage", caption, draw("coverage", paint, height=250))
