"""A PostgreSQL of the tests' own: a cluster in a folder of its own, on loopback, ended with the session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "treadle", "hunter2"
BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
"""What a contract suite runs over: `make test` knows SQLite only, `make postgres` both."""

START_SECONDS = 30.0
WAY_OUT = "these tests need PostgreSQL's initdb (Debian: apt-get install postgresql)"


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL at work; its tables are safe from no power cut."""

    port: int
    numbers: count[int]

    def database(self, driver: str = "psycopg") -> str:
        """The SQLAlchemy URL of a new, empty database, with name and password."""
        name = f"t{next(self.numbers)}"
        with psycopg.connect(self.plain("postgres"), autocommit=True) as con:
            con.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return f"postgresql+{driver}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def plain(self, name: str) -> str:
        """The address of a database as PostgreSQL's own programs read it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster while the block runs. As root it runs as the user `postgres`, because it refuses root."""
    programs = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(shutil.which("initdb") or "").parent]
    place = next((one for one in reversed(programs) if (one / "initdb").exists()), None)
    if place is None:
        pytest.fail(WAY_OUT)
    folder = Path(tempfile.mkdtemp(prefix="treadle-postgres-"))
    (folder / "password").write_text(PASSWORD)
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if who:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    login = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", folder / "password"]
    make = [place / "initdb", "--pgdata", folder / "data", *login, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
    serve = [place / "postgres", "-D", folder / "data", *(f"--{key}={value}" for key, value in options.items())]
    try:
        subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL, **who)  # type: ignore[call-overload]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **who)  # type: ignore[call-overload]
        try:
            made = Cluster(port, count())
            _wait(made, process, folder / "log")
            yield made
        finally:
            process.terminate() if process.poll() is not None else process.send_signal(2)  # fast: nobody is waited for
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(made: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(made.plain("postgres")).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def url(request: pytest.FixtureRequest, backend: str, file: Path) -> str:
    """The URL of an empty database: a file that is not there yet, or one in the session's cluster."""
    if backend == "sqlite":
        return f"sqlite:///{file}"
    database: str = request.getfixturevalue("postgres").database()
    return database
