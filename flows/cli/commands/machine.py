"""The machine: `doctor`, `down`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from flows.cli.options import Json, examples
from flows.cli.pages import Page
from flows.cli.session import carry_out

if TYPE_CHECKING:
    from flows.doctor import DoctorResult
    from flows.down import DownResult

GROUP = "This machine"

commands = typer.Typer()


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle doctor", "treadle doctor --json"))
def doctor(context: typer.Context, *, as_json: Json = False) -> int:
    """Check this machine and this home, and say how to mend them."""
    from flows.cli import show

    def verb() -> DoctorResult:
        from flows import doctor
        from infra.settings import here

        return doctor.run(here())

    return carry_out(context.obj, "doctor", verb, show.doctor, as_json=as_json)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle down"))
def down(context: typer.Context, *, as_json: Json = False) -> int:
    """End the Prefect servers that this home started.

    Those of homes under its .treadle/ end too. The next command starts what it needs.
    """
    from flows.cli import show

    def verb() -> DownResult:
        from flows import down
        from infra.settings import here

        return down.run(here())

    return carry_out(context.obj, "down", verb, show.down, as_json=as_json)
