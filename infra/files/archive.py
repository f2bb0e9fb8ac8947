"""Back up a home, while everything runs, as a folder of files with hashes; and restore it anywhere.

A backup is the home as a `kill -9` of everything at one moment would have left it, which the next commands repair: at
that moment, while the ledger is locked, the databases are copied and all other files are listed. Files that a commit
names are never changed afterwards, so that they can be copied later.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from treadle.infra import failpoint
from treadle.infra import settings as settings_
from treadle.infra.files.atomic import write_atomically
from treadle.infra.tracking import relocation
from treadle.tasks.errors import DataError, NewerFormat, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

FORMAT = 1
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
HINT = "_last_checkpoint"
"""Of a Delta table's files the one that is written over in place; it spares readers time, and they do without."""
LEDGER, OTHERS = "treadle.db", ("mlflow.db", "optuna.db")
FOLDERS = ("mlruns/artifacts", "data", "expectations", "pipelines")
"""`pipelines` last: with it a folder becomes a home."""
BUSY_SECONDS = 60
SETTLED_SECONDS = 3.0
"""A file of the inbox that changed within this time may not be complete."""


class Entry(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class BackupManifest(BaseModel):
    """What a backup's manifest.json says; `left_out` are files of the inbox that were still being written."""

    model_config = ConfigDict(frozen=True)

    format: int
    made_at: datetime
    treadle: str
    files: dict[str, Entry]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())


def write_backup(settings: Settings, target: Path) -> BackupManifest:
    """Write a backup of the home to `target`, an empty folder or none; a kill leaves one that the next call clears.

    Raises UsageError where there is something else, or stores are not under the home.
    """
    from importlib.metadata import version

    _embedded(settings)
    if any(target.is_relative_to(settings.home / folder) for folder in ("mlruns", "data", "expectations", "pipelines")):
        raise UsageError(f"{target} would be a part of what is backed up", "name a folder elsewhere")
    with _filling(target):
        made_at = datetime.now(UTC)
        entries, listed = _snapshot(settings, target)
        left_out = []
        for name, listed_stat in listed.items():
            with suppress(FileNotFoundError):  # of no commit, and cleared since; or taken out of the inbox
                entry = _copy(settings.home / name, target / name)
                if name.startswith("data/inbox/") and _is_changing(settings.home / name, listed_stat, made_at):
                    (target / name).unlink()
                    left_out.append(name)
                else:
                    entries[name] = entry
        manifest = BackupManifest(
            format=FORMAT, made_at=made_at, treadle=version("treadle"), files=entries, left_out=tuple(left_out)
        )
        with failpoint.around("backup.manifest"):
            write_atomically(target / MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def restore_backup(source: Path, home: Path) -> BackupManifest:
    """Make a home of the backup in `source`, in an empty folder or none; every file is compared with its hash.

    Raises UsageError where `source` is no backup or of a newer treadle, or `home` not empty; DataError where it is
    damaged: then nothing is left.
    """
    manifest = _manifest(source)
    settings = settings_.at(home)
    _embedded(settings)
    with _filling(settings.home):
        for name in sorted(manifest.files, key=lambda name: name.startswith("pipelines/")):
            try:
                there = _copy(source / name, settings.home / name)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise DataError(f"{source}: {name} is missing", "take another backup") from error
            if there != manifest.files[name]:
                raise DataError(f"{source}: {name} is not what it was when the backup was made", "take another backup")
        (settings.home / "pipelines").mkdir(exist_ok=True)
        relocation.relocate(settings)
    return manifest


def _embedded(settings: Settings) -> None:
    names = ("storage_url", "tracking_uri", "registry_uri", "ledger_url", "tuning_url")
    named = [f"{settings_.PREFIX}{name.upper()}" for name in names if getattr(settings, name)]
    if named:
        raise UsageError(
            f"{named[0]} is set: a backup holds what is under the project's folder",
            "back up that store by its own means, and copy the project's folder",
        )


def _manifest(source: Path) -> BackupManifest:
    try:
        manifest = BackupManifest.model_validate_json((source / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{source}: no backup, or one that was not finished", "name one of: treadle backup") from error
    if manifest.format > FORMAT:
        raise NewerFormat(f"{source}", manifest.format, FORMAT)
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.parts[0] not in {one.split("/")[0] for one in FOLDERS}:
            raise DataError(f"{source}: its manifest names {name!r}, which is no file of a project", "do not use it")
    return manifest


@contextmanager
def _filling(folder: Path) -> Iterator[None]:
    """Fill an empty folder, marked as unfinished meanwhile; an error leaves it empty, a kill to the next call."""
    marker = folder / UNFINISHED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not marker.exists():
            raise UsageError(f"{folder} is not empty", "name an empty folder, or one that does not exist yet")
        _empty(folder)
        marker.touch()
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UsageError(f"{folder}: no folder that can be written", "name another one") from error
    try:
        yield
    except BaseException:
        _empty(folder)
        raise
    marker.unlink()


def _empty(folder: Path) -> None:
    for path in sorted(folder.iterdir(), key=lambda path: path.name == UNFINISHED):  # the marker last
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _snapshot(settings: Settings, target: Path) -> tuple[dict[str, Entry], dict[str, tuple[int, int]]]:
    """Copy the databases and list all other files (size, time of change in ns), while the ledger is locked."""
    entries = {}
    with _ledger_locked(settings.mlruns / LEDGER):
        for name in (LEDGER, *OTHERS):
            if (settings.mlruns / name).exists():
                copy = target / "mlruns" / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                with (
                    closing(sqlite3.connect(settings.mlruns / name, timeout=BUSY_SECONDS)) as source,
                    closing(sqlite3.connect(copy)) as there,
                ):
                    source.backup(there)
                    if name == LEDGER:
                        _release_leases(there)
                    there.execute("PRAGMA journal_mode = DELETE")  # one file, whole
                entries[f"mlruns/{name}"] = _hashed(copy)
        listed = {name: facts for folder in FOLDERS for name, facts in _files(settings.home, folder)}
    return entries, listed


def _release_leases(ledger: sqlite3.Connection) -> None:
    """Release all leases: in the restored project their holders do not exist."""
    with suppress(sqlite3.OperationalError), ledger:  # the first ledgers had none
        ledger.execute("UPDATE leases SET process = ''")


@contextmanager
def _ledger_locked(file: Path) -> Iterator[None]:
    if not file.exists():
        yield
        return
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        yield
        con.execute("ROLLBACK")


def _files(home: Path, folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for place, _, names in os.walk(home / folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                # a person who can place links here must not choose what is copied
                if name != HINT and path.is_file() and not path.is_symlink():
                    file_stat = path.stat()
                    yield path.relative_to(home).as_posix(), (file_stat.st_size, file_stat.st_mtime_ns)


def _is_changing(path: Path, listed_stat: tuple[int, int], made_at: datetime) -> bool:
    file_stat = path.stat()
    young = file_stat.st_mtime > made_at.timestamp() - SETTLED_SECONDS
    return young or (file_stat.st_size, file_stat.st_mtime_ns) != listed_stat


def _copy(source: Path, target: Path) -> Entry:
    with source.open("rb") as file:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
    shutil.copystat(source, target)
    return _hashed(target)


def _hashed(path: Path) -> Entry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(sha256=digest, size=path.stat().st_size)
