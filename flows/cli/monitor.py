"""`treadle monitor` measures the champion: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.formatting import coloured_word
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.monitor import MonitorResult
    from treadle.tasks.performance import Realised

NEWEST_SHOWN = 8
CHANGES_SHOWN = 5

EXAMPLES = example_lines(
    "treadle monitor",
    "treadle monitor --json | jq .due,.reason",
)


def monitor_command(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """See how the champion does, and whether to train again.

    What waits is ingested, predictions are compared with the labels that have come, and new batches with the rows
    that the champion learned from.
    """

    def action() -> MonitorResult:
        from treadle.flows import monitor

        return monitor.run_monitor(*open_pipeline(pipeline))

    return carry_out(context.obj, "monitor", action, show_monitor, as_json=as_json, pipeline=pipeline, alerts=True)


def show_monitor(result: MonitorResult, screen: Screen) -> None:
    """Print realised performance, the largest changes in the data, its age, and whether to train again."""
    from treadle.flows.monitor import summary
    from treadle.tasks import health
    from treadle.tasks.performance import counted_once
    from treadle.tasks.report.words import number, percent

    _show_ingested(result, screen)
    for version in result.versions:
        who = f"version {version.version}{', the champion' if version.champion else ''}"
        columns = ("rows", "labels", "coverage", result.metric, "95% interval")
        lines = [(one.label, *_outcome(one.realised)) for one in version.batches[-NEWEST_SHOWN:]]
        screen.table(("batch", *columns), [*lines, ("all", *_outcome(version.total))], title=f"What {who} predicted")
        if version.champion:
            windows = [
                (f"{one.first} to {one.last}", *_outcome(one.realised)) for one in version.windows[-NEWEST_SHOWN:]
            ]
            screen.table(("window", *columns), windows)
        if once := counted_once(version):
            screen.line(once)
    if not result.versions:
        screen.line("nothing was predicted yet")
    changes = [one for one in health.changes(result.reference, result.batches) if one.reference != one.newest]
    screen.table(
        ("column", "share", "newest batch", "learned from"),
        [(one.column, one.what, percent(one.newest, 1), percent(one.reference, 1)) for one in changes[:CHANGES_SHOWN]],
        title=f"What moved most, in {result.batches[-1].label}" if result.batches else "",
    )
    holdout = result.expected
    expected = f"{number(holdout.value)} ({number(holdout.lower)} to {number(holdout.upper)})" if holdout else ""
    screen.facts((*summary.freshness_facts(result.freshness).items(), (f"holdout {result.metric}", expected)))
    young = sum(one.total.young for one in result.versions)
    if young:
        screen.line(f"{young:,} predicted rows are younger than mature_after: their labels do not count yet")
    for note in summary.interval_notes(result):
        screen.line(note)
    if proposal := summary.proposal(result):
        screen.line(("proposed: ", "yellow"), proposal)
    for warning in result.warnings:
        screen.line(("warning: ", "yellow"), warning)
    word, style = ("retraining is due: ", "bold yellow") if result.due else ("nothing is due: ", "bold green")
    screen.line((word, style), (summary.headline(result), "bold"))
    for finding in result.findings:
        if not (finding.due and finding.sentence == summary.headline(result)):
            screen.line(("  ! " if finding.due else "  - ", style if finding.due else ""), finding.sentence)
    screen.facts((("page", result.page), ("MLflow run", result.run_id)))
    why = "a challenger, judged by the gate" if result.due else "predictions for rows without a label"
    screen.next(why, *summary.next_command(result))


def _show_ingested(result: MonitorResult, screen: Screen) -> None:
    for batch in result.ingest.batches if result.ingest else ():
        outcome = f": {batch.reason}" if batch.reason else f": {batch.accepted:,} of {batch.rows_in:,} accepted"
        screen.line(("ingested first  ", "dim"), (batch.label, "bold"), ": ", coloured_word(batch.status), outcome)


def _outcome(realised: Realised) -> tuple[str | int | float | None, ...]:
    from treadle.tasks.report.words import number, percent

    bounds = realised.metric
    interval = f"{number(bounds.lower)} to {number(bounds.upper)}" if bounds.lower is not None else None
    return realised.rows, realised.labelled, percent(realised.coverage), bounds.value, interval
