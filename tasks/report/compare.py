"""Two versions side by side: one HTML file, readable offline, without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.gate.words import differences, pair
from treadle.tasks.metrics import greater_is_better
from treadle.tasks.report.binary import bins
from treadle.tasks.report.drawing import BLUE, HALO, MUTED, ORANGE, Plot, draw, plain_numbers, wilson
from treadle.tasks.report.page import SLICES, environment, number_line, pictures, reach
from treadle.tasks.report.words import label, metric_name, number, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from treadle.tasks.comparison import Beside

COLUMNS = 30
SETTINGS = 60
POINTS = 2_000
"""A scatter of more points than this takes every k-th of them."""


def render_comparison(pipeline: str, beside: Beside, facts: Sequence[tuple[str, str]], left_out: Sequence[str]) -> str:
    """The page; `facts` are names and values for the end, `left_out` says which rows do not judge and why."""
    slices = sorted(beside.slices, key=lambda one: (one.column, -one.rows, one.value))
    far = reach([(one.lower, one.upper) for one in slices])
    lines = []
    for one in beside.scores:
        ours, theirs, gain = (text.replace("-", "−") for text in pair(one.first, one.second, one.gain))
        lines.append(
            {
                "name": metric_name(one.metric),
                "direction": "higher is better" if greater_is_better(one.metric) else "lower is better",
                "chosen": one.metric == beside.problem.metric,
                "cells": (ours, theirs, gain, *differences(one.gain, one.lower, one.upper)[1:]),
                "line": number_line(one.gain, one.lower, one.upper, 1.15 * max(abs(one.lower), abs(one.upper), 1e-12)),
            }
        )
    return (
        environment()
        .get_template("compare.html")
        .render(
            pipeline=pipeline,
            beside=beside,
            said=comparison_sentence(beside),
            lines=lines,
            pictures=pictures(comparison_plots(beside)),
            columns=beside.columns[:COLUMNS],
            more_columns=max(0, len(beside.columns) - COLUMNS),
            settings=beside.settings[:SETTINGS],
            more_settings=max(0, len(beside.settings) - SETTINGS),
            slices=[
                (one, differences(one.gain, one.lower, one.upper), number_line(one.gain, one.lower, one.upper, far))
                for one in slices[:SLICES]
            ],
            more_slices=max(0, len(slices) - SLICES),
            facts=facts,
            left_out=left_out,
        )
    )


def comparison_sentence(beside: Beside) -> str:
    """Which version is better by the deciding metric, as far as the rows can tell."""
    found, rows = beside.scores[0], len(beside.judged.y)
    name = metric_name(found.metric)
    on = f"on {rows:,} rows that are new to both"
    if not found.lower <= found.upper:
        return f"{name} says nothing {on}"
    ours, theirs, _ = pair(found.first, found.second, found.gain)
    if found.lower > 0 or found.upper < 0:
        better, worse = (beside.first, beside.second) if found.gain > 0 else (beside.second, beside.first)
        return f"version {better} is better than version {worse}: {name} {ours} against {theirs} {on}"
    return f"no sure difference: {name} {ours} against {theirs} {on}"


def comparison_plots(beside: Beside) -> list[Plot]:
    """Calibration of both where there are probabilities, and the predictions of one against those of the other."""

    judged, classes = beside.judged, beside.problem.classes
    if beside.problem.task == "regression":
        return [_calibration_of_values(beside), _against(beside, judged.challenger, judged.champion, "prediction")]
    if beside.problem.task == "binary":
        what, hit = f"probability of {shorten(label(classes[1]), 16)}", judged.y > 0.5
        first, second = judged.challenger, judged.champion
    else:
        what = "probability of the likeliest class"
        first, second = judged.challenger.max(axis=1), judged.champion.max(axis=1)
        hits = (judged.challenger.argmax(axis=1) == judged.y, judged.champion.argmax(axis=1) == judged.y)
        return [_calibration(beside, (first, second), hits, what), _against(beside, first, second, what)]
    return [_calibration(beside, (first, second), (hit, hit), what), _against(beside, first, second, what)]


def _calibration(
    beside: Beside, p: tuple[np.ndarray, np.ndarray], hits: tuple[np.ndarray, np.ndarray], what: str
) -> Plot:
    """Predicted probability against observed frequency of both, with 95% intervals."""
    import numpy as np

    curves, errors = [], []
    for chance, hit in zip(p, hits, strict=True):
        which = bins(chance)
        rows = np.bincount(which)
        predicted, observed = np.bincount(which, chance) / rows, np.bincount(which, hit) / rows
        curves.append((predicted, observed, *wilson(observed * rows, rows)))
        errors.append(float(np.average(np.abs(predicted - observed), weights=rows)))
    top = min(1.0, 1.08 * max(float(max(one[0].max(), one[3].max())) for one in curves))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, top], [0, top], color=MUTED, lw=1, ls=(0, (4, 3)))
        for (predicted, observed, lower, upper), colour in zip(curves, (BLUE, ORANGE), strict=True):
            axes.vlines(predicted, lower, upper, color=colour, alpha=0.35, lw=3)
            axes.plot(predicted, observed, "o-", color=colour, lw=1, ms=4.5)
        axes.set(xlim=(0, top), ylim=(0, top), xlabel=what, ylabel="observed frequency")
        _legend(axes, beside)

    caption = (
        "Dots on the broken line are perfectly calibrated. On average the probabilities are off by "
        f"{number(100 * errors[0], 2)} percentage points in version {beside.first} and by {number(100 * errors[1], 2)} "
        f"in version {beside.second} (bars: 95% intervals)."
    )
    return Plot("calibration", "Calibration", caption, draw("calibration beside", paint, height=300))


def _calibration_of_values(beside: Beside) -> Plot:
    """Mean observed value by predicted value, of both."""
    import numpy as np

    judged, curves = beside.judged, []
    for value in (judged.challenger, judged.champion):
        which = bins(value)
        rows = np.bincount(which)
        curves.append((np.bincount(which, value) / rows, np.bincount(which, judged.y) / rows))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ends = [float(end) for curve in curves for part in curve for end in (part.min(), part.max())]
        axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=MUTED, lw=1, ls=(0, (4, 3)))
        for (predicted, observed), colour in zip(curves, (BLUE, ORANGE), strict=True):
            axes.plot(predicted, observed, "o-", color=colour, lw=1, ms=4.5)
        axes.set(xlabel="mean prediction", ylabel=f"mean {shorten(beside.problem.target, 20)}")
        plain_numbers(axes)
        _legend(axes, beside)

    caption = "Rows in bins of equal size by prediction: on the broken line the mean prediction came true."
    return Plot("calibration", "Calibration", caption, draw("calibration beside", paint, height=300))


def _against(beside: Beside, first: np.ndarray, second: np.ndarray, what: str) -> Plot:
    """The first version's predictions by the second's, one dot a row."""
    import numpy as np

    step = max(1, len(first) // POINTS)
    apart = np.abs(first - second)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        low, high = float(min(first.min(), second.min())), float(max(first.max(), second.max()))
        axes.plot([low, high], [low, high], color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.plot(second[::step], first[::step], "o", color=BLUE, ms=4 if len(first) < 500 else 2.5, alpha=0.4, mew=0)
        axes.set(xlabel=f"version {beside.second}: {what}", ylabel=f"version {beside.first}")
        plain_numbers(axes)

    caption = (
        f"Each dot is a row{f' (every {step}th is drawn)' if step > 1 else ''}; on the broken line both say the same. "
        f"Half of the rows differ by more than {number(float(np.median(apart)), 2)}, a tenth by more than "
        f"{number(float(np.quantile(apart, 0.9)), 2)}."
    )
    return Plot("against", "Prediction by prediction", caption, draw("against", paint, height=300))


def _legend(axes: Axes, beside: Beside) -> None:
    """Both versions named in their colours, at the upper left."""
    for place, (version, colour) in enumerate(((beside.first, BLUE), (beside.second, ORANGE))):
        axes.text(
            *(0.03, 0.95 - 0.08 * place, f"version {version}"),
            transform=axes.transAxes,
            color=colour,
            fontweight="bold",
            va="top",
            gid=HALO,
        )
