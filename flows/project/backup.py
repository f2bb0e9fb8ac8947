"""`treadle backup DIR` and `treadle restore DIR`: a home as a folder of files with hashes, and back."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path  # noqa: TC003 - part of a public signature
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from treadle.infra.files.archive import BackupManifest
    from treadle.infra.settings import Settings


class BackupResult(BaseModel):
    """A backup that was made or restored; `left_out` are files of the inbox that were still being written."""

    model_config = ConfigDict(frozen=True)

    home: str
    folder: str
    made_at: datetime
    files: int
    bytes: int
    left_out: tuple[str, ...]
    seconds: float

    def exit_code(self) -> int:
        """Always 0: an incomplete backup raises."""
        return 0


def run_backup(settings: Settings, folder: Path) -> BackupResult:
    """Back up the home to `folder`, which must be empty or not exist; any work may run meanwhile except `maintain`.

    `maintain` deletes in several steps what belongs together, so it is locked out.
    """
    from treadle.flows.context import events
    from treadle.infra.files import archive
    from treadle.infra.locks import file_lock

    def waiting(line: str) -> None:
        events.emit("backup", line)

    begun = time.monotonic()
    target = folder.expanduser().resolve()
    with ExitStack() as stack:
        for file in settings.pipelines:
            stack.enter_context(file_lock.hold_file_lock(settings, file.stem, "maintain", waiting))
        return _result(settings.home, target, archive.write_backup(settings, target), begun)


def run_restore(folder: Path, into: Path) -> BackupResult:
    """Restore the backup in `folder` as a home in the empty folder `into`."""
    from treadle.infra.files import archive

    begun = time.monotonic()
    source, home = folder.expanduser().resolve(), into.expanduser().resolve()
    return _result(home, source, archive.restore_backup(source, home), begun)


def _result(home: Path, folder: Path, manifest: BackupManifest, begun: float) -> BackupResult:
    return BackupResult(
        home=str(home),
        folder=str(folder),
        made_at=manifest.made_at,
        files=len(manifest.files),
        bytes=manifest.size,
        left_out=manifest.left_out,
        seconds=round(time.monotonic() - begun, 2),
    )
