"""A process that is known by a lock: it holds a file's lock as long as it lives, and writes there who it is.

So it is found by whoever comes later, a number that the system has given to another process is never taken for it,
and of two that are started one stays.
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
LOOK_SECONDS = 0.1
GLANCE_SECONDS = 0.2
PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What a process wrote of itself. `home` is empty unless it is at work; `port` is where it listens, or did.

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
    file = path.open("a+")
    deadline = time.monotonic() + GLANCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # perhaps by somebody who only looks who holds it
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(GLANCE_SECONDS / 10)
        else:
            write_record(file, ProcessRecord(os.getpid(), port=last_record(path).port))
            return file


def write_record(file: IO[str], known: ProcessRecord) -> None:
    """Say in a lock file that we hold who we are."""
    file.seek(0)
    file.truncate()
    file.write(json.dumps(asdict(known)))
    file.flush()


def last_record(path: Path) -> ProcessRecord:
    """What was written last, by a living process or a dead one."""
    try:
        return ProcessRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return ProcessRecord()


def holder(path: Path) -> ProcessRecord | None:
    """Who holds the lock; None where nobody does."""
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


def end_holder_of(path: Path, patience: float = STOP_SECONDS) -> bool:
    """End the process that holds the lock: asked first, made to after `patience` seconds; whether there was one."""
    known = holder(path)
    if known is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        if known.pid:
            try:
                os.kill(known.pid, number)
            except ProcessLookupError:
                return True
            except PermissionError as error:
                raise ServiceError(f"process {known.pid} belongs to somebody else", "ask them") from error
        while time.monotonic() < deadline:
            now = holder(path)
            if now is None or (known.pid and now.pid != known.pid):
                return True
            known = now
            time.sleep(LOOK_SECONDS)
    return True


def end_holder(file: IO[str], patience: float = STOP_SECONDS) -> None:
    """End the process that holds the lock of an open file, wherever that file is by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _is_held(file):
            return
        file.seek(0)
        with suppress(ValueError, TypeError, ProcessLookupError, PermissionError):
            known = ProcessRecord(**json.loads(file.read()))
            if known.pid:  # 0 would be our own group
                os.kill(known.pid, number)
        deadline = time.monotonic() + patience
        while _is_held(file) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)


def ask_to_end(pid: int) -> None:
    """Ask a process to end, without waiting for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def run_processes(home: Path) -> dict[str, int]:
    """The living processes that a worker of this home started for flow runs: run id -> process id.

    Known by their environment, which only Linux lets us read; elsewhere none is found.
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


def end_runs(home: Path, patience: float = STOP_SECONDS) -> None:
    """End the flow runs of a worker of this home; they tell the server that they crashed, as far as they can."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        for pid in run_processes(home).values():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while run_processes(home) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
