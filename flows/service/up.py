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
    from collections.abc import Iterator, Mapping, Sequence

    from treadle.flows.service.deployments import DeploymentChange
    from treadle.infra.settings import Settings
    from treadle.infra.supervisor import Keeper
    from treadle.tasks.errors import ConfigError

TICK_SECONDS = 1.0
RUNS_SECONDS = 10.0
DETACH_SECONDS = 120.0
END_SECONDS = 60.0
CLOCK_SECONDS = 120.0
"""A larger change of the clock means that it was set, or that the machine was suspended."""


class UpResult(BaseModel):
    """The running home: `already` where it was up before; `changes` of deployments, one sentence each.

    `refused`: by pipeline, why its file cannot be deployed.
    """

    model_config = ConfigDict(frozen=True)

    home: str
    already: bool
    detached: bool
    prefect: str
    mlflow: str
    changes: tuple[str, ...]
    refused: dict[str, str] = {}

    def exit_code(self) -> int:
        """2 where a pipeline was refused. An `up` that kept the home running itself ends with 0: see its log."""
        return 2 if self.refused else 0


def run_up(settings: Settings, *, detach: bool = False) -> UpResult:
    """Start the home's servers, worker and deployments and keep them running until SIGINT or SIGTERM.

    Where the home is up already, only update its deployments. With `detach`, start a process of its own for this and
    return when that is ready. Raises ServiceError where a server does not start, and UsageError where it would be open
    to other machines without a password.
    """
    from treadle.infra import supervisor

    _ = settings.listen
    lock = supervisor.locks_folder(settings) / "up.lock"
    _wait_for_former_home(settings)
    if detach and supervisor.holder(lock) is None:
        return _start_detached(settings)
    with supervisor.hold_process_lock(lock, settings.home, for_life=True) as ours:
        if not ours:
            return _update_deployments(settings)
        with _stop_signal() as stop:
            return _keep_up(settings, stop)


def _wait_for_former_home(settings: Settings) -> None:
    """Wait until an `up` that was started before the home was moved has exited; end it after `END_SECONDS`."""
    from treadle.infra import supervisor

    lock = supervisor.locks_folder(settings) / "up.lock"
    deadline = time.monotonic() + END_SECONDS
    while (holder := supervisor.holder(lock)) and holder.home != str(settings.home):
        if time.monotonic() > deadline:
            supervisor.end_holder_of(lock)
        time.sleep(0.1)


def _update_deployments(settings: Settings) -> UpResult:
    """Apply the pipelines' files to the deployments of a home that is up already.

    Raises UsageError where the servers run with another TREADLE_HOST or TREADLE_LOGIN.
    """
    from treadle.flows.service import deployments
    from treadle.infra import supervisor

    if not supervisor.services_conform(settings):
        raise UsageError(
            "treadle up runs here with another TREADLE_HOST or TREADLE_LOGIN",
            "set them as before, or restart it: treadle down, then treadle up",
        )
    applied = deployments.apply_deployments(settings)
    keeper = supervisor.Keeper(settings)
    return _result(settings, keeper, applied.changes, _refused(applied.refused), already=True, detached=False)


def _start_detached(settings: Settings) -> UpResult:
    """Start `treadle up` in a session of its own, and wait until it is ready.

    Raises ServiceError where it exits before, or takes longer than `DETACH_SECONDS`.
    """
    from treadle.flows.project import deployment_plans
    from treadle.infra import supervisor
    from treadle.infra.settings import child_environment

    lock, log = supervisor.locks_folder(settings) / "up.lock", supervisor.logs_folder(settings) / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log_start = log.stat().st_size if log.exists() else 0
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
    while not ((holder := supervisor.holder(lock)) and holder.pid == process.pid and holder.url):
        if process.poll() is not None or time.monotonic() > deadline:
            lines = log.read_bytes()[log_start:].decode(errors="replace").strip().splitlines() or ["no output"]
            raise ServiceError(f"treadle up did not start: {lines[-1]}", f"see its log: {log}")
        time.sleep(0.1)
    refused = _refused(deployment_plans.plans(settings).refused)
    return _result(settings, supervisor.Keeper(settings), (), refused, already=False, detached=True)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; restores their handlers at the end."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_up(settings: Settings, stop: threading.Event) -> UpResult:
    """Start servers, worker and deployments, and keep them running until `stop` is set."""
    from treadle.flows.service import deployments
    from treadle.infra import supervisor
    from treadle.infra.orchestrator import server
    from treadle.infra.settings import LOOPBACK, without_secrets

    if not supervisor.services_conform(settings):  # left running by another `up`, or by a command
        events.emit("up", "TREADLE_HOST or TREADLE_LOGIN has changed: restarting the servers")
        supervisor.stop_services(settings)
        server.end_server(settings)
    keeper = supervisor.Keeper(settings)
    try:
        keeper.keep_pages_alive()  # MLflow's server starts while Prefect's is started or found
        events.emit("up", f"Prefect: {without_secrets(server.api_url(settings)).removesuffix('/api')}")
        applied = deployments.apply_deployments(settings)
        for change in applied.changes:
            events.emit("up", change.sentence())
        keeper.keep_all_alive(keeper.api())
        keeper.wait_for_pages()
        keeper.wait_for_worker(keeper.api())
        result = _result(settings, keeper, applied.changes, {}, already=False, detached=False)
        events.emit("up", f"MLflow: {result.mlflow}")
        if settings.host != LOOPBACK:
            events.emit("up", f"other machines reach both at {settings.host}, by the same ports and TREADLE_LOGIN")
        events.emit("up", "ready: new files are ingested; stop it with Ctrl-C or treadle down")
        for pipeline, error in applied.refused.items():
            events.emit("up", f"not deployed: {pipeline}: {error.message}; see treadle check -p {pipeline}")
        supervisor.mark_ready(settings, result.prefect)
        _watch(settings, keeper, stop)
    finally:
        supervisor.mark_leaving(settings)
        events.emit("up", "ending the worker and MLflow's server")
        keeper.stop()
    return result


