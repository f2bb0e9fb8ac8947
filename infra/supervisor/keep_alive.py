"""Keep the worker, MLflow's pages and the home's own Prefect server alive."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from treadle.infra import orchestrator
from treadle.infra.orchestrator import revival, server
from treadle.infra.orchestrator.api import requires_login, with_login
from treadle.infra.processes import process
from treadle.infra.processes.process import locks_folder
from treadle.infra.settings import child_environment, without_secrets
from treadle.infra.supervisor import worker_files
from treadle.infra.tracking.health_check import mlflow_trouble
from treadle.tasks.backoff import Backoff
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.up")

RESTARTS = Backoff(first=1.0, longest=60.0)
STEADY_SECONDS = 120.0
START_SECONDS = 60.0
POLL_SECONDS = 0.1
DOWN_SECONDS = 45.0  # it ends its own children first
LOG_BYTES = 5_000_000


def logs_folder(settings: Settings) -> Path:
    """What the kept processes print."""
    return settings.state / "logs"


def is_holder(settings: Settings) -> bool:
    """Whether this process keeps the home that is where `settings` say: neither relocated nor deleted."""
    record = process.holder(locks_folder(settings) / "up.lock")
    return record is not None and record.pid == os.getpid()


def exited_unexpectedly(settings: Settings) -> bool:
    """Whether an `up` of this home exited unexpectedly."""
    lock = locks_folder(settings) / "up.lock"
    return process.last_record(lock).home == str(settings.home) and process.holder(lock) is None


def mark_ready(settings: Settings, url: str) -> None:
    """Write into our lock that the home is up; `url` is Prefect's page."""
    with (locks_folder(settings) / "up.lock").open("r+") as file:
        process.write_record(file, process.ProcessRecord(os.getpid(), str(settings.home), url))


def services_conform(settings: Settings) -> bool:
    """Whether the servers that are at work listen where the settings say, and ask for their login."""
    record = process.holder(locks_folder(settings) / "mlflow.lock")
    if record is not None and record.url:
        conforms = record.host == settings.host and requires_login(f"{record.url}/version", settings.login)
        if not conforms:
            return False
    return server.server_conforms(settings)


def mark_leaving(settings: Settings) -> None:
    """Write into our lock that this process is about to end."""
    if is_holder(settings):
        with (locks_folder(settings) / "up.lock").open("r+") as file:
            process.write_record(file, process.ProcessRecord(os.getpid()))


