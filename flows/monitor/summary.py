"""A result of `treadle monitor` as a page, as metrics and as a few lines for Prefect's UI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from treadle.tasks import health
from treadle.tasks.report import monitor
from treadle.tasks.report.words import metric_name, number, percent
from treadle.tasks.retrain import Reason

if TYPE_CHECKING:
    from treadle.flows.monitor.result import MonitorResult
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.health import Freshness
    from treadle.tasks.performance import VersionOutcome

NOTHING = "no rule of [retrain] calls for another model"
UNNAMEABLE = re.compile(r"[^\w\-. ]", re.ASCII)
"""What MLflow takes in no metric's name."""


def headline(result: MonitorResult) -> str:
    """Whether to train again, in one sentence."""
    return next((one.sentence for one in result.findings if one.due), NOTHING)


def next_command(result: MonitorResult) -> tuple[str, ...]:
    """What a person does now, less `treadle`: a word each."""
    return ("train", "--if-due") if result.due else ("score",)


def page(config: PipelineConfig, result: MonitorResult) -> str:
    """The HTML page."""
    ringing = [one for one in result.findings if one.due]
    reason = Reason(causes=tuple(one.cause for one in ringing), sentences=tuple(one.sentence for one in ringing))
    return monitor.render_monitor(
        monitor.MonitorStory(
            pipeline=config.name,
            target=config.data.target,
            task=config.data.task,
            metric=result.metric,
            champion=result.champion,
            expected=result.expected,
            reason=reason if ringing else None,
            findings=result.findings,
            versions=result.versions,
            reference=result.reference,
            batches=result.batches,
            facts={"data version": result.data_version, **freshness_facts(result.freshness)},
            headline=headline(result),
            next_command=" ".join(["treadle", *next_command(result), "-p", config.name]),
            window_days=config.monitor.window_days,
        )
    )


def freshness_facts(fresh: Freshness) -> dict[str, str]:
    """How old everything is, in words and in order; what is not known is left out."""
    known = {
        "newest row": fresh.newest_row,
        "newest batch": f"{fresh.newest_batch:%Y-%m-%d %H:%M} UTC" if fresh.newest_batch else "",
        "newest label": f"{fresh.newest_label:%Y-%m-%d %H:%M} UTC" if fresh.newest_label else "",
        "champion trained": f"{fresh.champion_made:%Y-%m-%d %H:%M} UTC",
        "champion since": f"{fresh.champion_since:%Y-%m-%d %H:%M} UTC",
        "learned until": fresh.trained_until,
        "newer than that": f"{fresh.days_unseen:,.1f} days of data" if fresh.days_unseen is not None else "",
    }
    return {name: value for name, value in known.items() if value}


def metrics(result: MonitorResult) -> dict[str, float]:
    """Single values for MLflow; nothing in them depends on the hour, so that the same state logs the same."""
    values: dict[str, float | None] = {}
    champion = champion_of(result)
    if champion is not None:
        total = champion.total
        values |= {f"realised_{name}": value for name, value in total.scores.items()}
        values |= {f"realised_{result.metric}_lower": total.metric.lower}
        values |= {f"realised_{result.metric}_upper": total.metric.upper}
        values |= {"predictions": float(total.rows), "labels": float(total.labelled), "coverage": total.coverage}
    for change in health.changes(result.reference, result.batches):
        # no slash: of what stands before one MLflow makes a group of charts before all others
        values[UNNAMEABLE.sub("_", f"share_{change.what} {change.column}")] = change.newest
    return {name: value for name, value in values.items() if value is not None}


def curves(result: MonitorResult) -> dict[str, list[float]]:
    """The champion's course for MLflow, a step for each window that has a value."""
    champion = champion_of(result)
    if champion is None:
        return {}
    scored = [one.realised.metric.value for one in champion.windows if one.realised.metric.value is not None]
    covered = [one.realised.coverage for one in champion.windows]
    return {f"window_{result.metric}": scored, "window_coverage": covered}


def champion_of(result: MonitorResult) -> VersionOutcome | None:
    """What the champion's predictions were worth; None while it has made none."""
    return next((one for one in result.versions if one.champion), None)


def summary(result: MonitorResult) -> str:
    """The result as Markdown."""
    head = "Retraining is due" if result.due else "Nothing is due"
    rows = [
        f"| {one.version} | {one.total.rows:,} | {percent(one.total.coverage)} | {number(one.total.metric.value)} |"
        for one in result.versions
    ]
    table = [f"| version | predictions | coverage | {metric_name(result.metric)} |", "|---|---|---|---|", *rows]
    said = [f"- {one.sentence}" for one in result.findings]
    return "\n".join([f"## {head}", "", *said, "", *(table if rows else [])])
