"""Find, start and end a home's own Prefect server.

A server is believed when its lock is held (so it lives, whatever the hint says), its hint was written by the
process that holds the lock and names this home, and its API reports that it is healthy. A copied home has the hint
but no lock; a relocated one has the lock but not the name.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from filelock import FileLock

from treadle.infra.orchestrator.api import prefect_trouble, requires_login, with_login
from treadle.infra.processes.process import end_holder_of, holder
from treadle.infra.settings import FAILPOINT, LOOPBACK, child_environment, failpoint, without_secrets
from treadle.tasks.errors import HomeError, ServiceError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.orchestrator")

LOCK = "server.lock"
HINT = "server.json"
DATABASE = "prefect.db"
LOG = "server.log"
POOL = "treadle"  # the work pool (type process) whose workers run our deployments
BUSY = 75  # how a server ends whose folder has one already

START_SECONDS = 120.0
POLL_SECONDS = 0.1
STARTS = 2


class ServerPhase(StrEnum):
    """The state of the server that a home's flows would use."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One home's server. `url` is empty while it is stopped; `pid` is None where the server is not ours.

    `url` is for `ask`: it holds the login, where there is one.
    """

    state: ServerPhase
    url: str
    pid: int | None
    own: bool


@dataclass(frozen=True, slots=True)
class Hint:
    """What the server wrote about itself, unverified. `host` is its address for other machines."""

    home: str
    port: int
    pid: int
    version: str
    host: str

    @property
    def url(self) -> str:
        """The API."""
        return f"http://{LOOPBACK}:{self.port}/api"


def server_folder(settings: Settings) -> Path:
    """Everything of the home's server: database, log, lock and hint, Prefect's own files."""
    return settings.state / "prefect"


def server_state(settings: Settings) -> ServerState:
    """The state of the server that flows of this home would use; starts nothing."""
    if settings.prefect_api_url:
        reached = ServerPhase.UNREACHABLE if prefect_trouble(settings.prefect_api_url) else ServerPhase.RUNNING
        return ServerState(reached, with_login(settings, settings.prefect_api_url), None, own=False)
    lock = holder(server_folder(settings) / LOCK)
    if lock is None:
        return ServerState(ServerPhase.STOPPED, "", None, own=True)
    hint = _hint(server_folder(settings) / HINT)
    if hint is None or hint.pid != lock.pid or hint.home != str(settings.home):
        return ServerState(ServerPhase.STARTING, "", lock.pid or None, own=True)
    reached = ServerPhase.STARTING if prefect_trouble(hint.url) else ServerPhase.RUNNING
    return ServerState(reached, with_login(settings, hint.url), lock.pid, own=True)


def server_conforms(settings: Settings) -> bool:
    """Whether the home's own server, if it is at work, listens where the settings say and asks for their login."""
    hint = _hint(server_folder(settings) / HINT)
    if settings.prefect_api_url or hint is None or not alive(settings) or prefect_trouble(hint.url):
        return True
    return hint.host == settings.host and requires_login(f"{hint.url}/admin/version", settings.login)


def ui_url(settings: Settings) -> str:
    """Where a browser finds the server of this home, running or not; empty where none was ever started."""
    if settings.prefect_api_url:
        return without_secrets(settings.prefect_api_url).removesuffix("/").removesuffix("/api")
    hint = _hint(server_folder(settings) / HINT)
    return hint.url.removesuffix("/api") if hint and hint.home == str(settings.home) else ""


def api_url(settings: Settings) -> str:
    """The API that flows of this home use; starts the home's own server where there is none.

    Raises ServiceError where `PREFECT_API_URL` does not answer or our own server does not start, HomeError
    where the home cannot be written.
    """
    if settings.prefect_api_url:
        if trouble := prefect_trouble(settings.prefect_api_url):
            raise ServiceError(
                f"PREFECT_API_URL={without_secrets(settings.prefect_api_url)} does not answer: {trouble}",
                "start that server, or unset PREFECT_API_URL to use the project's own",
            )
        return settings.prefect_api_url
    return _own(settings)


