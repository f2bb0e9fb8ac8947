"""Atomic writes: readers find the former content or the new one, also where the writer is killed."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@contextmanager
def replacing(path: Path, rename: AbstractContextManager[None] | None = None) -> Iterator[Path]:
    """Yield an empty file beside `path` for the block to fill; then sync it to disk and rename it to `path`.

    The new file has the rights of the file that it replaces, from the start; folders are created. Where the block
    raises, `path` stays as it is. Only the rename happens within `rename`. For one writer of `path` at a time: callers
    with several hold a lock.
    Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.unlink(missing_ok=True)  # of a writer that was killed
        aside.touch()
        with suppress(FileNotFoundError):
            aside.chmod(stat.S_IMODE(path.stat().st_mode))
        yield aside
        _sync(aside)
        with rename or nullcontext():
            aside.replace(path)
            with suppress(OSError):  # not every file system syncs a folder's entries
                _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Make `content`, text as UTF-8, the content of the file at `path`, which is returned; see `replacing`."""
    with replacing(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _sync(path: Path) -> None:
    """Make the system write a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
