"""Processes that are found by a file lock: each holds the lock while it lives, and writes its record into the file.

So later commands find it, a process id that the system has reused is never taken for it, and of two that are started
one stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from treadle.infra.settings import LOOPBACK
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
READER_SECONDS = 0.2
"""A process that only reads a record holds its lock for less than this."""

PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What a process wrote about itself. `home` is empty unless it runs; `port` is where it listens, or did.

    `host` is where others than this machine reach it.
    """

    pid: int = 0
    home: str = ""
    url: str = ""
    port: int = 0
    host: str = LOOPBACK


def locks_folder(settings: Settings) -> Path:
    """The locks of the processes that are kept."""
    return settings.state / "up"


def take_process_lock(path: Path) -> IO[str] | None:
    """The lock file, locked, with our number in it and the port that was there; None where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "r+", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))  # noqa: SIM115
    deadline = time.monotonic() + READER_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # perhaps by a process that only reads the record
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(READER_SECONDS / 10)
        else:
            write_record(file, ProcessRecord(os.getpid(), port=last_record(path).port))
            return file


def write_record(file: IO[str], record: ProcessRecord) -> None:
    """Write our record into a lock file that we hold, at once: a reader finds the record before or this one.

    A shorter record is filled up with blanks, for a file that is cut first is empty for a moment.
    """
    text = json.dumps(asdict(record)).encode()
    os.pwrite(file.fileno(), text.ljust(os.fstat(file.fileno()).st_size), 0)


def last_record(path: Path) -> ProcessRecord:
    """What was written last, by a living process or a dead one."""
    try:
        return ProcessRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return ProcessRecord()


def holder(path: Path) -> ProcessRecord | None:
    """The record of the process that holds the lock; None where the lock is free."""
    try:
        with path.open("r") as file:
            return last_record(path) if _is_held(file) else None
    except OSError:
        return None


def _is_held(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


@contextmanager
def hold_process_lock(path: Path, home: Path, *, for_life: bool = False) -> Iterator[bool]:
    """Hold the lock as the process of `home` in the block, or `for_life`; False where another one does."""
    file = take_process_lock(path)
    if file is None:
        yield False
        return
    with file:
        write_record(file, ProcessRecord(os.getpid(), str(home)))
        try:
            yield True
        finally:
            write_record(file, ProcessRecord(os.getpid()))
            if for_life:
                os.dup(file.fileno())  # the system drops the lock with the process, and not before


def end_holder_of(path: Path, grace_seconds: float = STOP_SECONDS) -> bool:
    """End the process that holds the lock, by force after `grace_seconds`; returns whether there was one."""
    record = holder(path)
    if record is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + grace_seconds
        if record.pid:
            try:
                os.kill(record.pid, number)
            except ProcessLookupError:
                return True
            except PermissionError as error:
                raise ServiceError(f"process {record.pid} belongs to another user", "ask its owner") from error
        while time.monotonic() < deadline:
            now = holder(path)
            if now is None or (record.pid and now.pid not in {0, record.pid}):  # 0: it has not written its record yet
                return True
            record = now if now.pid else record
            time.sleep(POLL_SECONDS)
    return True


def end_holder(file: IO[str], grace_seconds: float = STOP_SECONDS) -> None:
    """End the process that holds the lock of an open file, wherever that file is by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _is_held(file):
            return
        file.seek(0)
        with suppress(ValueError, TypeError, ProcessLookupError, PermissionError):
            record = ProcessRecord(**json.loads(file.read()))
            if record.pid:  # 0 would be our own group
                os.kill(record.pid, number)
        deadline = time.monotonic() + grace_seconds
        while _is_held(file) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def ask_to_end(pid: int) -> None:
    """Ask a process to end, without waiting for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def run_processes(home: Path) -> dict[str, int]:
    """The living processes that a worker of this home started for flow runs: run id -> process id.

    Found by their environment, which only Linux lets us read; elsewhere none is found.
    """
    found = {}
    mine = f"TREADLE_HOME={home}".encode()
    for place in PROCESSES.glob("[0-9]*/environ"):
        with suppress(OSError):
            variables = place.read_bytes().split(b"\0")
            run = next((one for one in variables if one.startswith(b"PREFECT__FLOW_RUN_ID=")), b"")
            if run and mine in variables:
                found[run.partition(b"=")[2].decode()] = int(place.parent.name)
    return found


def end_runs(home: Path, grace_seconds: float = STOP_SECONDS) -> None:
    """End the flow runs of a worker of this home; they report to the server that they crashed, as far as they can."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + grace_seconds
        for pid in run_processes(home).values():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while run_processes(home) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
