"""`treadle alerts` sends alerts to the receivers: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.service.alerts.delivery import AlertsResult

EXAMPLES = example_lines(
    "treadle alerts --test",
    "treadle alerts",
)


def alerts_command(
    context: typer.Context,
    *,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every receiver.")] = False,
    as_json: Json = False,
) -> int:
    """Tell those whom [alerts] names what needs a person.

    Only what they have not been notified of. `treadle up` does so by itself; let cron do it where nothing else is at
    work.
    """

    def action() -> AlertsResult:
        from treadle.flows.service.alerts import delivery
        from treadle.infra.settings import find_home

        return delivery.run_alerts(find_home(), test=test)

    return carry_out(context.obj, "alerts", action, show_alerts, as_json=as_json)


def show_alerts(result: AlertsResult, screen: Screen) -> None:
    """Print every receiver, and whether its message was sent."""
    if not result.deliveries:
        screen.line("no receivers: no file in pipelines/ has a section [alerts] that names one")
    for one in result.deliveries:
        news = f"notified of {plural(one.notified, 'thing')}" if one.notified else "nothing new"
        where = f" ({one.receiver.address})" if one.receiver.address else ""
        outcome = (one.trouble, "bold red") if one.trouble else ("test sent" if result.test else news, "green")
        screen.line((one.receiver.name, "bold"), f"{where}, of {', '.join(one.receiver.pipelines)}: ", outcome)
    screen.next("how everything stands, and what needs you", "status")
