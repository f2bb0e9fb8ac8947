"""`hold(...)`: one process at a time does a kind of work, on whatever machine, and one that was stopped is passed by.

A holder gives signs of life in the ledger. Who waits takes over at once from a process of this machine that is dead,
else where no sign came for `EXPIRED_SECONDS` seconds of its own clock: the clocks of two machines are never compared.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.infra.databases.ledger import Lease
from treadle.tasks.errors import Fenced, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.infra.databases.ledger import Ledger

BEAT_SECONDS = 5.0
EXPIRED_SECONDS = 60.0
LOOK_SECONDS = 0.3


@contextmanager
def hold_lease(ledger: Ledger, pipeline: str, work: str, who: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Do `work` on `pipeline` in the block, alone; yields the token that writes have to show.

    Where another is at it, `waiting` is told who, once. An error in the block that comes of having been passed by
    is raised as Fenced.
    """
    mine = _taken(ledger, pipeline, work, who, waiting)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(ledger, mine, over), name=f"lease {work}", daemon=True)
    beating.start()
    try:
        yield mine.token
    except Exception as error:
        if not isinstance(error, Fenced):
            with suppress(ServiceError):
                ledger.sign(pipeline, work, mine.token)
        raise
    finally:
        over.set()
        beating.join()
        with suppress(Fenced, ServiceError):  # then the next one waits a little
            ledger.sign(pipeline, work, mine.token, last=True)


def _taken(ledger: Ledger, pipeline: str, work: str, who: str, waiting: Callable[[str], None]) -> Lease:
    holder = f"{who}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC"
    seen, since, told = ledger.lease(pipeline, work), time.monotonic(), False
    while True:
        if seen is None or _gone(seen.process) or time.monotonic() - since > EXPIRED_SECONDS:
            mine = Lease(pipeline, work, seen.token + 1 if seen else 1, 0, holder, _process(os.getpid()))
            if ledger.take(mine, seen):
                return mine
        elif not told:
            waiting(f"waiting for {seen.holder}, which is at `{work}` of {pipeline}")
            told = True
        time.sleep(LOOK_SECONDS)
        now = ledger.lease(pipeline, work)
        if now != seen:
            seen, since = now, time.monotonic()


def _beat(ledger: Ledger, mine: Lease, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        try:
            ledger.sign(mine.pipeline, mine.work, mine.token)
        except ServiceError:
            continue  # the database may come back
        except Fenced:
            return  # the next write says so


def _gone(process: str) -> bool:
    """Whether a holder is known to be dead, or gave its lease back; of another machine nothing is known."""
    if not process:
        return True
    machine, _, identity = process.rpartition(" ")
    pid = int(identity.partition("/")[0])
    return bool(machine) and machine == _machine() and process != _process(pid)


def _process(pid: int) -> str:
    """A process's name for ever: machine, boot, name space, number and when it began; no machine where /proc is not.

    One that has died and was not buried yet has no name.
    """
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return f" {pid}/"
    return f"{_machine()} {pid}/{'' if state in 'ZX' else rest[18]}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
