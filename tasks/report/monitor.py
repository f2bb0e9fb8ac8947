"""The page of `treadle monitor`: whether to train again, and small multiples of metrics over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks import health, metrics
from treadle.tasks.coverage import NOMINAL
from treadle.tasks.performance import counted_once
from treadle.tasks.report.drawing import BLUE, GREEN, HALO, MUTED, ORANGE, Plot, draw, spread_heights
from treadle.tasks.report.page import environment, pictures
from treadle.tasks.report.words import metric_name, number, percent, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from treadle.tasks.health import BatchShares, ColumnShares, ShareChange
    from treadle.tasks.performance import MetricBounds, VersionOutcome, WindowOutcome
    from treadle.tasks.retrain import Reason, RetrainFinding

WIDTH, HEIGHT, WIDE = 250, 150, 640
COLUMNS = 12
"""Of so many columns, those that changed most, the course is drawn."""

LINES = 40
EARLIER = (ORANGE, GREEN, MUTED)


@dataclass(frozen=True, slots=True)
class MonitorStory:
    """The page's content, as values.

    `versions` are those that scored, `expected` is the champion's holdout value with its interval (None where it is
    not known), `batches` the shares of the newest batches beside those of the champion's `reference`. `facts` are
    shown as they are, in order; `next_command` is what a person does now, `notes` are sentences below the findings.
    """

    pipeline: str
    target: str
    task: str
    metric: str
    champion: int
    expected: MetricBounds | None
    reason: Reason | None
    findings: Sequence[RetrainFinding]
    versions: Sequence[VersionOutcome]
    reference: Sequence[ColumnShares]
    batches: Sequence[BatchShares]
    facts: Mapping[str, str]
    headline: str
    next_command: str
    window_days: int
    notes: Sequence[str] = ()


def render_monitor(watch: MonitorStory) -> str:
    """The whole page, offline, without a script; the same values give the same bytes."""
    changes = health.changes(watch.reference, watch.batches)
    changed = [one for one in changes if one.reference or any(health.course(watch.batches, one.column, one.what))]
    judged = any(one.realised.metric.value is not None for one in _windows(watch))
    return (
        environment()
        .get_template("monitor.html")
        .render(
            watch=watch,
            tone="not-comparable" if watch.reason else "promote",
            first=pictures([timeline(watch)]) if judged else [],
            others=pictures(multiples(watch)) if _windows(watch) else [],
            columns=pictures([column(watch, one) for one in changed[:COLUMNS]]),
            changed=len(changed),
            unchanged=len(changes) - len(changed),
            most_lines=LINES,
            repeated=[once for one in watch.versions if (once := counted_once(one))],
        )
    )


def timeline(watch: MonitorStory) -> Plot:
    """The metric by window, with intervals, each version a colour, and the champion's holdout interval behind it."""
    name, expected = metric_name(watch.metric), watch.expected

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        if expected and expected.value is not None and expected.lower is not None and expected.upper is not None:
            axes.axhspan(expected.lower, expected.upper, color=BLUE, alpha=0.12, lw=0)
            axes.axhline(expected.value, color=BLUE, lw=1, ls=(0, (4, 3)))
            place = axes.get_yaxis_transform()
            axes.text(
                0.005, expected.value, "holdout", color=BLUE, va="bottom", fontsize=8.5, transform=place, gid=HALO
            )
        for version, colour in _coloured(watch):
            measured = [one for one in version.windows if one.realised.metric.value is not None]
            at = [_at(one) for one in measured]
            bounds = [one.realised.metric for one in measured]
            for x, one in zip(at, bounds, strict=True):
                if one.lower is not None and one.upper is not None:
                    axes.vlines([x], one.lower, one.upper, color=colour, alpha=0.4, lw=4)
            axes.plot(at, [one.value or 0.0 for one in bounds], "o-", color=colour, lw=1.4, ms=5)
        _calendar(axes, watch)
        axes.set_ylabel(name)
        _name_versions(axes, watch)

    better = "higher" if metrics.greater_is_better(watch.metric) else "lower"
    band = "; the band is the champion's 95% interval on its holdout" if expected and expected.lower is not None else ""
    caption = f"{name} of the predictions for each window's rows ({better} is better), bars: 95% intervals{band}."
    return Plot("realised", f"Realised {name}", caption, draw("realised", paint, height=200, width=WIDE))


