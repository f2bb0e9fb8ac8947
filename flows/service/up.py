"""`treadle up`: servers, a worker and deployments of a home, kept alive; new files start a run by themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.tasks.errors import ServiceError, TreadleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.flows.service.deployments import DeploymentChange
    from treadle.infra.settings import Settings
    from treadle.infra.supervisor import Keeper

TICK_SECONDS = 1.0
RUNS_SECONDS = 10.0
DETACH_SECONDS = 120.0
END_SECONDS = 60.0
CLOCK_SECONDS = 120.0
"""By more than that the clock was set, or the machine slept."""


class UpResult(BaseModel):
    """What is up: `already` where it was before, `changes` of deployments, a sentence each."""

    model_config = ConfigDict(frozen=True)

    home: str
    already: bool
    detached: bool
    prefect: str
    mlflow: str
    changes: tuple[str, ...]

    def exit_code(self) -> int:
        """0: also of one that was told to end."""
        return 0


def run_up(settings: Settings, *, detach: bool = False) -> UpResult:
    """Bring the home up and keep it so until told to end (SIGINT, SIGTERM); where it is up, renew its deployments.

    With `detach` a process of its own does so, and this one returns when that is ready. Raises ServiceError where a
    server does not start, and UsageError where it would be open to other machines without a password.
    """
    from treadle.infra import supervisor

    _ = settings.listen
    lock = supervisor.locks_folder(settings) / "up.lock"
    _wait_for_another(settings)
    if detach and supervisor.holder(lock) is None:
        return _detached(settings)
    with supervisor.hold_process_lock(lock, settings.home, for_life=True) as ours:
        if not ours:
            return _renew(settings)
        with _told_to_end() as over:
            return _stay(settings, over)


def _wait_for_another(settings: Settings) -> None:
    """One that is ending, or that notices that its home was moved, is waited for; in the end it is made to."""
    from treadle.infra import supervisor

    lock = supervisor.locks_folder(settings) / "up.lock"
    deadline = time.monotonic() + END_SECONDS
    while (known := supervisor.holder(lock)) and known.home != str(settings.home):
        if time.monotonic() > deadline:
            supervisor.end_holder_of(lock)
        time.sleep(0.1)


def _renew(settings: Settings) -> UpResult:
    """What a second `up` does: the deployments are made what the files say."""
    from treadle.flows.service import deployments
    from treadle.infra import supervisor

    if not supervisor.services_conform(settings):
        raise UsageError(
            "treadle up is at work here with another TREADLE_HOST or TREADLE_LOGIN",
            "set them as they were, or bring it up anew: treadle down, then treadle up",
        )
    changes = deployments.apply_deployments(settings)
    keeper = supervisor.Keeper(settings)
    return _result(settings, keeper, changes, already=True, detached=False)


def _detached(settings: Settings) -> UpResult:
    """Start `treadle up` in a session of its own, and wait until it is ready."""
    from treadle.infra import supervisor
    from treadle.infra.settings import child_environment

    lock, log = supervisor.locks_folder(settings) / "up.lock", supervisor.logs_folder(settings) / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "treadle.flows.cli", "up"],
            cwd=settings.home,
            env=child_environment({"TREADLE_HOME": str(settings.home)}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_SECONDS
    while not ((known := supervisor.holder(lock)) and known.pid == process.pid and known.url):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_bytes()[begun:].decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ServiceError(f"treadle up has not come up: {said[-1]}", f"the whole story is in {log}")
        time.sleep(0.1)
    return _result(settings, supervisor.Keeper(settings), (), already=False, detached=True)


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    over = threading.Event()
    before = {number: signal.signal(number, lambda *_: over.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stay(settings: Settings, over: threading.Event) -> UpResult:
    """Be what keeps the home up."""
    from treadle.flows.service import deployments
    from treadle.infra import supervisor
    from treadle.infra.orchestrator import server
    from treadle.infra.settings import LOOPBACK, without_secrets

    if not supervisor.services_conform(settings):  # left at work by another `up`, or by a command
        events.emit("up", "TREADLE_HOST or TREADLE_LOGIN is another than before: the servers are started anew")
        supervisor.stop_services(settings)
        server.end_server(settings)
    keeper = supervisor.Keeper(settings)
    try:
        keeper.keep_pages_alive()  # it starts while we look for the other
        events.emit("up", f"Prefect: {without_secrets(server.api_url(settings)).removesuffix('/api')}")
        changes = deployments.apply_deployments(settings)
        for change in changes:
            events.emit("up", change.sentence())
        keeper.keep_all_alive(keeper.api())
        keeper.wait_for_pages()
        keeper.wait_for_worker(keeper.api())
        result = _result(settings, keeper, changes, already=False, detached=False)
        events.emit("up", f"MLflow: {result.mlflow}")
        if settings.host != LOOPBACK:
            events.emit("up", f"other machines reach both at {settings.host}, by the same ports and TREADLE_LOGIN")
        events.emit("up", "ready: files that arrive are taken in; Ctrl-C ends it, and so does treadle down")
        supervisor.mark_ready(settings, result.prefect)
        _watch(settings, keeper, over)
    finally:
        supervisor.mark_leaving(settings)
        events.emit("up", "ending the worker and MLflow's server")
        keeper.stop()
    return result


def _watch(settings: Settings, keeper: Keeper, over: threading.Event) -> None:
    """Look after everything, until told to end or the home has gone from where it was."""
    from treadle.flows.project.deployment_plans import TAG
    from treadle.flows.service import deployments
    from treadle.flows.service.alerts import delivery
    from treadle.flows.service.followups import Followups
    from treadle.flows.service.intake import Intake
    from treadle.flows.service.recovery import CrashedRuns
    from treadle.infra import supervisor
    from treadle.infra.orchestrator import lost_runs
    from treadle.infra.orchestrator.runs import Runs

    lost = lost_runs.LostRuns(settings.home, TAG, keeper.worker.lock)
    intake, owed, resumed, told = Intake(settings), Followups(settings), CrashedRuns(), delivery.AlertWatch(settings)
    elsewhere = settings.home if settings.prefect_api_url else None
    runs_at, set_at = 0.0, time.time() - time.monotonic()
    troubles = _Troubles()
    while not over.wait(TICK_SECONDS):
        if not supervisor.is_holder(settings):
            events.emit("up", "the project was moved or deleted; treadle up brings it up where it is now")
            return
        now = time.monotonic()
        with troubles.of("servers"):
            keeper.keep_all_alive(keeper.api())
        if now >= runs_at:
            runs_at = now + RUNS_SECONDS
            with troubles.of("runs"):
                intake.follow(keeper.api())
                if elsewhere is None:  # there, processes may run on other machines
                    lost.close(keeper.api())
            with troubles.of("what has crashed"):
                resumed.look(Runs(keeper.api(), elsewhere, TAG))
            with troubles.of("what is owed"):
                owed.look(Runs(keeper.api(), elsewhere, TAG))
        if abs(time.time() - now - set_at) > CLOCK_SECONDS:  # many scheduled runs may be due at once
            with troubles.of("the clock"):
                deployments.merge_waiting_runs(settings)
                set_at = time.time() - now
        with troubles.of("inboxes"):
            intake.look()
        with troubles.of("alerts"):
            told.look()


class _Troubles:
    """What is wrong with each thing that `up` looks after: said once, until it is well again; `up` goes on."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """A look at it, which may fail: the server is away, or a disk; another one may help."""
        try:
            yield
            self._known.pop(what, None)
        except Exception as error:
            expected = isinstance(error, TreadleError | OSError | ValueError)
            said = str(error) if expected else f"unexpected {type(error).__name__} with {what}: {error}"
            if said not in self._known.values():  # one server that is away ails more than one thing
                events.emit("up", f"{said}; trying again")
            self._known[what] = said


def _result(
    settings: Settings, keeper: Keeper, changes: Sequence[DeploymentChange], *, already: bool, detached: bool
) -> UpResult:
    from treadle.infra import orchestrator

    return UpResult(
        home=str(settings.home),
        already=already,
        detached=detached,
        prefect=orchestrator.ui_url(settings),
        mlflow=keeper.pages(),
        changes=tuple(change.sentence() for change in changes),
    )
