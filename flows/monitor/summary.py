"""A result of `treadle monitor` as a page, as metrics and as a few lines for Prefect's UI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from treadle.tasks import health
from treadle.tasks.performance import counted_once
from treadle.tasks.report import monitor
from treadle.tasks.report.words import metric_name, number, percent
from treadle.tasks.retrain import Reason

if TYPE_CHECKING:
    from treadle.flows.monitor.result import MonitorResult
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.coverage import IntervalCoverage
    from treadle.tasks.health import Freshness
    from treadle.tasks.performance import VersionOutcome

NOTHING = "no rule of [retrain] calls for another model"
TOO_FEW = ": too few (below 87%, and surely below 90%), so they promise too much; train on newer rows"
NOT_IN_NAMES = re.compile(r"[^\w\-. ]", re.ASCII)
"""Characters that MLflow refuses in a metric's name."""


def headline(result: MonitorResult) -> str:
    """Whether to train again, in one sentence."""
    return next((one.sentence for one in result.findings if one.due), NOTHING)


def proposal(result: MonitorResult) -> str:
    """What `mature_after` could be, in one sentence; empty where nothing is proposed."""
    if result.proposed_mature_after is None:
        return ""
    return (
        f'set mature_after = "{result.proposed_mature_after}" in [labels]: 99% of the late labels '
        "come so soon after their row, and younger rows would neither train nor judge"
    )


def interval_notes(result: MonitorResult) -> tuple[str, ...]:
    """A sentence for each version on how many labels its delivered intervals hold, and for the champion's last window.

    Those of versions whose predictions have no interval are left out.
    """
    notes = []
    for version in result.versions:
        found = version.total.intervals
        if found is None:
            continue
        text = found.sentence(f"{found.rows:,} observed")
        notes.append(f"version {version.version}: {text}{TOO_FEW if found.fails else ''}")
        newest = next((one for one in reversed(version.windows) if one.realised.intervals), None)
        last = newest.realised.intervals if newest else None
        if version.champion and newest and last and last.fails and not found.fails:
            text = last.sentence(f"{last.rows:,} observed")
            notes.append(f"version {version.version} from {newest.first} to {newest.last}: {text}{TOO_FEW}")
    return tuple(notes)


def next_command(result: MonitorResult) -> tuple[str, ...]:
    """The words of the recommended command after `treadle`."""
    return ("train", "--if-due") if result.due else ("score",)


def page(config: PipelineConfig, result: MonitorResult) -> str:
    """The HTML page."""
    due = [finding for finding in result.findings if finding.due]
    reason = Reason(
        causes=tuple(finding.cause for finding in due), sentences=tuple(finding.sentence for finding in due)
    )
    return monitor.render_monitor(
        monitor.MonitorStory(
            pipeline=config.name,
            target=config.data.target,
            task=config.data.task,
            metric=result.metric,
            champion=result.champion,
            expected=result.expected,
            reason=reason if due else None,
            findings=result.findings,
            versions=result.versions,
            reference=result.reference,
            batches=result.batches,
            facts={"data version": result.data_version, **freshness_facts(result.freshness)},
            headline=headline(result),
            next_command=" ".join(["treadle", *next_command(result), "-p", config.name]),
            window_days=config.monitor.window_days,
            notes=interval_notes(result),
        )
    )


def freshness_facts(fresh: Freshness) -> dict[str, str]:
    """The age of data and champion for the report, in order; unknown moments are left out."""
    facts = {
        "newest row": fresh.newest_row,
        "newest batch": f"{fresh.newest_batch:%Y-%m-%d %H:%M} UTC" if fresh.newest_batch else "",
        "newest label": f"{fresh.newest_label:%Y-%m-%d %H:%M} UTC" if fresh.newest_label else "",
        "champion trained": f"{fresh.champion_made:%Y-%m-%d %H:%M} UTC",
        "champion since": f"{fresh.champion_since:%Y-%m-%d %H:%M} UTC",
        "learned until": fresh.trained_until,
        "newer than that": f"{fresh.days_unseen:,.1f} days of data" if fresh.days_unseen is not None else "",
    }
    return {name: value for name, value in facts.items() if value}


def interval_metrics(found: IntervalCoverage | None) -> dict[str, float | None]:
    """How many values the champion's intervals held, with the ends of the 95% interval, and their mean width."""
    if found is None:
        return {}
    coverage = {"": found.share, "_lower": found.lower, "_upper": found.upper}
    named = {f"realised_interval_coverage{end}": value for end, value in coverage.items()}
    return {**named, "realised_interval_width": found.width}


def metrics(result: MonitorResult) -> dict[str, float]:
    """Single values for MLflow; they do not depend on the current time, so that the same state logs the same values."""
    values: dict[str, float | None] = {}
    champion = champion_of(result)
    if champion is not None:
        total = champion.total
        values |= {f"realised_{name}": value for name, value in total.scores.items()}
        values |= {f"realised_{result.metric}_lower": total.metric.lower}
        values |= {f"realised_{result.metric}_upper": total.metric.upper}
        values |= {"predictions": float(total.rows), "labels": float(total.labelled), "coverage": total.coverage}
        values |= interval_metrics(total.intervals)
    if result.rise is not None:
        values |= {"loss_since_promotion": result.rise.loss, "evidence_of_a_rise": result.rise.evidence}
    for change in health.changes(result.reference, result.batches):
        # no slash: MLflow would make a group of charts of the part before it, and show it first
        values[NOT_IN_NAMES.sub("_", f"share_{change.what} {change.column}")] = change.newest
    return {name: value for name, value in values.items() if value is not None}


def curves(result: MonitorResult) -> dict[str, list[float]]:
    """The champion's performance over time for MLflow, a step for each window that has a value."""
    champion = champion_of(result)
    if champion is None:
        return {}
    scored = [window.realised.metric.value for window in champion.windows if window.realised.metric.value is not None]
    covered = [window.realised.coverage for window in champion.windows]
    inside = [found.share for window in champion.windows if (found := window.realised.intervals) is not None]
    courses = {f"window_{result.metric}": scored, "window_coverage": covered}
    return {**courses, "window_interval_coverage": inside} if inside else courses


def champion_of(result: MonitorResult) -> VersionOutcome | None:
    """The champion's outcomes; None while it has made no predictions."""
    return next((one for one in result.versions if one.champion), None)


def summary(result: MonitorResult) -> str:
    """The result as Markdown."""
    head = "Retraining is due" if result.due else "Nothing is due"
    rows = [
        f"| {one.version} | {one.total.rows:,} | {percent(one.total.coverage)} | {number(one.total.metric.value)} |"
        for one in result.versions
    ]
    table = [f"| version | rows | coverage | {metric_name(result.metric)} |", "|---|---|---|---|", *rows]
    sentences = [
        f"- {sentence}"
        for sentence in (
            *(one.sentence for one in result.findings),
            *map(counted_once, result.versions),
            *interval_notes(result),
            proposal(result),
        )
        if sentence
    ]
    return "\n".join([f"## {head}", "", *sentences, "", *(table if rows else [])])