def _watch(settings: Settings, keeper: Keeper, stop: threading.Event) -> None:
    """Restart what has exited and start the runs that are missing, until `stop` is set or the home was moved."""
    from treadle.flows.project.deployment_plans import TAG
    from treadle.flows.service import deployments
    from treadle.flows.service.alerts.delivery import AlertWatch
    from treadle.flows.service.followups import Followups
    from treadle.flows.service.intake import Intake
    from treadle.flows.service.withdrawals import ForbidWatch
    from treadle.infra import supervisor
    from treadle.infra.orchestrator.dead_runs import DeadRuns
    from treadle.infra.orchestrator.runs import Runs

    dead_runs = DeadRuns(settings.home, TAG, keeper.worker.lock)
    intake, followups, alerts = Intake(settings), Followups(settings), AlertWatch(settings)
    elsewhere, forbidden = settings.home if settings.prefect_api_url else None, ForbidWatch(settings)
    runs_at, clock_offset = 0.0, time.time() - time.monotonic()
    troubles = _Troubles()
    while not stop.wait(TICK_SECONDS):
        if not supervisor.is_holder(settings):
            events.emit("up", "the project was moved or deleted; treadle up brings it up where it is now")
            return
        now = time.monotonic()
        with troubles.of("servers"):
            keeper.keep_all_alive(keeper.api())
        if now >= runs_at:
            runs_at = now + RUNS_SECONDS
            with troubles.of("runs"):
                intake.check_ingests(keeper.api())
            with troubles.of("forbidden columns"):
                forbidden.check()
            with troubles.of("dead runs"):
                dead_runs.check(Runs(keeper.api(), elsewhere, TAG))
            with troubles.of("follow-up runs"):
                followups.start_missing(Runs(keeper.api(), elsewhere, TAG))
        if abs(time.time() - now - clock_offset) > CLOCK_SECONDS:  # many scheduled runs may be due at once
            with troubles.of("the clock"):
                deployments.merge_waiting_runs(settings)
                clock_offset = time.time() - now
        with troubles.of("inboxes"):
            intake.start_ingests()
        with troubles.of("alerts"):
            alerts.check()


class _Troubles:
    """Reports the errors of `up`'s periodic checks: each once, until its check succeeds; `up` goes on."""

    def __init__(self) -> None:
        self._messages: dict[str, str] = {}

    @contextmanager
    def of(self, check: str) -> Iterator[None]:
        """Run one check in the block; an error is reported and not raised, for the next check may succeed."""
        try:
            yield
            self._messages.pop(check, None)
        except Exception as error:
            expected = isinstance(error, TreadleError | OSError | ValueError)
            message = str(error) if expected else f"unexpected {type(error).__name__} with {check}: {error}"
            if message not in self._messages.values():  # one server that does not answer fails several checks
                events.emit("up", f"{message}; trying again")
            self._messages[check] = message


def _refused(errors: Mapping[str, ConfigError]) -> dict[str, str]:
    return {pipeline: error.message for pipeline, error in errors.items()}


def _result(
    settings: Settings,
    keeper: Keeper,
    changes: Sequence[DeploymentChange],
    refused: Mapping[str, str],
    *,
    already: bool,
    detached: bool,
) -> UpResult:
    from treadle.infra import orchestrator

    return UpResult(
        home=str(settings.home),
        already=already,
        detached=detached,
        prefect=orchestrator.ui_url(settings),
        mlflow=keeper.pages(),
        changes=tuple(change.sentence() for change in changes),
        refused=dict(refused),
    )
