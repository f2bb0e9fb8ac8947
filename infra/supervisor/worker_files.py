"""Where a home's worker and its runs keep what they need for a while, and what becomes of it.

Not in the home, which people copy: Prefect writes there what a run's process is told, a login among it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.infra.processes import process

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


def place(settings: Settings) -> Path:
    """The folder, whether or not it is there."""
    known = hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"treadle-{os.getuid()}-{known}"


def made(settings: Settings) -> Path:
    """The folder, made for us alone; where somebody else has its name, another one."""
    clear(settings)
    found = place(settings)
    with suppress(FileExistsError):
        found.mkdir(mode=0o700)
    return found if _is_ours(found) else Path(tempfile.mkdtemp(prefix="treadle-"))


def clear(settings: Settings) -> None:
    """Take away what a worker and runs that were killed have left, unless a run is alive."""
    found = place(settings)
    if _is_ours(found) and process.PROCESSES.is_dir() and not process.run_processes(settings.home):
        shutil.rmtree(found, ignore_errors=True)


def _is_ours(found: Path) -> bool:
    """Whether it is a folder of ours that nobody else may look into: a name in a shared place may be anybody's."""
    try:
        seen = found.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid() and not seen.st_mode & 0o077
