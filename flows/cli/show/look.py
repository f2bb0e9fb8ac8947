"""What is known of models: `models`, `promote`, `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.cli.screen import Screen, judged

if TYPE_CHECKING:
    from flows.models import ModelsResult
    from flows.promote import PromoteResult
    from flows.report import ReportResult


def models(result: ModelsResult, screen: Screen) -> None:
    """Versions, newest first, and the champion's history."""
    ranked = sorted(result.versions, key=lambda one: one.version, reverse=True)
    screen.table(
        ("", "version", "verdict", "metric", "value", "against", "data", "run", "made"),
        [
            (
                "champion" if one.champion else "",
                one.version,
                one.decision,
                one.metric,
                one.value,
                one.champion_value,
                one.data_version,
                one.run_id[:8],
                f"{one.created_at:%Y-%m-%d %H:%M}",
            )
            for one in ranked
        ],
        title=f"Versions of {result.pipeline}",
    )
    screen.table(
        ("when", "from", "to", "verdict", "who", "reason"),
        [
            (f"{one.at:%Y-%m-%d %H:%M}", one.from_version, one.to, one.verdict, one.who, one.reason)
            for one in result.history
        ],
        title="Champions",
    )
    if result.alias:
        screen.line(("warning: ", "yellow"), result.alias)
    if not result.versions:
        screen.line(f"{result.pipeline} has no versions yet")
        screen.next("the first one", "train")
    elif result.champion is None:
        screen.next("nothing is promoted; a better model, or a person's word", "promote", "V", "--reason", "'...'")
    else:
        screen.next("predictions by the champion", "score")


def promote(result: PromoteResult, screen: Screen) -> None:
    """The move and its entry in the ledger."""
    before = f"version {result.from_version}" if result.from_version is not None else "nobody"
    screen.line(
        (f"version {result.to}", "bold green"),
        f" is the champion of {result.pipeline} (before: {before}; move {result.seq} by {result.who}: {result.reason})",
    )
    screen.next("its own predictions for batches that an earlier champion scored", "score", "--rescore")


def report(result: ReportResult, screen: Screen) -> None:
    """Where the report lies, and what it says at its top."""
    screen.line(judged(result.decision), "  ", (result.headline, "bold"))
    opened = " (opened in the browser)" if result.opened else ""
    screen.facts(
        (
            ("version", str(result.version)),
            ("made", f"{result.created_at:%Y-%m-%d %H:%M}"),
            ("MLflow run", result.run_id),
            ("report", f"{result.path}{opened}"),
        )
    )
    screen.next("all versions and verdicts", "models")
