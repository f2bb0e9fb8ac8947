"""`treadle up` runs the project: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.service.up import UpResult

EXAMPLES = example_lines(
    "treadle up",
    "treadle up --detach",
)


def up_command(
    context: typer.Context,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up, and leave it at work.")] = False,
    as_json: Json = False,
) -> int:
    """Run the project: servers, a worker, its schedules.

    Files that arrive are taken in and scored; what is killed is started again. Where it is up already, the
    deployments are brought up to date.
    """

    def action() -> UpResult:
        from treadle.flows.service import up
        from treadle.infra.settings import find_home

        return up.run_up(find_home(), detach=detach)

    return carry_out(context.obj, "up", action, show_up, as_json=as_json, bar=False, dated=True)


def show_up(result: UpResult, screen: Screen) -> None:
    """Print what is up and where; after an `up` that ended, only the next command."""
    if not result.already and not result.detached:
        screen.next("Prefect's server stays for other commands; to end it too", "down")
        return
    screen.line("already up" if result.already else "up", "; deployments updated" if result.changes else "")
    screen.facts((("Prefect", result.prefect), ("MLflow", result.mlflow)))
    for change in result.changes:
        screen.line("  ", change)
    for pipeline, why in result.refused.items():
        screen.line(("\nnot deployed: ", "bold red"), (pipeline, "bold"), f": {why}")
        screen.next("all that is wrong with it", "check", "-p", pipeline)
    if not result.refused:
        screen.next("the runs, and what needs you", "status")
