"""The home's Prefect server as a process: `python -P -m treadle.infra.orchestrator.serve ...`.

FOLDER HOME HOST PORT [SOCKET]:

FOLDER (`<home>/.treadle/prefect`) holds everything: database, log, pages (Prefect would put them beside its code, which
need not be ours to write), and the two files by which others find it.
`server.lock` is locked while this process lives, whatever ends it, and holds its id; `server.json` is a hint with its
address. A second process on the same folder ends at once: two commands start one server.
SOCKET is the descriptor of a listening socket that a command keeps open for a server that died under it. Beyond
loopback the server asks for the login in PREFECT_SERVER_API_AUTH_STRING; the caller ensures that.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from treadle.infra import failpoint
from treadle.infra.files.atomic import write_atomically
from treadle.infra.orchestrator.server import BUSY, DATABASE, HINT, LOCK, prefect_version
from treadle.infra.processes.http_guard import HERE, Guard, listeners
from treadle.infra.processes.process import locked_file
from treadle.infra.settings import set_environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import uvicorn
    from starlette.types import ASGIApp

WATCH_SECONDS = 2.0
CLOSE_SECONDS = 3  # browsers keep connections open for ever

SERVED = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # what runs that `treadle maintain` took away have left, a day later
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
    # how long a run waits before it asks again whether its deployment's other run has ended
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    # in memory, the default, a server that is killed forgets which run holds a slot
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_UI_API_URL": "/api",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # the second version asks an outside host when it opens, whatever the analytics setting says
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
}
"""The settings of every server that serves us."""

CLOSED = ("/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc")
"""The API's own pages, whose scripts come from outside, and its public description."""


def serve_main(folder: Path, home: Path, host: str, port: int, descriptor: int | None = None) -> int:
    """Serve in a process of its own until it is ended, or until the folder is moved or deleted.

    Returns at once: BUSY where the folder has its server already.
    """
    lock = locked_file(folder / LOCK)
    if lock is None:
        return BUSY
    lock.truncate(0)
    set_environment(SERVED | {"PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "pages")})
    if os.fork():  # the caller need not wait for the server, nor reap it: the lock goes to the child
        return 0
    lock.write(str(os.getpid()))
    lock.flush()
    with suppress(OSError):  # a terminal, where a person starts this by hand
        os.ftruncate(1, 0)  # the log is of this start only
    with lock, ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in listeners(host, port, descriptor)]
        port = sockets[0].getsockname()[1]
        with failpoint.around("server.hint"):
            write_hint(folder / HINT, home, host, port)
        serve(sockets, port, lock, folder)
    return 0


def write_hint(path: Path, home: Path, host: str, port: int) -> None:
    """Write the server's address and version, atomically."""
    hint = {"home": str(home), "host": host, "port": port, "pid": os.getpid(), "prefect": prefect_version()}
    write_atomically(path, json.dumps(hint))


def serve(sockets: list[socket.socket], port: int, lock: IO[str], folder: Path) -> None:
    """Run API, UI and services on the sockets."""
    import uvicorn
    from prefect import settings

    from treadle.infra.orchestrator import database

    overrides = {settings.PREFECT_SERVER_API_PORT: port}
    with settings.temporary_settings(overrides), database.database_ready(folder / DATABASE):
        config = uvicorn.Config(application(), log_level="warning", timeout_graceful_shutdown=CLOSE_SECONDS)
        server = uvicorn.Server(config)
        threading.Thread(target=watch, args=(server, lock, folder / LOCK), daemon=True).start()
        server.run(sockets=sockets)


def application(names: Sequence[str] = HERE) -> ASGIApp:
    """API, UI and services, for requests to one of `names`, or with the login where Prefect asks for one."""
    import prefect
    from prefect import settings
    from prefect.server.api.server import create_app

    from treadle.infra.orchestrator import database

    database.let_schedules_be_made()
    # the second version of the pages asks an outside host when it opens; without its files it is not offered
    prefect.__ui_v2_static_path__ = Path(os.devnull) / "no-second-version"
    asks = bool(settings.PREFECT_SERVER_API_AUTH_STRING.value())
    return Guard(create_app(final=True), names=() if asks else names, closed=CLOSED)


def hosted() -> ASGIApp:
    """The same application for another process manager: `uvicorn --factory treadle.infra.orchestrator.serve:hosted`.

    Its database and all other settings are those of Prefect's own variables. `prefect` is its name in
    infra/deploy/compose.yaml.
    """
    set_environment(SERVED, keep=True)
    return application((*HERE, "prefect"))


def watch(server: uvicorn.Server, lock: IO[str], path: Path) -> None:
    """End the server when its folder was moved or deleted: it would serve a database that no command finds."""
    ours = os.fstat(lock.fileno()).st_ino
    pause = threading.Event()
    while not pause.wait(WATCH_SECONDS):
        try:
            if path.stat().st_ino == ours:
                continue
        except OSError:
            pass
        server.should_exit = True
        return


if __name__ == "__main__":
    sys.exit(serve_main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *(int(number) for number in sys.argv[4:])))
