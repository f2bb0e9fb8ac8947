"""Prefect's settings, logs and connection in our own process while flows run."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from treadle.infra.orchestrator import killed_commands, revival, server
from treadle.infra.processes.http_guard import HERE
from treadle.infra.settings import set_environment, without_secrets
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from prefect.client.orchestration import SyncPrefectClient

    from treadle.infra.settings import Settings

FLUSH_SECONDS = 5.0
ENGINE = ("prefect.flow_runs", "prefect.task_runs")


THREADS = {"GOMP_SPINCOUNT": "1000"} if sys.platform == "linux" else {"OMP_WAIT_POLICY": "passive"}
"""How XGBoost's threads wait for one another. Spinning for ever, their default, makes them 25 times slower beside two
busy processes; never spinning makes trees that grow leaf by leaf three times slower on two quiet cores. A short spin
has neither fault (measured with GCC's OpenMP, which XGBoost has on Linux)."""


def prepare_client(settings: Settings) -> None:
    """Set the variables that libraries read when they are imported; to be called before `import prefect`.

    Telemetry is off: on a terminal, Prefect reports to its makers as soon as it is imported. A person's own
    `~/.prefect` is neither read nor made, nor matplotlib's folders, and our own server is reached without a proxy.
    """
    values = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    place = server.server_folder(settings)
    if (settings.home / "pipelines").is_dir():
        with suppress(OSError):  # `flow_context` says so, where it matters
            place.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        values |= {"PREFECT_HOME": str(place), "PREFECT_PROFILES_PATH": str(place / "profiles.toml")}
        set_environment({"MPLCONFIGDIR": str(settings.state / "matplotlib")}, keep=True)
    set_environment(THREADS, keep=True)
    set_environment(values, unset=("PREFECT_PROFILE",), no_proxy=HERE)


@contextmanager
def flow_context(settings: Settings) -> Iterator[str]:
    """Flows that are called in this block report to the home's Prefect server; yields its API's address.

    Starts the home's own server where there is none (seconds, once). Results come back as the objects that
    they are; what is stored of them is JSON. Raises ServiceError where the server does not answer, before or
    while the flow runs, and HomeError where the home cannot be written.
    """
    url = server.api_url(settings)
    prepare_client(settings)
    import httpx

    try:
        with _prefect_settings(settings, url), _logs(debug=settings.debug), revival.server_kept_alive(settings, url):
            try:
                with present_command(settings):
                    yield url
            except Exception as error:
                _clear_frames(error)
                raise
            finally:
                _flush()
    except httpx.HTTPStatusError as error:
        raise ServiceError(
            f"the Prefect server at {without_secrets(url)} refuses us: HTTP {error.response.status_code}",
            _login_hint(settings)
            if error.response.status_code in (401, 403)
            else "see that its version is ours: treadle doctor",
        ) from error
    except httpx.TransportError as error:
        raise ServiceError(
            f"the Prefect server at {without_secrets(url)} stopped answering: {error}",
            "run the same command again: it goes on where this one stopped"
            if not settings.prefect_api_url
            else "start that server again, then run the same command: it goes on where this one stopped",
        ) from error


def _login_hint(settings: Settings) -> str:
    if settings.prefect_api_url:
        return "give the key or password that it wants: PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
    return "set TREADLE_LOGIN as it was when the server was started, or start it anew: treadle down"


def present_command(settings: Settings) -> AbstractContextManager[None]:
    """A block whose runs the home's next command closes, should this process be killed in it."""
    return killed_commands.register_command(server.server_folder(settings))


def _clear_frames(error: BaseException | None) -> None:
    """Free what the frames of a failed flow hold, tables and connections: Prefect keeps its error for good."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextmanager
def _prefect_settings(settings: Settings, url: str) -> Iterator[None]:
    from prefect import settings as prefect

    place = server.server_folder(settings)
    overrides = {
        prefect.PREFECT_API_URL: url,
        prefect.PREFECT_HOME: place,
        prefect.PREFECT_LOCAL_STORAGE_PATH: place / "storage",
        prefect.PREFECT_RESULTS_DEFAULT_SERIALIZER: "json",
        prefect.PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
        # its thread costs up to a second a flow; `killed_commands` closes the runs of killed commands
        prefect.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    if not settings.prefect_api_url:  # a person's key for another server is not for ours
        overrides |= {prefect.PREFECT_API_KEY: None, prefect.PREFECT_API_AUTH_STRING: settings.login or None}
    with prefect.temporary_settings(overrides):
        yield


@contextmanager
def _logs(*, debug: bool) -> Iterator[None]:
    """Our own log lines go to their run's page; the engine's leave the person's console alone."""
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

    def in_run(_record: logging.LogRecord) -> bool:
        return FlowRunContext.get() is not None or TaskRunContext.get() is not None

    def for_people(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and not record.name.startswith(ENGINE)

    ours, root = logging.getLogger("treadle"), logging.getLogger()
    level, api = ours.level, APILogHandler()
    api.addFilter(in_run)
    consoles = [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler) and not debug]
    for console in consoles:
        console.addFilter(for_people)
    ours.addHandler(api)
    ours.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.removeHandler(api)
        for console in consoles:
            console.removeFilter(for_people)


def _flush() -> None:
    """Hand over what Prefect still holds back, so that nothing is lost where the process ends abruptly."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    deadline = time.monotonic() + FLUSH_SECONDS
    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=max(0.1, deadline - time.monotonic()))


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the server in Prefect's settings; for within `flow_context`."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def run_environment(home: Path, heartbeat_seconds: int) -> dict[str, str]:
    """The environment of a process that a worker starts for a run: as `flow_context` does for a command.

    Our log lines go to the run's page, and a process that dies is known by its missing heartbeats.
    """
    return {
        "TREADLE_HOME": str(home),
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **THREADS,
        "MPLCONFIGDIR": str(home / ".treadle" / "matplotlib"),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat_seconds),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "treadle",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_LOCAL_STORAGE_PATH": str(home / ".treadle" / "prefect" / "storage"),
    }