def _own(settings: Settings) -> str:
    """Wait for the home's own server, starting it where no other process does; returns its API.

    One that was killed while it started is started once more. One of another Prefect version is ended first: its
    answers may not be what our client understands.
    """
    place = server_folder(settings)
    started = 0
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        lock, hint = holder(place / LOCK), _hint(place / HINT)
        if lock is None:
            if started == STARTS:
                why = _last_line(place / LOG)
                raise ServiceError(
                    f"the Prefect server of {settings.home} did not start: {why}",
                    f"the whole log is {place / LOG}",
                )
            started += _start(settings)
        # another home's name: it was relocated with its server running, which is about to notice and end
        elif (
            hint is not None
            and (hint.pid, hint.home) == (lock.pid, str(settings.home))
            and not prefect_trouble(hint.url)
        ):
            if hint.version == prefect_version():
                return hint.url
            log.info("this project's Prefect server is of another version (%s); it is replaced", hint.version or "old")
            end_holder_of(place / LOCK)
            started = 0
        time.sleep(POLL_SECONDS)
    raise ServiceError(
        f"the Prefect server of {settings.home} does not answer after {START_SECONDS:.0f} s",
        f"end it with treadle down and try again; its log is {place / LOG}",
    )


def end_server(settings: Settings) -> None:
    """End the home's own server, if it is at work."""
    end_holder_of(server_folder(settings) / LOCK)


def stop_servers(settings: Settings) -> tuple[str, ...]:
    """End the servers of this home and of homes under its `.treadle/`; the homes whose server was ended."""
    return tuple(str(place.parent.parent) for place in homes(settings) if end_holder_of(place / LOCK))


def homes(settings: Settings) -> tuple[Path, ...]:
    """The server folders of this home and of homes under its `.treadle/` (the demo's)."""
    return tuple(sorted((server_folder(settings), *settings.state.glob("*/.treadle/prefect"))))


def alive(settings: Settings) -> bool:
    """Whether the home's own server lives, answering or not."""
    return holder(server_folder(settings) / LOCK) is not None


@contextmanager
def starting(settings: Settings) -> Iterator[None]:
    """A block for one process of a home at a time: to look whether the server lives, and else to start it."""
    place = server_folder(settings)
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / "start.lock", thread_local=False)
        lock.acquire()
    except OSError as error:
        raise HomeError(
            f"{place} cannot be written: {error.strerror}",
            "give yourself the right to write there, or set TREADLE_HOME",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _start(settings: Settings) -> bool:
    """Start the server on its remembered port; False where another process did meanwhile.

    Raises UsageError for one that would be open to other machines without a login.
    """
    _ = settings.listen
    with starting(settings):
        if alive(settings):
            return False
        log.info("starting this project's Prefect server in the background (it stays until: treadle down)")
        hint = _hint(server_folder(settings) / HINT)
        return launch(settings, hint.port if hint else 0)


def launch(settings: Settings, port: int, listener: socket.socket | None = None) -> bool:
    """Run the server in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it.

    It listens on `port`, or on the open socket `listener`. False where the folder has a server already. To be called
    within `starting`.
    """
    place = server_folder(settings)
    arguments = [str(place), str(settings.home), settings.listen, str(port)]
    arguments += [str(listener.fileno())] if listener else []
    with (place / LOG).open("ab") as output:
        launched = subprocess.run(
            [sys.executable, "-P", "-m", "treadle.infra.orchestrator.serve", *arguments],
            cwd=place,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[listener.fileno()] if listener else [],
            check=False,
        )
    return launched.returncode != BUSY


def prefect_version() -> str:
    """The version of the Prefect that is installed."""
    return metadata.version("prefect")


def _environment(settings: Settings) -> dict[str, str]:
    """The server's environment, without the person's own Prefect settings."""
    place = server_folder(settings)
    return child_environment(
        {
            **({FAILPOINT: failpoint()} if failpoint() else {}),
            "PREFECT_HOME": str(place),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": settings.prefect_database_url or _embedded(place),
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
            "PREFECT_SERVER_API_HOST": settings.listen,
            **({"PREFECT_SERVER_API_AUTH_STRING": settings.login} if settings.login else {}),
        },
        without=("PREFECT_", "TREADLE_"),
    )


def _embedded(place: Path) -> str:
    return f"sqlite+aiosqlite:///{place / DATABASE}"


def _hint(path: Path) -> Hint | None:
    try:
        found = json.loads(path.read_text())
        version, host = str(found.get("prefect", "")), str(found.get("host", LOOPBACK))
        return Hint(str(found["home"]), int(found["port"]), int(found["pid"]), version, host)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"
