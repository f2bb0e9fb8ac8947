"""`treadle down` ends the project's processes: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.service.down import DownResult

EXAMPLES = example_lines(
    "treadle down",
)


def down_command(context: typer.Context, *, as_json: Json = False) -> int:
    """End what `treadle up` keeps alive, and this home's servers.

    Those of homes under its .treadle/ end too. The next command starts what it needs.
    """

    def action() -> DownResult:
        from treadle.flows.service import down
        from treadle.infra.settings import here

        return down.run_down(here())

    return carry_out(context.obj, "down", action, show_down, as_json=as_json)


def show_down(result: DownResult, screen: Screen) -> None:
    """Print the homes whose servers were ended."""
    for home in result.no_longer_up:
        screen.line("ended what treadle up kept alive in ", (home, "bold"))
    for home in result.ended:
        screen.line("ended the Prefect server of ", (home, "bold"))
    if not result.ended and not result.no_longer_up:
        screen.line("no Prefect server of this home was at work")
    screen.next("a command that needs a server starts it by itself; to bring all up again", "up")
