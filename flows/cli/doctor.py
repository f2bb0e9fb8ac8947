"""The machine: `up`, `down`, `alerts`, `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, plural

if TYPE_CHECKING:
    from treadle.flows.project.doctor import DoctorResult
    from treadle.flows.service.alerts.delivery import AlertsResult
    from treadle.flows.service.down import DownResult
    from treadle.flows.service.up import UpResult


def doctor(result: DoctorResult, screen: Screen) -> None:
    """Every check with what was found, then the remedies."""
    screen.table(("check", "", "found"), [(check.name, check.status, check.found) for check in result.checks])
    ill = [check for check in result.checks if check.remedy]
    for check in ill:
        style = "bold red" if check.status == "broken" else "bold yellow"
        screen.line((f"{check.name}: ", style), check.remedy)
    broken = sum(check.status == "broken" for check in result.checks)
    if broken:
        screen.next(f"mend {plural(broken, 'check')} as said above, then", "doctor")
    elif any(check.name == "project" and check.status != "ok" for check in result.checks):
        screen.next("the whole job on real data", "demo")
    else:
        screen.next("how everything stands", "status")


def up(result: UpResult, screen: Screen) -> None:
    """What is up and where; of an `up` that was told to end, that it has."""
    if not result.already and not result.detached:
        screen.next("Prefect's server stays for other commands; to end it too", "down")
        return
    screen.line("already up; deployments brought up to date" if result.already else "up")
    screen.facts((("Prefect", result.prefect), ("MLflow", result.mlflow)))
    for change in result.changes:
        screen.line("  ", change)
    screen.next("how it goes, and what needs you", "status")


def alerts(result: AlertsResult, screen: Screen) -> None:
    """Everybody who is told, and what became of it."""
    if not result.deliveries:
        screen.line("nobody is told: no file in pipelines/ has a section [alerts] that names somebody")
    for one in result.deliveries:
        said = (
            "test sent" if result.test else f"{plural(one.notified, 'thing')} told" if one.notified else "nothing new"
        )
        where = f" ({one.receiver.address})" if one.receiver.address else ""
        what = (one.trouble, "bold red") if one.trouble else (said, "green")
        screen.line((one.receiver.name, "bold"), f"{where}, of {', '.join(one.receiver.pipelines)}: ", what)
    screen.next("how everything stands, and what needs you", "status")


def down(result: DownResult, screen: Screen) -> None:
    """Whose servers were ended."""
    for home in result.no_longer_up:
        screen.line("ended what treadle up kept alive in ", (home, "bold"))
    for home in result.ended:
        screen.line("ended the Prefect server of ", (home, "bold"))
    if not result.ended and not result.no_longer_up:
        screen.line("no Prefect server of this home was at work")
    screen.next("a command that needs a server starts it by itself; to bring all up again", "up")
