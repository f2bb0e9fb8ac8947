"""The servers and processes of a home, and its newest and next runs in Prefect; nothing is started."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.infra.orchestrator.runs import WorkRun
    from treadle.infra.settings import Settings


class Server(BaseModel):
    """A server or process; `address` is its URL for a browser.

    `state` is running, starting, stopped, unreachable, or locked: it requires a login that we do not have.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: str
    address: str


class LastWork(BaseModel):
    """One kind of work on one pipeline: its newest run, and the next that is scheduled.

    `state`, `since` when, and `message` are those of the newest run in Prefect, `page` shows it; empty, and the moments
    None, where there is no run. `error` is the kind of the error that ended it; empty where that is unknown.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    work: str
    state: str = ""
    since: datetime | None = None
    message: str = ""
    error: str = ""
    at: datetime | None = None
    page: str = ""
    next: datetime | None = None


def server_status(settings: Settings) -> tuple[Server, ...]:
    """Prefect's server, MLflow's pages, and the worker."""
    from treadle.infra import orchestrator, supervisor
    from treadle.infra.orchestrator.api import is_unauthorized
    from treadle.infra.settings import without_secrets

    prefect = orchestrator.server_state(settings)
    locked = prefect.state is orchestrator.ServerPhase.RUNNING and is_unauthorized(f"{prefect.url}/admin/version")
    state = "locked" if locked else str(prefect.state)
    states = [Server(name="Prefect", state=state, address=orchestrator.ui_url(settings))]
    for name, title in (("mlflow", "MLflow"), ("worker", "worker")):
        holder = supervisor.holder(supervisor.locks_folder(settings) / f"{name}.lock")
        state, address = "stopped" if holder is None else "running", holder.url if holder and name == "mlflow" else ""
        if name == "mlflow" and supervisor.is_elsewhere(settings):
            address = without_secrets(settings.tracking)
            state = "running" if supervisor.answers(settings.tracking) else "unreachable"
        states.append(Server(name=title, state=state, address=address))
    return tuple(states)


def is_up(settings: Settings) -> bool:
    """Whether `treadle up` is running here."""
    from treadle.infra import supervisor

    return supervisor.holder(supervisor.locks_folder(settings) / "up.lock") is not None


def newest_work(settings: Settings) -> tuple[LastWork, ...] | None:
    """Newest and next runs by pipeline and work; None where no server answers."""
    from treadle.flows.project.deployment_plans import TAG, WORKS
    from treadle.infra import orchestrator
    from treadle.infra.orchestrator.killed_commands import dead_commands
    from treadle.infra.orchestrator.runs import Runs
    from treadle.infra.orchestrator.server import server_folder

    server = orchestrator.server_state(settings)
    if server.state != orchestrator.ServerPhase.RUNNING:
        return None
    dead = dead_commands(server_folder(settings))
    runs = Runs(server.url, None if server.own else settings.home, TAG, dead)
    works = [work for work in WORKS if work != "promote"]  # a person started it and has seen how it ended
    try:
        last, following = runs.last(works), runs.next(works)
    except (OSError, ValueError):
        return None
    return tuple(_work(key, last.get(key), following.get(key)) for key in sorted(last.keys() | following.keys()))


def run_pages(settings: Settings, runs: Iterable[str]) -> dict[str, str]:
    """URLs of runs' pages, by their ids; without the runs that the server does not have, empty where it is away."""
    from treadle.flows.project.deployment_plans import TAG
    from treadle.infra import orchestrator
    from treadle.infra.orchestrator.runs import Runs

    server = orchestrator.server_state(settings)
    if server.state != orchestrator.ServerPhase.RUNNING:
        return {}
    try:
        return Runs(server.url, None if server.own else settings.home, TAG).pages(runs)
    except (OSError, ValueError):
        return {}


def _work(key: tuple[str, str], last: WorkRun | None, following: WorkRun | None) -> LastWork:
    names = ("state", "since", "message", "error", "at", "page")
    fields = {name: getattr(last, name) for name in names} if last else {}
    return LastWork(pipeline=key[0], work=key[1], next=following.at if following else None, **fields)
