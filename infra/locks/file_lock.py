"""A file lock for one kind of work on one pipeline: one command at a time, the others wait and name the holder.

The system drops the lock however its process ends; the text in the file is for people. The lock holds within one home
on one machine.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from filelock import lock_descriptor

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.infra.settings import Settings


@contextmanager
def hold_file_lock(settings: Settings, pipeline: str, work: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Do `work` (ingest, train, score, ...) on `pipeline` in the block, alone.

    Where another process holds the lock, `waiting` is called once with a sentence that names it, and the block begins
    when that process has ended.
    Raises UsageError where the home cannot be written.
    """
    path = settings.state / "locks" / f"{pipeline}.{work}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise UsageError(f"{path.parent}: no right to write here", "make the folder writable") from error
    with file:
        if not lock_descriptor(file.fileno(), blocking=False):
            waiting(f"waiting for {_holder(file)}, which is at `{work}` of {pipeline}")
            lock_descriptor(file.fileno())
        file.truncate(0)
        file.write(f"{settings.who}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC")
        file.flush()
        yield
        file.truncate(0)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read(200) or "another process"
