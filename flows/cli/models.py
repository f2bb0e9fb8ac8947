"""What is known of models: `models`, `promote`, `rollback`, `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, judged

if TYPE_CHECKING:
    from treadle.flows.champion.history import ModelsResult
    from treadle.flows.champion.promote import PromoteResult
    from treadle.flows.champion.rollback import RollbackResult
    from treadle.flows.project.report import ReportResult


def models(result: ModelsResult, screen: Screen) -> None:
    """Versions, newest first, and the champion's history; or who was champion at the moment that was asked for."""
    if result.at is not None:
        _then(result, screen)
        return
    ranked = sorted(result.versions, key=lambda one: one.version, reverse=True)
    screen.table(
        ("", "version", "verdict", "metric", "value", "against", "data", "run", "made"),
        [
            (
                "champion" if one.champion else "gone" if one.cleared_at else "",
                one.version,
                f"{one.decision}{', declined' if one.declined else ', passed over' if one.passed_over else ''}",
                one.metric,
                one.value,
                one.champion_value,
                one.data_version,
                one.run_id[:8],
                f"{one.created_at.astimezone():%Y-%m-%d %H:%M}",
            )
            for one in ranked
        ],
        title=f"Versions of {result.pipeline}",
    )
    screen.table(
        ("when", "from", "to", "verdict", "who", "reason"),
        [
            (f"{one.at.astimezone():%Y-%m-%d %H:%M}", one.from_version, one.to, one.verdict, one.who, one.reason)
            for one in result.history
        ],
        title="Champions",
    )
    if result.alias:
        screen.line(("warning: ", "yellow"), result.alias)
    if not result.versions:
        screen.line(f"{result.pipeline} has no versions yet")
        screen.next("the first one", "train")
    elif result.waiting is not None:
        screen.line(
            (f"version {result.waiting} is better and waits: ", "bold yellow"), "a person confirms, or declines it"
        )
        screen.next("it takes the chair", "promote", str(result.waiting), "--reason", "'...'")
    elif result.champion is None:
        newest = str(ranked[0].version)
        screen.next("nothing is promoted; a better model, or a person's word", "promote", newest, "--reason", "'...'")
    else:
        screen.next("predictions by the champion", "score")


def _then(result: ModelsResult, screen: Screen) -> None:
    asked = f"{result.at:%Y-%m-%d %H:%M %Z}"
    if result.then is None:
        screen.line(f"at {asked} {result.pipeline} had no champion")
    else:
        since = f"{result.then.at.astimezone():%Y-%m-%d %H:%M}"
        screen.line(
            f"at {asked} ",
            (f"version {result.then.to}", "bold green"),
            f" was the champion of {result.pipeline} (since {since}: {result.then.verdict}, {result.then.reason})",
        )
    screen.next("all versions, and the champion now", "models")


def rollback(result: RollbackResult, screen: Screen) -> None:
    """The step, what was checked before it, and the one command that undoes it."""
    screen.line(
        (f"version {result.to}", "bold green"),
        f" is the champion of {result.pipeline} again (before: version {result.from_version}; move {result.seq} by "
        f"{result.who}: {result.reason})",
    )
    screen.line(f"checked first: every file, the certificate, {result.golden_rows} golden rows; {result.seconds:.1f} s")
    screen.line(("undo: ", "bold"), (result.undo, "bold cyan"))
    screen.next("its own predictions for batches that the other one scored", "score", "--rescore")


def promote(result: PromoteResult, screen: Screen) -> None:
    """The move and its entry in the ledger; or that there is none."""
    if result.declined:
        screen.line(f"version {result.to} of {result.pipeline} is declined (by {result.who}: {result.reason})")
        screen.next("another one", "train", "--again")
        return
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
