"""The home's Prefect server as a process: `python -P -m infra.orchestrator.serve FOLDER HOME PORT`.

FOLDER (`<home>/.treadle/prefect`) holds everything: database, log, and the two files by which others find it.
`server.lock` is locked as long as this process lives, whatever ends it, and holds its id; `server.json` is a
hint that says where to knock. A second process on the same folder ends at once: two commands start one server.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from time import time_ns
from typing import IO, TYPE_CHECKING

from infra.orchestrator.server import BUSY, DATABASE, HINT, LOCK, LOOPBACK

if TYPE_CHECKING:
    import uvicorn

WATCH_SECONDS = 2.0
CLOSE_SECONDS = 3  # browsers keep connections open for ever


def main(folder: Path, home: Path, port: int) -> int:
    """Serve until told to end, or until the folder is moved or deleted; the exit code."""
    lock = take_lock(folder / LOCK)
    if lock is None:
        return BUSY
    with lock, socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        bind(listener, port)
        port = listener.getsockname()[1]
        write_hint(folder / HINT, home, port)
        import time

        t = time.time()
        prepare_database(folder / DATABASE)
        print("db", time.time() - t, file=sys.stderr)
        serve(listener, port, lock, folder / LOCK)
    return 0


def take_lock(path: Path) -> IO[str] | None:
    """The lock file, locked and with our process id in it; None where another process has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def bind(listener: socket.socket, port: int) -> None:
    """Take the remembered port, or another where it is taken; loopback only, for there is no password."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.bind((LOOPBACK, 0))


def write_hint(path: Path, home: Path, port: int) -> None:
    """Say where to knock; in place at once, so that nobody reads half of it."""
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"home": str(home), "port": port, "pid": os.getpid()}))
    aside.replace(path)


def prepare_database(path: Path) -> None:
    """Make the database, or bring it up to this Prefect's version.

    A new one is made aside and renamed, because a kill in the middle leaves one that no migration mends. One
    that is damaged is kept beside and made anew: it is a record for people, and nothing depends on it.
    """
    if path.exists():
        try:
            migrate(path)
            return
        except Exception as error:
            kept = path.with_name(f"{path.name}.damaged-{time_ns()}")
            path.replace(kept)
            print(f"{path} is damaged ({error}); kept as {kept.name}", file=sys.stderr)
    for left in (*path.parent.glob(f"{path.name}-*"), *path.parent.glob(f"new-{path.name}*")):
        left.unlink()
    # says which blocks the old database knew
    (path.parent / "memo_store.toml").unlink(missing_ok=True)
    aside = path.with_name(f"new-{path.name}")
    migrate(aside)
    with sqlite3.connect(aside) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    con.close()
    aside.replace(path)


def migrate(path: Path) -> None:
    """Run Prefect's migrations on the SQLite database at `path`, which need not exist."""
    from prefect.server.database import provide_database_interface
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import temporary_database_config

    async def upgrade() -> None:
        database = provide_database_interface()
        await database.create_db()
        await (await database.engine()).dispose()

    with temporary_database_config(AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{path}")):
        asyncio.run(upgrade())


def serve(listener: socket.socket, port: int, lock: IO[str], lock_path: Path) -> None:
    """Run API, UI and services on the socket."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_SERVER_API_PORT, temporary_settings

    with temporary_settings({PREFECT_SERVER_API_PORT: port}):
        config = uvicorn.Config(
            create_app(final=True),
            log_level="warning",
            timeout_graceful_shutdown=CLOSE_SECONDS,
            access_log=False,
        )
        server = uvicorn.Server(config)
        threading.Thread(target=watch, args=(server, lock, lock_path), daemon=True).start()
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
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
