"""Files that people bring: which ones a source has, and their fingerprints."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from treadle.tasks.errors import UnreadableFile, UsageError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence


log = logging.getLogger("treadle.sources")

TEXT = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET = (".parquet", ".pq")
READABLE = TEXT + PARQUET


def find_files(
    home: Path, source: str | tuple[str, ...], paths: Sequence[Path] = (), *, warn: bool = True
) -> list[Path]:
    """The files of `source` (files, folders or globs, relative to `home`), or of `paths` where some are named.

    A folder stands for the readable files in and under it. Hidden files, `*.part` and `*.sha256` are left out; so are
    files that come twice, and, in a source, symbolic links that lead out of both the home and the source's folder:
    a person who may drop files there must not choose what is read (with `warn` the log names the first). Sorted within
    each entry, so that months arrive in order.

    Raises UsageError for one of `paths` that does not exist; a source that finds nothing is an empty list.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder", "name one that exists")
        found += _files(path, named=True)
    if not paths:
        for entry in (source,) if isinstance(source, str) else source:
            whole = home / Path(entry).expanduser()
            matches = [whole] if whole.exists() else [Path(match) for match in glob.glob(str(whole), recursive=True)]
            for match in sorted(matches):
                found += _inside(_files(match, named=False), home, whole, warn)
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def _inside(files: list[Path], home: Path, source: Path, warn: bool) -> list[Path]:
    """Those of a source's files to which no link leads out of the home and the source.

    The source itself, up to its first wildcard, may be a link. With `warn` the log names the first of the others.
    """
    parts = source.parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    places = (home.resolve(), Path(*parts[:fixed]).resolve())
    kept = [file for file in files if any(file.resolve().is_relative_to(place) for place in places)]
    if warn and len(kept) < len(files):
        first = next(file for file in files if file not in kept)
        log.warning(
            "%s: a link leads out of the project; %d file(s) left alone, name one to ingest it",
            first,
            len(files) - len(kept),
        )
    return kept


def covers(home: Path, source: str | tuple[str, ...], path: Path) -> bool:
    """Whether `path`, there or not, is where `source` looks for files: what is written there would be ingested."""
    whole = path.resolve()
    for entry in (source,) if isinstance(source, str) else source:
        place = (home / Path(entry).expanduser()).resolve()
        # fnmatch lets * cross folders, and so does find(): a glob's match that is a folder stands for all in it
        if place == whole or place in whole.parents or fnmatch.fnmatchcase(str(whole), str(place)):
            return True
    return False


def fingerprint(path: Path) -> str:
    """The sha256 of a file's content in hex; raises UnreadableFile where it cannot be read."""
    with open_file(path) as file:
        return hashlib.file_digest(cast("io.BufferedReader", file), "sha256").hexdigest()


def _files(path: Path, named: bool) -> list[Path]:
    """`path` itself where it is a file, else the readable files under it."""
    if path.is_file():
        return [path] if named or not _ignored(path.name) else []
    inside = [file for file in path.rglob("*") if file.is_file() and file_ending(file, strict=False)]
    return sorted(file for file in inside if not any(_ignored(part) for part in file.relative_to(path).parts))


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.endswith((".part", ".sha256"))


def file_ending(path: Path, strict: bool = True) -> str:
    """Return which of `READABLE` the file's name ends with, in lower case; empty for another one unless `strict`.

    Raises UnreadableFile, with `strict`, for a name with none of these endings.
    """
    name = path.name.lower()
    for ending in READABLE:
        if name.endswith(ending):
            return ending
    if not strict:
        return ""
    what = f"cannot read '{path.suffix}' files" if path.suffix else "its name has no ending that says how to read it"
    raise UnreadableFile(path.name, what, f"send one of {', '.join(READABLE)}")


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """A file for reading; raises UnreadableFile with the system's error in one line."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UnreadableFile(str(path), f"cannot be read ({error.strerror or error})") from error
