"""The folder of temporary files of a home's worker and its runs.

It is not in the home, which people copy: Prefect writes the environment of every run there, with a login.
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

from treadle.infra.processes.system import run_processes

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


def place(settings: Settings) -> Path:
    """The folder, whether or not it is there."""
    digest = hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"treadle-{os.getuid()}-{digest}"


def made(settings: Settings) -> Path:
    """The folder, created for this user alone; another one where another user has taken its name."""
    clear(settings)
    found = place(settings)
    with suppress(FileExistsError):
        found.mkdir(mode=0o700)
    return found if _is_ours(found) else Path(tempfile.mkdtemp(prefix="treadle-"))


def clear(settings: Settings) -> None:
    """Take away what a worker and runs that were killed have left, unless a run is alive."""
    found = place(settings)
    with suppress(OSError):  # the system does not show which runs live
        if _is_ours(found) and not run_processes(settings.home):
            shutil.rmtree(found, ignore_errors=True)


def _is_ours(found: Path) -> bool:
    """Whether it is our folder and closed to other users: in a shared place, another user may take its name."""
    try:
        status = found.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
