"""The home's Prefect server as a process: `python -P -m infra.orchestrator.serve FOLDER HOME PORT [SOCKET]`.

FOLDER (`<home>/.treadle/prefect`) holds everything: database, log, and the two files by which others find it.
`server.lock` is locked as long as this process lives, whatever ends it, and holds its id; `server.json` is a
hint that says where to knock. A second process on the same folder ends at once: two commands start one server.
SOCKET is the descriptor of a listening socket that a command keeps open for a server that died under it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from infra import failpoint
from infra.orchestrator.server import BUSY, DATABASE, HINT, LOCK, LOOPBACK, prefect_version

if TYPE_CHECKING:
    import uvicorn

WATCH_SECONDS = 2.0
CLOSE_SECONDS = 3  # browsers keep connections open for ever


def main(folder: Path, home: Path, port: int, descriptor: int | None = None) -> int:
    """Serve in a process of its own until told to end, or until the folder is moved or deleted.

    Returns at once: BUSY where the folder has its server already.
    """
    lock = take_lock(folder / LOCK)
    if lock is None:
        return BUSY
    if os.fork():  # who started us need not wait for us, nor collect us: the lock goes to the child
        return 0
    lock.write(str(os.getpid()))
    lock.flush()
    with suppress(OSError):  # a terminal, where somebody starts us by hand
        os.ftruncate(1, 0)  # the log tells of this start, not of older ones
    with lock, take_socket(port, descriptor) as listener:
        port = listener.getsockname()[1]
        with failpoint.around("server.hint"):
            write_hint(folder / HINT, home, port)
        serve(listener, port, lock, folder)
    return 0


def take_lock(path: Path) -> IO[str] | None:
    """The lock file, locked and empty; None where another process has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    return file


def take_socket(port: int, descriptor: int | None) -> socket.socket:
    """The socket that we were handed; else the remembered port, or another where it is taken.

    Loopback only, for there is no password.
    """
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError):
        listener.bind((LOOPBACK, 0))
    return listener


def write_hint(path: Path, home: Path, port: int) -> None:
    """Say where to knock; in place at once, so that nobody reads half of it."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"home": str(home), "port": port, "pid": os.getpid(), "prefect": prefect_version()}))
    aside.replace(path)


def serve(listener: socket.socket, port: int, lock: IO[str], folder: Path) -> None:
    """Run API, UI and services on the socket."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_SERVER_API_PORT, PREFECT_SERVER_CORS_ALLOWED_ORIGINS, temporary_settings

    from infra.orchestrator import database

    database.prepare(folder / DATABASE)
    database.let_schedules_be_made()
    own_pages = f"http://{LOOPBACK}:{port},http://localhost:{port}"  # Prefect lets any web page read and write
    told = {PREFECT_SERVER_API_PORT: port, PREFECT_SERVER_CORS_ALLOWED_ORIGINS: own_pages}
    with temporary_settings(told), database.using(folder / DATABASE):
        app = create_app(final=True)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=CLOSE_SECONDS)
        server = uvicorn.Server(config)
        threading.Thread(target=watch, args=(server, lock, folder / LOCK), daemon=True).start()
        server.run(sockets=[listener])


def watch(server: uvicorn.Server, lock: IO[str], path: Path) -> None:
    """End the server when its folder was moved or deleted: it would serve a database that nobody finds."""
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
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:])))
