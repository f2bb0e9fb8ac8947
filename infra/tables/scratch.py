"""DuckDB for one piece of work: a database of its own on disk, so that big work spills instead of failing."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from treadle.tasks.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

MOST_MEMORY = 2 << 30  # bytes; beyond it DuckDB spills to the scratch folder


@contextmanager
def connect(folder: Path) -> Iterator[DuckDBPyConnection]:
    """A DuckDB connection for the block, on a scratch database under `folder` that goes when the block ends.

    Times are UTC, rows keep their order, memory is bounded (a quarter of the machine's, at most 2 GiB) and no
    extension is ever downloaded. What dead processes left in `folder` is removed on the way.

    Raises UsageError where `folder` cannot be written, ServiceError where the block's queries run out of disk or
    memory.
    """
    import duckdb

    with _own_folder(folder) as own:
        con = duckdb.connect(
            str(own / "scratch.duckdb"),
            config={
                "memory_limit": f"{_memory() >> 20}MiB",
                "temp_directory": str(own / "spill"),
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
            },
        )
        try:
            con.execute("SET TimeZone = 'UTC'")
            yield con
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise ServiceError(
                f"DuckDB: {str(error).splitlines()[0]}", f"look at the free space on the disk of {folder}"
            ) from error
        finally:
            con.close()


@contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """A new folder under `folder`, held by a lock that the system drops however its process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # no sweep between the creation of a folder and its lock
            _sweep(folder)
            own = Path(tempfile.mkdtemp(dir=folder))
            held = FileLock(own / ".held", thread_local=False)  # a stream may end in another thread
            held.acquire()
    except PermissionError as error:
        raise UsageError(f"{folder}: no right to write here", "make the folder writable") from error
    try:
        yield own
    finally:
        held.release()
        shutil.rmtree(own, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the folders of dead processes: also those that had no lock yet, or no longer, when theirs died."""
    for leftover in folder.glob("*/"):
        try:
            with FileLock(leftover / ".held", timeout=0):
                shutil.rmtree(leftover, ignore_errors=True)
        except (Timeout, FileNotFoundError):
            continue


def _memory() -> int:
    """Bytes that DuckDB may take: a quarter of the machine's, between 256 MiB and 2 GiB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(MOST_MEMORY, max(256 << 20, machine // 4)))
