"""`treadle models` lists versions and champions: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.champion.history import ModelsResult, Version
    from treadle.flows.cli.runtime.screen import Screen

EXAMPLES = example_lines(
    "treadle models",
    "treadle models --at '2026-10-12 09:00'",
    "treadle models --json | jq .champion",
)


def models_command(
    context: typer.Context,
    *,
    at: Annotated[
        str,
        typer.Option(
            metavar="MOMENT",
            help="Show the champion at this time (local time unless a zone is given).",
            show_default=False,
        ),
    ] = "",
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """List versions, verdicts and champions."""

    def action() -> ModelsResult:
        from treadle.flows.champion import history

        return history.run_models(*open_pipeline(pipeline), at)

    return carry_out(context.obj, "models", action, show_models, as_json=as_json, pipeline=pipeline)


def show_models(result: ModelsResult, screen: Screen) -> None:
    """Print versions, newest first, and the champion's history; or the champion at the moment of --at."""
    if result.at is not None:
        _show_champion_at(result, screen)
        return
    ranked = sorted(result.versions, key=lambda one: one.version, reverse=True)
    screen.table(
        ("", "version", "verdict", "value", "against", "data", "run", "made"),
        [
            (
                "champion" if one.champion else "gone" if one.cleared_at else "",
                one.version,
                f"{one.decision}{', declined' if one.declined else ', passed over' if one.passed_over else ''}",
                *_judged_by(one),
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
    if result.out_of_service:
        screen.line(("warning: ", "yellow"), result.out_of_service)
    if result.alias:
        screen.line(("warning: ", "yellow"), result.alias)
    if not result.versions:
        screen.line(f"{result.pipeline} has no versions yet")
        screen.next("the first one", "train")
    elif result.waiting is not None:
        screen.line((f"version {result.waiting} waits: ", "bold yellow"), "a person promotes or declines it")
        screen.next("make it the champion", "promote", str(result.waiting), "--reason", "'...'")
    elif result.champion is None:
        newest = str(ranked[0].version)
        screen.next("nothing is promoted; a better model, or a person's word", "promote", newest, "--reason", "'...'")
    elif not result.out_of_service:
        screen.next("predictions by the champion", "score")


def _judged_by(version: Version) -> tuple[str | None, str | None]:
    """The value with its metric, and the other's value with the gain: "roc_auc 0.7249", "0.5000, gain +0.2249"."""
    from treadle.tasks.gate.words import figure, pair
    from treadle.tasks.metrics import gain

    if version.value is None:
        return None, None
    if version.champion_value is None:
        return f"{version.metric} {figure(version.value)}", None
    better = gain(version.metric, version.value, version.champion_value)
    ours, theirs, between = pair(version.value, version.champion_value, better)
    return f"{version.metric} {ours}", f"{theirs}, gain {between}" if better else theirs


def _show_champion_at(result: ModelsResult, screen: Screen) -> None:
    moment = f"{result.at:%Y-%m-%d %H:%M %Z}"
    if result.then is None:
        screen.line(f"at {moment} {result.pipeline} had no champion")
    else:
        since = f"{result.then.at.astimezone():%Y-%m-%d %H:%M}"
        screen.line(
            f"at {moment} ",
            (f"version {result.then.to}", "bold green"),
            f" was the champion of {result.pipeline} (since {since}: {result.then.verdict}, {result.then.reason})",
        )
    screen.next("all versions, and the champion now", "models")
