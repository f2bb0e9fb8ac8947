"""`treadle status` shows the state of the project: its arguments and its output."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.formatting import format_score, plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.status import PipelineStatus, StatusResult
    from treadle.flows.project.status.snapshot import ChampionStatus

EXAMPLES = example_lines(
    "treadle status",
    "treadle status --json | jq '.needs[].command'",
)


def status_command(context: typer.Context, *, as_json: Json = False) -> int:
    """See how everything stands, and what needs you.

    Servers, the newest and the next runs, champions, quarantine, what waits; at the end what a person must do, each
    with its command. Nothing is started or changed.
    """

    def action() -> StatusResult:
        from treadle.flows.project import status
        from treadle.infra.settings import find_home

        return status.run_status(find_home())

    return carry_out(context.obj, "status", action, show_status, as_json=as_json)


def show_status(result: StatusResult, screen: Screen) -> None:
    """Print servers, pipelines, their work, and at the end what needs a person."""
    screen.table(("server", "", "address"), [(one.name, one.state, one.address) for one in result.servers])
    for one in result.pipelines:
        _show_pipeline(one, screen)
    if not result.pipelines:
        screen.line(f"{result.home} has no pipeline yet")
        screen.next("one from your own table", "init", "DATA", "--target", "COLUMN")
        return
    if not result.needs:
        screen.line(("\nnothing needs you", "bold green"))
    for need in result.needs:
        whose = f"{need.pipeline}: " if need.pipeline else ""
        screen.line(("\n! ", "bold yellow"), (f"{whose}{need.what}", "bold"), f" ({need.page})" if need.page else "")
        screen.line("  ", (need.command, "bold cyan"))
    receivers = [f"{one.name} ({one.address or 'not set here'})" for one in result.alerts]
    screen.line(("\nalerts go to ", "dim"), ", ".join(receivers) or "nobody: no file in pipelines/ has [alerts]")
    if not result.up:
        screen.next("schedules, triggers and new files by themselves", "up")


def _show_pipeline(one: PipelineStatus, screen: Screen) -> None:
    from treadle.flows.project.status.prefect_messages import brief

    screen.line((f"\n{one.pipeline}", "bold"))
    if one.trouble:
        screen.line("  ", ("cannot be obeyed: ", "red"), one.trouble)
        return
    waits = [plural(len(one.files), "file")] if one.files else []
    waits += [f"{plural(one.unscored.rows, 'row')} without a prediction"] if one.unscored.rows else []
    kept = f"{plural(one.quarantine.batches, 'batch')}, {plural(one.quarantine.rows, 'row')}"
    screen.facts(
        (
            ("champion", _champion(one.champion) if one.champion else "none yet"),
            ("realised", _realised(one.champion, one.pipeline) if one.champion else ""),
            ("since promotion", one.champion.performance if one.champion and one.champion.realised else ""),
            ("retraining", f"due: {one.champion.due}" if one.champion and one.champion.due else ""),
            ("waits for you", f"version {one.waiting}" if one.waiting is not None else ""),
            ("waiting", ", ".join(waits)),
            ("quarantine", kept if one.quarantine.batches else ""),
        )
    )
    screen.table(
        ("work", "last", "", "", "next"),
        [
            (work.work, _moment(work.at), work.state.lower(), brief(work.message), _moment(work.next))
            for work in one.work
        ],
    )


def _champion(one: ChampionStatus) -> str:
    since = f"champion since {one.since.astimezone():%Y-%m-%d %H:%M}"
    value = format_score(one.value)
    return f"version {one.version}, {one.age_days:,.1f} days old, {since}; holdout {one.metric} {value}"


def _realised(one: ChampionStatus, pipeline: str) -> str:
    if one.monitored_at is None:
        return f"not known: nobody has looked at this champion yet (treadle monitor -p {pipeline})"
    looked = f"looked at {one.monitored_at.astimezone():%Y-%m-%d %H:%M}"
    if one.realised is None:
        why = "no labels have come"
        if one.labels_at is not None and one.labels_at > one.monitored_at:
            why = f"labels have come since it was looked at; look again: treadle monitor -p {pipeline}"
        elif one.labels_at is not None:
            why = "the labels that have come are of rows that it did not predict"
        return f"not known: {why} ({looked})"
    bounds = f"{format_score(one.realised.lower)} to {format_score(one.realised.upper)}"
    return f"{one.metric} {format_score(one.realised.value)} ({bounds}) on {plural(one.labels, 'label')}, {looked}"


def _moment(at: datetime | None) -> str | None:
    if at is None:
        return None
    local = at.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == datetime.now(UTC).astimezone().date() else f"{local:%Y-%m-%d %H:%M}"
