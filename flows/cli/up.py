"""The machine: `up`, `down`, `alerts`, `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import Page
from treadle.flows.cli.runtime.options import Json, examples
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.project.doctor import DoctorResult
    from treadle.flows.service.alerts.delivery import AlertsResult
    from treadle.flows.service.down import DownResult
    from treadle.flows.service.up import UpResult

GROUP = "This machine"

commands = typer.Typer()


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle doctor", "treadle doctor --json"))
def doctor(context: typer.Context, *, as_json: Json = False) -> int:
    """Check this machine and this home, and say how to mend them."""
    from treadle.flows.cli import show

    def verb() -> DoctorResult:
        from treadle.flows.project import doctor
        from treadle.infra.settings import here

        return doctor.run_doctor(here())

    return carry_out(context.obj, "doctor", verb, show.doctor, as_json=as_json)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle up", "treadle up --detach"))
def up(
    context: typer.Context,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up, and leave it at work.")] = False,
    as_json: Json = False,
) -> int:
    """Run the project: servers, a worker, its schedules.

    Files that arrive are taken in and scored; what is killed is started again. Where it is up already, the
    deployments are brought up to date.
    """
    from treadle.flows.cli import show

    def verb() -> UpResult:
        from treadle.flows.service import up
        from treadle.infra.settings import find_home

        return up.run_up(find_home(), detach=detach)

    return carry_out(context.obj, "up", verb, show.up, as_json=as_json, bar=False, dated=True)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle alerts --test", "treadle alerts"))
def alerts(
    context: typer.Context,
    *,
    test: Annotated[bool, typer.Option("--test", help="Send everybody a word, and nothing else.")] = False,
    as_json: Json = False,
) -> int:
    """Tell those whom [alerts] names what needs a person.

    Only what they have not been told. `treadle up` does so by itself; let cron do it where nothing else is at work.
    """
    from treadle.flows.cli import show

    def verb() -> AlertsResult:
        from treadle.flows.service.alerts import delivery
        from treadle.infra.settings import find_home

        return delivery.run_alerts(find_home(), test=test)

    return carry_out(context.obj, "alerts", verb, show.alerts, as_json=as_json)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle down"))
def down(context: typer.Context, *, as_json: Json = False) -> int:
    """End what `treadle up` keeps alive, and this home's servers.

    Those of homes under its .treadle/ end too. The next command starts what it needs.
    """
    from treadle.flows.cli import show

    def verb() -> DownResult:
        from treadle.flows.service import down
        from treadle.infra.settings import here

        return down.run_down(here())

    return carry_out(context.obj, "down", verb, show.down, as_json=as_json)
