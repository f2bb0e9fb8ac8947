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
from typing import IO, TYPE_CHECKING

from filelock import lock_descriptor

from treadle.infra.processes.system import run_processes
from treadle.infra.settings import LOOPBACK
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings

STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
READER_SECONDS = 0.2
"""A process that only reads a record holds its lock for less than this."""


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
    file = locked_file(path)
    if file is not None:
        write_record(file, ProcessRecord(os.getpid(), port=last_record(path).port))
    return file


def locked_file(path: Path) -> IO[str] | None:
    """The file, created where there is none, locked until it is closed; None where another process has the lock."""
    file = open(path, "r+", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))  # noqa: SIM115
    deadline = time.monotonic() + READER_SECONDS
    while not lock_descriptor(file.fileno(), blocking=False):
        if time.monotonic() > deadline:
            file.close()
            return None
        time.sleep(READER_SECONDS / 10)  # perhaps by a process that only reads the record
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
        with path.open("r") as file:
            return _read_record(file)
    except OSError:
        return ProcessRecord()


def _read_record(file: IO[str]) -> ProcessRecord:
    """The record in an open lock file; an empty one where it is unreadable, also at a second look.

    A read beside a write may find a part of both records, as long as the writer is not done.
    """
    deadline = time.monotonic() + READER_SECONDS
    while True:
        file.seek(0)
        text = file.read()
        found = _record(text)
        if found != ProcessRecord() or not text.strip() or time.monotonic() > deadline:
            return found
        time.sleep(READER_SECONDS / 100)


def _record(text: str) -> ProcessRecord:
    """The record of a lock file's text; Prefect's server writes its process id alone."""
    try:
        found = json.loads(text)
        return ProcessRecord(found) if isinstance(found, int) else ProcessRecord(**found)
    except (ValueError, TypeError):
        return ProcessRecord()


def holder(path: Path) -> ProcessRecord | None:
    """The record of the process that holds the lock; None where the lock is free."""
    try:
        with path.open("r") as file:
            return _holder(file)
    except OSError:
        return None


def _holder(file: IO[str]) -> ProcessRecord | None:
    """The same for an open lock file, wherever that file is by now.

    Tried with a shared lock, which filelock does not have: so processes that read at the same time find no other.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_record(file)
    fcntl.flock(file, fcntl.LOCK_UN)
    return None


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
    """End the process that holds the lock at `path`; see `end_holder`."""
    try:
        file = path.open("r")
    except OSError:
        return False
    with file:
        return end_holder(file, grace_seconds)


def end_holder(file: IO[str], grace_seconds: float = STOP_SECONDS) -> bool:
    """End the process that holds the lock of an open file, wherever that file is by now.

    It is ended by force after `grace_seconds`. Returns whether there was one. Raises ServiceError where it is another
    user's.
    """
    record, deadline = _holder(file), time.monotonic() + grace_seconds
    if record is None:
        return False
    while record and not record.pid and time.monotonic() < deadline:  # just started, its record not written yet
        time.sleep(POLL_SECONDS)
        record = _holder(file)
    if record is None or not record.pid:  # as the address of a signal 0 would be our own process group
        return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(record.pid, number)
        except ProcessLookupError:
            return True
        except PermissionError as error:
            raise ServiceError(f"process {record.pid} belongs to another user", "ask its owner") from error
        deadline = time.monotonic() + grace_seconds
        while (now := _holder(file)) and now.pid in {0, record.pid}:  # 0: it is about to write another record
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return True
    return True


def ask_to_end(pid: int) -> None:
    """Ask a process to end, without waiting for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def end_runs(home: Path, grace_seconds: float = STOP_SECONDS) -> None:
    """End the flow runs of a worker of this home; they report to the server that they crashed, as far as they can."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + grace_seconds
        with suppress(OSError):  # also where the system does not show them
            for pid in run_processes(home).values():
                with suppress(OSError):
                    os.kill(pid, number)
            while run_processes(home) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
