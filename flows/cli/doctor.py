"""`treadle doctor` checks the machine and the home: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.doctor import DoctorResult

EXAMPLES = example_lines(
    "treadle doctor",
    "treadle doctor --json",
)


def doctor_command(context: typer.Context, *, as_json: Json = False) -> int:
    """Check this machine and this home, and say how to mend them."""

    def action() -> DoctorResult:
        from treadle.flows.project import doctor
        from treadle.infra.settings import here

        return doctor.run_doctor(here())

    return carry_out(context.obj, "doctor", action, show_doctor, as_json=as_json)


def show_doctor(result: DoctorResult, screen: Screen) -> None:
    """Print every check with what was found, then the remedies."""
    screen.table(("check", "", "found"), [(check.name, check.status, check.found) for check in result.checks])
    failed = [check for check in result.checks if check.remedy]
    for check in failed:
        style = "bold red" if check.status == "broken" else "bold yellow"
        screen.line((f"{check.name}: ", style), check.remedy)
    broken = sum(check.status == "broken" for check in result.checks)
    if broken:
        screen.next(f"mend {plural(broken, 'check')} as said above, then", "doctor")
    elif any(check.name == "project" and check.status != "ok" for check in result.checks):
        screen.next("the whole job on real data", "demo")
    else:
        screen.next("how everything stands", "status")