class RestartBackoff:
    """When to restart a process: at once, then after 2, 4, ... 60 s; reset once it has run for two minutes."""

    def __init__(self) -> None:
        self._starts = 0
        self._begun = self._next = float("-inf")

    def due(self) -> bool:
        """Whether the process may be started now; if so, the start is counted."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._starts = 1 if now - self._begun > STEADY_SECONDS else self._starts + 1
        self._begun, self._next = now, now + RESTARTS.pause(self._starts)
        return True


class Service:
    """One process of `child.py`: found by its lock, started where the lock is free."""

    def __init__(self, settings: Settings, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.lock = locks_folder(settings) / f"{name}.lock"
        self._settings = settings
        self._backoff = RestartBackoff()
        self._lived = False
        self._child: subprocess.Popen[bytes] | None = None
        self._adopted: IO[str] | None = None

    def keep(self, api: str) -> None:
        """Start the process unless it runs, for this home and, for the worker, this API; replace one of another."""
        if self._child is not None and self._child.poll() is None:
            starting = process.holder(self.lock) is None
        else:
            self._child, starting = None, False
        record = process.holder(self.lock)
        if record is not None and record.home and not self._fits(record, api):
            process.end_holder_of(self.lock)
            record = None
        self._lived |= record is not None
        self._remember(record is not None)
        if record is not None or starting or not self._backoff.due():
            return
        if self._lived:
            log.warning("%s has ended; it is started again (its log: %s)", self.title, self.log)
        self._start(api)

    def _remember(self, lives: bool) -> None:
        """Hold the lock file of a process of an earlier `up` open: a relocation of the home does not change it."""
        adopted = lives and self._child is None
        if self._adopted is not None and not adopted:
            self._adopted.close()
            self._adopted = None
        elif self._adopted is None and adopted:
            with suppress(OSError):
                self._adopted = self.lock.open()

    def _fits(self, record: process.ProcessRecord, api: str) -> bool:
        return record.home == str(self._settings.home) and (self.name != "worker" or record.url == without_secrets(api))

    def _start(self, api: str) -> None:
        settings = self._settings
        own = not settings.prefect_api_url  # settings of a person's own Prefect are not for our server's worker
        environment = child_environment(
            {
                "DO_NOT_TRACK": "1",
                "TREADLE_HOME": str(settings.home),
                **({"TMPDIR": str(worker_files.made(settings))} if self.name == "worker" else {}),
                "PREFECT_API_URL": without_secrets(api) if own else settings.prefect_api_url,
                **({"PREFECT_API_AUTH_STRING": settings.login} if own and settings.login else {}),
                "PREFECT_HOME": str(server.server_folder(settings)),
                "PREFECT_PROFILES_PATH": str(server.server_folder(settings) / "profiles.toml"),
                "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
                "PREFECT_WORKER_QUERY_SECONDS": "1",
            },
            without=("PREFECT_",) if own else ("PREFECT_PROFILE",),
        )
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "treadle.infra.supervisor.child",
                    self.name,
                    str(settings.home),
                    str(self.lock),
                ],
                cwd=settings.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us, and we end it in order
            )

    def abandon(self) -> None:
        """End the process although the home was relocated, and its lock file with it."""
        if self._adopted is not None:
            process.end_holder(self._adopted)
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(process.STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()

    @property
    def log(self) -> Path:
        """What it prints."""
        return logs_folder(self._settings) / f"{self.name}.log"


class Keeper:
    """Everything that `up` keeps alive in one home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server_backoff = RestartBackoff()
        self.worker = Service(settings, "worker", "the worker")
        self.mlflow = None if is_elsewhere(settings) else Service(settings, "mlflow", "MLflow's server")
        logs_folder(settings).mkdir(parents=True, exist_ok=True)
        locks_folder(settings).mkdir(parents=True, exist_ok=True)

    def keep_all_alive(self, api: str) -> None:
        """Restart the processes that have ended, and trim their logs; quick enough for every second."""
        if not self._settings.prefect_api_url and not server.alive(self._settings) and self._server_backoff.due():
            revival.revive(self._settings, api)
        self.keep_pages_alive()
        if api:
            self.worker.keep(api)
        for path in logs_folder(self._settings).glob("*.log"):
            _trim(path)

    def keep_pages_alive(self) -> None:
        """Restart MLflow's server if it has ended; it needs none of the others."""
        if self.mlflow is not None:
            self.mlflow.keep("")

    def api(self) -> str:
        """The API that the worker is to use; it changes where the server found its port taken; empty: none yet.

        For `ask`: it holds the login, where there is one.
        """
        page = orchestrator.ui_url(self._settings)
        api = self._settings.prefect_api_url or (f"{page}/api" if page else "")
        return with_login(self._settings, api) if api else ""

    def pages(self) -> str:
        """Where MLflow's pages are; empty until they are known, or where there are none."""
        if self.mlflow is None:
            return without_secrets(self._settings.tracking)
        record = process.holder(self.mlflow.lock)
        return record.url if record else ""

    def wait_for_pages(self) -> None:
        """Wait until MLflow's pages answer; raises ServiceError where they do not."""
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.pages()):
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"MLflow's server does not answer after {START_SECONDS:.0f} s",
                    f"its log is {logs_folder(self._settings) / 'mlflow.log'}",
                )
            self.keep_pages_alive()
            time.sleep(POLL_SECONDS)

    def wait_for_worker(self, api: str) -> None:
        """Wait until there is a worker; raises ServiceError where none stays."""
        deadline = time.monotonic() + START_SECONDS
        while process.holder(self.worker.lock) is None:
            if time.monotonic() > deadline:
                raise ServiceError(f"no worker after {START_SECONDS:.0f} s", f"its log is {self.worker.log}")
            self.worker.keep(api)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the worker with its runs, and MLflow's server; Prefect's server stays for commands."""
        stop_services(self._settings)
        for service in (self.mlflow, self.worker):  # the worker last, whose runs are waited for
            if service is not None:
                service.abandon()


def stop_services(settings: Settings) -> tuple[str, ...]:
    """End the home's worker with its runs, and MLflow's server, of any `up`; returns what was ended."""
    ended = []
    for name, title in (("worker", "worker"), ("mlflow", "MLflow server")):
        record = process.holder(locks_folder(settings) / f"{name}.lock")
        if name == "worker":
            if record is not None and record.pid:
                process.ask_to_end(record.pid)  # it takes no new run, and waits for those that it has
            process.end_runs(settings.home)
        if process.end_holder_of(locks_folder(settings) / f"{name}.lock"):
            ended.append(title)
        if name == "worker":
            process.end_runs(settings.home)  # which it was just starting
            worker_files.clear(settings)
    return tuple(ended)


def stop_up(settings: Settings) -> bool:
    """End a home's `up` and all that it keeps but Prefect's server; whether there was anything to end."""
    lock = locks_folder(settings) / "up.lock"
    up = process.end_holder_of(lock, DOWN_SECONDS)
    if exited_unexpectedly(settings) and (file := process.take_process_lock(lock)) is not None:
        with file:
            process.write_record(file, process.ProcessRecord())
    return bool(stop_services(settings)) or up


def is_elsewhere(settings: Settings) -> bool:
    """Whether MLflow has a server already, which is not ours to keep."""
    return settings.tracking.startswith(("http://", "https://"))


def answers(url: str) -> bool:
    """Whether MLflow's server at that address answers without an error."""
    return bool(url) and not mlflow_trouble(url)


def _trim(path: Path) -> None:
    """Keep a log within bounds while others write it: what it holds is kept beside, once."""
    with suppress(OSError):
        if path.stat().st_size > LOG_BYTES and not path.name.endswith(".old.log"):
            shutil.copyfile(path, path.with_suffix(".old.log"))
            with path.open("r+") as file:
                file.truncate(0)
