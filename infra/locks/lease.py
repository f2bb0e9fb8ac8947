"""`hold_lease(...)`: one process at a time does a kind of work, on any machine; a suspended holder loses its lease.

A holder sends heartbeats to the ledger. A waiting process takes over at once from a dead process of its own machine,
else where no heartbeat came for `EXPIRED_SECONDS` of its own clock: the clocks of two machines are never compared.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from treadle.infra.databases.ledger import Lease
from treadle.infra.processes.system import has_ended, process_identity
from treadle.tasks.errors import Fenced, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.infra.databases.ledger import Ledger

BEAT_SECONDS = 5.0
EXPIRED_SECONDS = 60.0
POLL_SECONDS = 0.3


@contextmanager
def hold_lease(ledger: Ledger, pipeline: str, work: str, who: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Do `work` on `pipeline` in the block, alone; yields the token that writes have to show.

    Where another process holds the lease, `waiting` is called once with a sentence that names it. An error in the
    block is raised as Fenced where the lease was lost meanwhile.
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
                ledger.renew_lease(pipeline, work, mine.token)
        raise
    finally:
        over.set()
        beating.join()
        with suppress(Fenced, ServiceError):  # then the next process waits until the lease expires
            ledger.renew_lease(pipeline, work, mine.token, last=True)


def _taken(ledger: Ledger, pipeline: str, work: str, who: str, waiting: Callable[[str], None]) -> Lease:
    holder = f"{who}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC"
    held, since, notified = ledger.lease(pipeline, work), time.monotonic(), False
    while True:
        if held is None or not held.process or has_ended(held.process) or time.monotonic() - since > EXPIRED_SECONDS:
            mine = Lease(pipeline, work, held.token + 1 if held else 1, 0, holder, process_identity(os.getpid()))
            if ledger.take_lease(mine, held):
                return mine
        elif not notified:
            waiting(f"waiting for {held.holder}, which is at `{work}` of {pipeline}")
            notified = True
        time.sleep(POLL_SECONDS)
        now = ledger.lease(pipeline, work)
        if now != held:
            held, since = now, time.monotonic()


def _beat(ledger: Ledger, mine: Lease, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        try:
            ledger.renew_lease(mine.pipeline, mine.work, mine.token)
        except ServiceError:
            continue  # the database may come back
        except Fenced:
            return  # the next write says so
