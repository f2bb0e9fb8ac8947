"""A PostgreSQL of the tests' own: a cluster in a folder of its own, on loopback, ended with the session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
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
FIX = "these tests need PostgreSQL's initdb (Debian: apt-get install postgresql)"


class Cluster:
    """A PostgreSQL in a folder of its own, whose tables are safe from no power cut.

    As root it runs as the user `postgres`, because it refuses root.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._folder, self._numbers = folder, count()
        self._who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password") if self._who else ():
            shutil.chown(path, "postgres", "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        login = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", folder / "password"]
        make = [programs / "initdb", "--pgdata", folder / "data", *login, "--encoding", "UTF8", "--locale", "C", "-N"]
        subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL, **self._who)  # type: ignore[call-overload]
        told = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": folder, "fsync": "off"}
        self._serve = [programs / "postgres", "-D", folder / "data", *(f"--{key}={one}" for key, one in told.items())]
        self.start()

    def start(self) -> None:
        """Let it serve."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                self._serve, cwd=self._folder, stdout=output, stderr=output, **self._who
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.plain("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """End it, whoever is connected."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)

    def database(self, driver: str = "psycopg") -> str:
        """The SQLAlchemy URL of a new, empty database, with name and password."""
        name = f"t{next(self._numbers)}"
        with psycopg.connect(self.plain("postgres"), autocommit=True) as con:
            con.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return f"postgresql+{driver}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def plain(self, name: str) -> str:
        """The address of a database as PostgreSQL's own programs read it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster while the block runs."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(shutil.which("initdb") or "").parent]
    programs = next((one for one in reversed(found) if (one / "initdb").exists()), None)
    if programs is None:
        pytest.fail(FIX)
    folder = Path(tempfile.mkdtemp(prefix="treadle-postgres-"))
    try:
        made = Cluster(programs, folder)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def url(request: pytest.FixtureRequest, backend: str, file: Path) -> str:
    """The URL of an empty database: a file that is not there yet, or one in the session's cluster."""
    if backend == "sqlite":
        return f"sqlite:///{file}"
    database: str = request.getfixturevalue("postgres").database()
    return database
