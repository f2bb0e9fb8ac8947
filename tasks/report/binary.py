"""Two classes: ROC, precision and recall, confusion at the threshold; and calibration of any probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.report.drawing import BLUE, GRID, HALO, INK, MUTED, ORANGE, Plot, draw, thin, wilson
from treadle.tasks.report.words import label, number, percent, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.report.story import Story

BINS = 12


def binary_figures(story: Story) -> list[Plot]:
    """The pictures of a binary model; ROC and precision need both classes among the rows."""
    y = story.y > 0.5
    plots = [roc(story), precision_recall(story)] if 0 < y.sum() < len(y) else []
    if story.threshold is not None and len(y):
        plots.append(confusion_figure(story))
    if len(y):
        what = f"probability of {shorten(positive(story), 16)}"
        plots.append(calibration(y, story.p, "calibration", what, story.weight))
    return plots


def positive(story: Story) -> str:
    """The positive class as people write it, e.g. 'yes'."""
    return label(story.classes[1])


def counts(y: np.ndarray, p: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut-offs from the highest score down, and the (weight of) true and false positives of each; ties are one."""
    import numpy as np

    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(p) - 1)
    if weight is not None:
        true, false = (np.cumsum(weight[order] * of)[ends] for of in (y[order], ~y[order]))
        return ranked[ends], true, false
    true = np.cumsum(y[order])[ends]
    return ranked[ends], true, ends + 1 - true


def roc(story: Story) -> Plot:
    """True positives against false positives over all thresholds."""
    import numpy as np

    y = story.y > 0.5
    cuts, true, false = counts(y, story.p, story.weight)
    tpr, fpr = np.append(0, true / true[-1]), np.append(0, false / false[-1])
    area = float(np.trapezoid(tpr, fpr))

    def paint(figure: Figure) -> None:
        axes = square(figure, "false alarms: share of the others flagged", f"share of {name} found")
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.text(0.56, 0.5, "guessing", color=MUTED, va="top", gid=HALO)
        axes.plot(*thin(fpr, tpr), color=BLUE)
        axes.fill_between(*thin(fpr, tpr), color=BLUE, alpha=0.08, lw=0)
        axes.text(0.97, 0.06, f"AUC {area:.3f}", color=BLUE, ha="right", fontweight="bold", fontsize=12)
        if story.threshold is not None:
            at = int((cuts >= story.threshold).sum())
            mark(axes, float(fpr[at]), float(tpr[at]), f"threshold {number(story.threshold, 2)}")

    name = shorten(positive(story), 16)
    caption = (
        f"The further the line bows to the upper left, the better: a random {name} row gets a higher score "
        f"than a random other row in {percent(area)} of pairs (50% would be guessing)."
    )
    return Plot("roc", "ROC curve", caption, draw("roc", paint, height=300))


def precision_recall(story: Story) -> Plot:
    """Precision against recall over all thresholds."""
    y = story.y > 0.5
    cuts, true, false = counts(y, story.p, story.weight)
    recall, precision = true / true[-1], true / (true + false)
    base = float(true[-1] / (true[-1] + false[-1]))
    at = max(0, int((cuts >= (story.threshold if story.threshold is not None else 2)).sum()) - 1)

    def paint(figure: Figure) -> None:
        axes = square(figure, f"recall: share of {name} found", "precision: share of flagged rows that are right")
        axes.axhline(base, color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.text(0.02, base + 0.015, f"flagging every row: {percent(base)}", color=MUTED, va="bottom", gid=HALO)
        axes.plot(*thin(recall, precision), color=BLUE)
        if story.threshold is not None:
            mark(axes, float(recall[at]), float(precision[at]), f"threshold {number(story.threshold, 2)}")

    name = shorten(positive(story), 16)
    caption = "The higher the line stays while it goes right, the more it finds with few false alarms"
    if story.threshold is not None:
        caption += (
            f": at the threshold it finds {percent(float(recall[at]))} of the {name} rows, "
            f"and {percent(float(precision[at]))} of what it flags is right"
        )
    return Plot("precision_recall", "Precision and recall", caption + ".", draw("precision_recall", paint, height=300))


def confusion_figure(story: Story) -> Plot:
    """Predicted classes against true classes, at the threshold."""
    import numpy as np

    y, called = story.y > 0.5, story.p >= (story.threshold or 0.0)
    table = np.array([[(~y & ~called).sum(), (~y & called).sum()], [(y & ~called).sum(), (y & called).sum()]])
    right = float(np.trace(table) / table.sum())
    labels = [shorten(label(one), 14) for one in story.classes]
    caption = (
        f"Read each line from truth to prediction: {percent(right)} of {len(y):,} rows are called right; "
        f"the model misses {table[1, 0]:,} {labels[1]} rows and raises {table[0, 1]:,} false alarms."
    )
    title = f"Confusion at threshold {number(story.threshold, 2)}"
    return Plot(
        "confusion",
        title,
        caption,
        draw("confusion", lambda figure: count_matrix(figure, table, labels), height=230),
    )


def count_matrix(figure: Figure, table: np.ndarray, labels: list[str], *, rest: bool = False) -> None:
    """A table of counts [k, k], truth by prediction, each cell as dark as its share of its line.

    `rest`: the last label stands for several classes, which are neither right nor wrong together.
    """
    import numpy as np

    axes, size = figure.subplots(), len(labels)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    for row in range(size):
        for column in range(size):
            share = float(shares[row, column])
            if table[row, column] == 0 and size > 6:
                continue
            grey = rest and size - 1 in (row, column)
            colour = MUTED if grey else BLUE if row == column else ORANGE
            axes.fill_between(
                [column + 0.03, column + 0.97],
                row + 0.03,
                row + 0.97,
                color=colour,
                alpha=0.08 + 0.5 * share,
                lw=0,
            )
            text = f"{table[row, column]:,}\n{percent(share)}" if size <= 4 else percent(share).rstrip("%")
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=11 if size <= 4 else 7.5,
                linespacing=1.4,
            )
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel="predicted", ylabel="true")
    rotation = 0 if size <= 3 else 90
    axes.set_xticks(np.arange(size) + 0.5, labels, rotation=rotation)
    axes.set_yticks(np.arange(size) + 0.5, labels)
    bare(axes)


