"""SQLite files that are created atomically: built under another name and a lock, then renamed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from treadle.infra import failpoint
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def file_of(url: str) -> Path | None:
    """The file behind a SQLite URL; None for another database or one in memory."""
    from treadle.infra.databases import engines

    address = engines.parsed(url)
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        return None
    return Path(address.database)


def url_of(path: Path) -> str:
    """The SQLAlchemy URL of a SQLite file, whatever characters its folders have."""
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def make(path: Path, build: Callable[[Path], None]) -> None:
    """Create the database at `path` with `build(aside)` where it does not exist.

    `build` leaves a closed database at the path that it is given. A kill at any point leaves either no
    database or a whole one; of several processes one builds and the others wait. MLflow's own creation,
    killed in the middle, leaves a file that no later start can repair.
    """
    if path.exists():
        return
    aside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return
            for part in ("", "-journal", "-wal", "-shm"):  # of a build that was killed
                aside.with_name(aside.name + part).unlink(missing_ok=True)
            with failpoint.around("database.build"):
                build(aside)
            with failpoint.around("database.reveal"):
                aside.replace(path)
    except PermissionError as error:
        raise UsageError(f"{path.parent}: no right to write here", "make the folder writable") from error
