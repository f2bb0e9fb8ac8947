"""Atomic writes: readers find the former content or the new one, also where the writer is killed."""

from __future__ import annotations

import glob
import os
import platform
import re
import stat
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


ABANDONED_SECONDS = 3_600.0
"""The unfinished file of a process that may run is kept for so long."""


@contextmanager
def replacing(
    path: Path, rename: AbstractContextManager[None] | None = None, *, durable: bool = True
) -> Iterator[Path]:
    """Yield an empty file beside `path` for the block to fill; then sync it to disk and rename it to `path`.

    The new file has the rights of the file that it replaces, from the start; folders are created. Where the block
    raises, `path` stays as it is. Only the rename happens within `rename`. Without `durable` nothing is synced: a kill
    does no harm, a loss of power may. That is for files that are made again where they are missing. Of several writers
    the last one wins: each has a file of its own.
    Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    aside = path.with_name(f".{path.name}.{_owner()}.part")
    rights: int | None = None
    try:
        aside.unlink(missing_ok=True)
        aside.touch()
        with suppress(FileNotFoundError):
            rights = stat.S_IMODE(path.stat().st_mode)
            aside.chmod(rights | stat.S_IWUSR)
        yield aside
        if rights is not None:
            aside.chmod(rights)
        if durable:
            _sync(aside)
        with rename or nullcontext():
            aside.replace(path)
            if durable:
                with suppress(OSError):  # not every file system syncs a folder's entries
                    _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> Path:
    """Make `content`, text as UTF-8, the content of the file at `path`, which is returned; see `replacing`."""
    with replacing(path, durable=durable) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _owner() -> str:
    """This process, as a part of a file's name: machine and process id."""
    return f"{re.sub('[^A-Za-z0-9]', '', platform.node())}-{os.getpid()}"


def _remove_abandoned(path: Path) -> None:
    """Remove what writers of `path` that were killed have left: of this machine's dead processes, or an hour old."""
    machine = _owner().rpartition("-")[0]
    for left in path.parent.glob(f".{glob.escape(path.name)}.*part"):
        owner = left.name[len(path.name) + 2 : -len("part")].rstrip(".")
        own_machine, _, process = owner.rpartition("-")
        with suppress(OSError):
            if not owner:  # as an earlier version called it
                left.unlink()
            elif process.isdigit():
                dead = own_machine == machine and not _runs(int(process))
                if dead or time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                    left.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    """Make the system write a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