def bare(axes: Axes) -> None:
    """Take away grid, spines and tick marks where they say nothing."""
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def square(figure: Figure, xlabel: str, ylabel: str) -> Axes:
    """Axes from 0 to 1 both ways."""
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel=xlabel, ylabel=ylabel)
    axes.set_aspect("equal", anchor="C")
    return axes


def mark(axes: Axes, x: float, y: float, text: str) -> None:
    """A dot on a curve, named beside it on the side where there is room."""
    axes.plot([x], [y], "o", color=ORANGE, ms=6, clip_on=False, zorder=5)
    left = x > 0.6
    axes.annotate(
        text,
        (x, y),
        xytext=(-9 if left else 9, -4 if y > 0.1 else 8),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top" if y > 0.1 else "bottom",
        color=ORANGE,
        fontweight="bold",
        gid=HALO,
    )


def bins(p: np.ndarray, most: int = BINS) -> np.ndarray:
    """The bin [n] of each score, from 0; bins hold about equally many rows, 25 or more; equal scores share one."""
    import numpy as np

    count = min(most, max(3, len(p) // 25))
    edges = np.unique(np.quantile(p, np.linspace(0, 1, count + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)[1]


def calibration(hit: np.ndarray, p: np.ndarray, name: str, what: str, weight: np.ndarray | None = None) -> Plot:
    """Predicted probability against observed frequency, with 95% intervals; below it, rows by probability.

    With `weight` [n] both are weighted, and an interval is that of the rows of equal weight that say as much.
    """
    import numpy as np

    which = bins(p)
    rows = np.bincount(which)
    predicted, observed = np.bincount(which, p) / rows, np.bincount(which, hit) / rows
    if weight is not None:
        whole = np.bincount(which, weight)
        predicted, observed = (np.bincount(which, weight * of) / whole for of in (p, hit))
        rows = np.maximum(whole**2 / np.bincount(which, weight**2), 1)
    lower, upper = wilson(observed * rows, rows)
    error = float(np.average(np.abs(predicted - observed), weights=rows if weight is None else whole))
    top = min(1.0, 1.08 * float(max(predicted.max(), upper.max())))

    def paint(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.plot([0, top], [0, top], color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.text(0.57 * top, 0.52 * top, "perfectly calibrated", color=MUTED, ha="left", va="top", gid=HALO)
        axes.vlines(predicted, lower, upper, color=BLUE, alpha=0.45, lw=3)
        axes.plot(predicted, observed, "o-", color=BLUE, lw=1, ms=5)
        axes.set(xlim=(0, top), ylim=(0, top), ylabel="observed frequency")
        heights, edges = np.histogram(p, bins=24, range=(0, top))
        below.bar(edges[:-1], heights, width=0.86 * top / 24, align="edge", color=BLUE, alpha=0.55, lw=0)
        below.set(xlabel=what, ylabel="rows")
        below.set_yticks([int(heights.max())], [f"{heights.max():,}"])
        below.grid(visible=False)
        below.spines["left"].set_color(GRID)
        for spine in below.spines.values():
            spine.set_edgecolor(INK if spine.spine_type == "bottom" else GRID)

    caption = (
        "Dots on the broken line are perfectly calibrated: of the rows that are given 30%, 30% come true; here they "
        f"are off by {number(100 * error, 2)} percentage points on average (bars: 95% intervals, below: rows)."
    )
    return Plot(name, "Calibration", caption, draw(name, paint, height=300))