def multiples(watch: MonitorStory) -> list[Plot]:
    """The other metrics, label coverage, and predicted beside actual means: small, on the same axis of time."""
    others = [one for one in metrics.METRICS[watch.task] if one != watch.metric]
    drawn = [_score(watch, one) for one in others if any(one in each.realised.scores for each in _windows(watch))]
    if watch.task != "multiclass" and any(one.total.actual is not None for one in watch.versions):
        drawn.insert(0, _means(watch))
    if any(one.realised.intervals for one in _windows(watch)):
        drawn.insert(0, _inside(watch))
    return [_coverage(watch), *drawn]


def column(watch: MonitorStory, change: ShareChange) -> Plot:
    """One share of one column, batch by batch, beside the reference."""
    course = health.course(watch.batches, change.column, change.what)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(change.reference, color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.plot(range(len(course)), course, "o-", color=BLUE, lw=1.4, ms=3.5, clip_on=False)
        top = max([*course, change.reference])
        axes.set(ylim=(0, 1.15 * top or 1.0), xlim=(-0.4, max(1, len(course) - 1) + 0.4))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}" if top < 0.01 else f"{value:.0%}")
        axes.yaxis.set_major_locator(_few(3))
        _batch_names(axes, [batch.label for batch in watch.batches])

    what = "has no value" if change.what == "missing" else "holds a category that the model does not know"
    caption = (
        f"{_share(change.newest)} of the newest batch {what}; {_share(change.reference)} of the rows that the model "
        "learned from (broken line)."
    )
    title = f"{shorten(change.column, 22)}: {change.what}"
    name = f"{change.what}-{change.column}"
    return Plot(name, title, caption, draw(name, paint, height=HEIGHT, width=WIDTH))


def _score(watch: MonitorStory, metric: str) -> Plot:
    """Another metric by window."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for version, colour in _coloured(watch):
            measured = [one for one in version.windows if metric in one.realised.scores]
            at = [_at(one) for one in measured]
            axes.plot(at, [one.realised.scores[metric] for one in measured], "o-", color=colour, lw=1.4, ms=3.5)
        _calendar(axes, watch)
        axes.yaxis.set_major_locator(_few(4))

    name = metric_name(metric)
    now = next((one.total.scores.get(metric) for one in watch.versions if one.champion), None)
    better = "Higher" if metrics.greater_is_better(metric) else "Lower"
    caption = f"{better} is better" + (f"; the champion's over all its labels: {number(now)}." if now else ".")
    return Plot(metric, name[:1].upper() + name[1:], caption, draw(metric, paint, height=HEIGHT, width=WIDTH))


def _coverage(watch: MonitorStory) -> Plot:
    """How many predicted rows of each window have a label by now."""
    rows: dict[date, list[int]] = {}
    for one in _windows(watch):
        both = rows.setdefault(one.first, [0, 0])
        both[0] += one.realised.rows
        both[1] += one.realised.labelled
    places = {one.first: (_at(one), (one.last - one.first).days + 1) for one in _windows(watch)}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        at, width = [places[first][0] for first in rows], [0.86 * places[first][1] for first in rows]
        axes.bar(at, [both[0] for both in rows.values()], width=width, color=BLUE, alpha=0.25, lw=0)
        axes.bar(at, [both[1] for both in rows.values()], width=width, color=BLUE, lw=0)
        _calendar(axes, watch)
        axes.yaxis.set_major_locator(_few(3))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    every, labelled = sum(both[0] for both in rows.values()), sum(both[1] for both in rows.values())
    caption = f"{labelled:,} of {every:,} predicted rows have a label by now ({percent(labelled / every)})"
    caption += "." if labelled == every else "; the pale part waits for its own."
    return Plot("coverage", "Predictions and labels", caption, draw("coverage", paint, height=HEIGHT, width=WIDTH))


def _inside(watch: MonitorStory) -> Plot:
    """The share of labels inside the delivered intervals by window, with 95% intervals."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(NOMINAL, color=MUTED, lw=1, ls=(0, (4, 3)))
        for version, colour in _coloured(watch):
            known = [(_at(one), found) for one in version.windows if (found := one.realised.intervals) is not None]
            for at, found in known:
                if found.lower is not None and found.upper is not None:
                    axes.vlines([at], found.lower, found.upper, color=colour, alpha=0.4, lw=3)
            axes.plot([at for at, _ in known], [one.share for _, one in known], "o-", color=colour, lw=1.4, ms=3.5)
        _calendar(axes, watch)
        axes.yaxis.set_major_locator(_few(4))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    caption = "Labels inside the 90% interval of their prediction (broken line: as promised; bars: 95% intervals)."
    return Plot("inside", "Interval coverage", caption, draw("inside", paint, height=HEIGHT, width=WIDTH))


