"""How the champion does: `monitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, judged

if TYPE_CHECKING:
    from treadle.flows.monitor import MonitorResult
    from treadle.tasks.performance import Realised

NEWEST = 8
MOVED = 5

Line = tuple[str | int | float | None, ...]


def monitor(result: MonitorResult, screen: Screen) -> None:
    """Realised performance by batch and window, what moved in the data, how old all is, and whether to train again."""
    from treadle.flows.monitor import summary
    from treadle.tasks import health
    from treadle.tasks.report.words import number, percent

    _ingested(result, screen)
    for version in result.versions:
        who = f"version {version.version}{', the champion' if version.champion else ''}"
        columns = ("predictions", "labels", "coverage", result.metric, "95% interval")
        lines = [(one.label, *_outcome(one.realised)) for one in version.batches[-NEWEST:]]
        screen.table(("batch", *columns), [*lines, ("all", *_outcome(version.total))], title=f"What {who} predicted")
        if version.champion:
            windows = [(f"{one.first} to {one.last}", *_outcome(one.realised)) for one in version.windows[-NEWEST:]]
            screen.table(("window", *columns), windows)
    if not result.versions:
        screen.line("nothing was predicted yet")
    moved = [one for one in health.changes(result.reference, result.batches) if one.reference != one.newest][:MOVED]
    screen.table(
        ("column", "share", "newest batch", "learned from"),
        [(one.column, one.what, percent(one.newest, 1), percent(one.reference, 1)) for one in moved],
        title=f"What moved most, in {result.batches[-1].label}" if result.batches else "",
    )
    holdout = result.expected
    known = f"{number(holdout.value)} ({number(holdout.lower)} to {number(holdout.upper)})" if holdout else ""
    screen.facts((*summary.freshness_facts(result.freshness).items(), (f"holdout {result.metric}", known)))
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


def _ingested(result: MonitorResult, screen: Screen) -> None:
    for batch in result.ingest.batches if result.ingest else ():
        said = f": {batch.reason}" if batch.reason else f": {batch.accepted:,} of {batch.rows_in:,} accepted"
        screen.line(("ingested first  ", "dim"), (batch.label, "bold"), ": ", judged(batch.status), said)


def _outcome(realised: Realised) -> Line:
    from treadle.tasks.report.words import number, percent

    bounds = realised.metric
    interval = f"{number(bounds.lower)} to {number(bounds.upper)}" if bounds.lower is not None else None
    return realised.rows, realised.labelled, percent(realised.coverage), bounds.value, interval