def _means(watch: MonitorStory) -> Plot:
    """Mean prediction and mean label by window: whether the level is right."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for version, colour in _coloured(watch):
            labelled = [one for one in version.windows if one.realised.actual is not None]
            at = [_at(one) for one in labelled]
            axes.plot(at, [one.realised.predicted or 0.0 for one in labelled], "o-", color=colour, lw=1.4, ms=3.5)
            axes.plot(
                at, [one.realised.actual or 0.0 for one in labelled], "o--", color=colour, lw=1.2, ms=3.5, mfc="none"
            )
        _calendar(axes, watch)
        axes.yaxis.set_major_locator(_few(4))
        if watch.task == "binary":
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    what = "probability" if watch.task == "binary" else "prediction"
    caption = f"Mean {what} (line) and mean label (broken): where they differ, the level is off."
    return Plot("means", "Predicted and actual", caption, draw("means", paint, height=HEIGHT, width=WIDTH))


def _coloured(watch: MonitorStory) -> list[tuple[VersionOutcome, str]]:
    """Each version with its colour: the champion's is blue, the others' are the rest, newest first."""
    others = [one.version for one in reversed(watch.versions) if not one.champion]
    colours = {version: EARLIER[min(place, len(EARLIER) - 1)] for place, version in enumerate(others)}
    return [(one, BLUE if one.champion else colours[one.version]) for one in watch.versions]


def _name_versions(axes: Axes, watch: MonitorStory) -> None:
    """Name each version's line at its last point, where there are several."""
    ends = []
    for version, colour in _coloured(watch):
        measured = [one for one in version.windows if one.realised.metric.value is not None]
        if measured:
            ends.append(
                (_at(measured[-1]), float(measured[-1].realised.metric.value or 0), f"v{version.version}", colour)
            )
    low, high = axes.get_ylim()
    places = spread_heights([y for _, y, _, _ in ends], 0.1 * (high - low)) if len(watch.versions) > 1 else []
    for (at, _, text, colour), place in zip(ends, places, strict=False):
        axes.annotate(
            text,
            (at, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            gid=HALO,
        )


def _calendar(axes: Axes, watch: MonitorStory) -> None:
    """The same axis of time for all pictures, from the first window's first day to the last one's last."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    windows = _windows(watch)
    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.set_xlim(_day(min(one.first for one in windows)) - 1, _day(max(one.last for one in windows)) + 2)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _batch_names(axes: Axes, names: Sequence[str]) -> None:
    """The first batch and the last by name, less the files' endings: what lies between has no room."""
    stems = [name.rsplit(".", 1)[0] or name for name in names]
    if len(stems) == 1:
        axes.set_xticks([0], [shorten(stems[0], 30)])
        return
    axes.set_xticks([0, len(stems) - 1], [shorten(stems[0], 18), shorten(stems[-1], 18)])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _share(share: float) -> str:
    return percent(share, 1) if share else "none"


def _few(count: int) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count)


def _windows(watch: MonitorStory) -> list[WindowOutcome]:
    return [one for version in watch.versions for one in version.windows]


def _at(window: WindowOutcome) -> float:
    """The middle of a window on the axis of time."""
    return (_day(window.first) + _day(window.last)) / 2


def _day(day: date) -> float:
    """Days since 1970, as matplotlib counts them."""
    from matplotlib.dates import date2num

    return float(date2num(day))
