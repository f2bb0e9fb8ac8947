"""The bundle's files as bytes: written aside and renamed, read only where every one is what the manifest says.

The scorer repeats `verified` (infra/tracking/scorer/verification.py).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path  # noqa: TC003 - part of a public signature
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from treadle.tasks.commands import Command
from treadle.tasks.dataset.split import SplitSpec
from treadle.tasks.errors import BundleError, NewerFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 2
"""Format 1 held one booster, at the top; it is read like a bundle whose two boosters are the same."""
MANIFEST = "manifest.json"
Part = Literal["judged", "serving"]
PARTS: tuple[Part, ...] = ("judged", "serving")
"""The folders of a bundle: the booster that the gate judged, and the one that answers."""
PART_FILES = ("model.ubj", "spec.json")
NEEDED = ("golden.parquet", "reference.parquet", "schema.json")
FIX = ("fetch the model version again, promote another one, or train: ", Command("models"))


def _time_from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    return date.fromisoformat(value) if len(value) == len("2013-09-01") else datetime.fromisoformat(value)


class BundleFacts(BaseModel):
    """Where a model comes from; nothing says when it was trained, so that the same run gives the same digest.

    `trained_until` is the last value of the time column among the rows that the serving booster was fitted on; None
    without one. `split` parted the rows of `data_version`, so that those of the judged booster can be found again;
    without it they were all of them. `judged_from` is where the holdout of a time split begins, `mature_after` how
    old the rows had to be, empty where any age would do. `cut_after`: a time split's holdout was all that is later,
    None where its share cut it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_version: str
    config_digest: str
    seed: int
    trained_until: Annotated[datetime | date | int | float | None, BeforeValidator(_time_from_text)] = None
    split: SplitSpec | None = None
    mature_after: str = ""
    cut_after: Annotated[datetime | date | int | float | None, BeforeValidator(_time_from_text)] = None
    judged_from: Annotated[datetime | date | int | float | None, BeforeValidator(_time_from_text)] = None
    code_version: str = ""
    lock_hash: str = ""


class FileEntry(BaseModel):
    """One file of the bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class BundleManifest(BaseModel):
    """What manifest.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 2
    files: dict[str, FileEntry]
    facts: BundleFacts
    libraries: dict[str, str]

    def name_in(self, part: Part, name: str) -> str:
        """Where the bundle keeps a file of one of its boosters."""
        return f"{part}/{name}" if self.format > 1 else name

    @property
    def needed(self) -> set[str]:
        """The files without which it is no bundle."""
        return {*NEEDED, *(self.name_in(part, name) for part in PARTS for name in PART_FILES)}


def publish_bundle(folder: Path, contents: Mapping[str, bytes], facts: BundleFacts) -> str:
    """Write `contents` (name -> bytes) and their manifest to `folder`, in the place of an earlier one.

    Returns the digest. The folder is written aside and renamed: readers never see half a bundle.
    """
    files = {name: FileEntry(sha256=sha256(data), size=len(data)) for name, data in sorted(contents.items())}
    manifest = canonical_json(BundleManifest(files=files, facts=facts, libraries=libraries()))
    aside, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, data in {**contents, MANIFEST: manifest}.items():
        (aside / name).parent.mkdir(exist_ok=True)
        (aside / name).write_bytes(data)
    if folder.exists():
        folder.replace(old)
    aside.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    return sha256(manifest)


def verified(folder: Path, digest: str | None = None) -> tuple[BundleManifest, dict[str, bytes]]:
    """The manifest and the bytes of every file that it names, all of them checked before anything else is read.

    Raises BundleError where anything is missing, extra, changed or no plain file, NewerFormat for a bundle of a newer
    treadle.
    """
    if folder.is_symlink():
        raise BundleError(f"{folder}: is a link, no folder", FIX)
    if not folder.is_dir():
        raise BundleError(f"{folder}: there is no model bundle", FIX)
    there = _files(folder)
    for name, path in there.items():
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"{folder}: {name!r} is no plain file", FIX)
    if MANIFEST not in there:
        raise BundleError(f"{folder}: {MANIFEST} is missing", FIX)
    text = (folder / MANIFEST).read_bytes()
    if digest is not None and sha256(text) != digest:
        raise BundleError(f"{folder}: digest is {sha256(text)[:12]}, not {digest[:12]}", FIX)
    manifest = _manifest(folder, text)
    names = there.keys() - {MANIFEST}
    if extra := sorted(names - manifest.files.keys()):
        raise BundleError(f"{folder}: {extra[0]!r} does not belong here: the manifest does not name it", FIX)
    if gone := sorted((manifest.files.keys() | manifest.needed) - names):
        raise BundleError(f"{folder}: {gone[0]!r} is missing", FIX)
    contents = {}
    for name, entry in manifest.files.items():
        if (folder / name).stat().st_size == entry.size:
            contents[name] = (folder / name).read_bytes()
        if name not in contents or sha256(contents[name]) != entry.sha256:
            raise BundleError(f"{folder}: {name!r} is damaged: it is not what the manifest says", FIX)
    return manifest, contents


def _files(folder: Path) -> dict[str, Path]:
    """Everything in a bundle by its name, that in the folders of its boosters too."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name in PARTS and path.is_dir() and not path.is_symlink():
            found |= {f"{path.name}/{inner.name}": inner for inner in sorted(path.iterdir())}
        else:
            found[path.name] = path
    return found


def _manifest(folder: Path, text: bytes) -> BundleManifest:
    try:
        return BundleManifest.model_validate_json(text)
    except ValidationError as error:
        with suppress(ValueError, KeyError, TypeError):  # what is no JSON or names no format is not ours
            if (made := int(json.loads(text)["format"])) > FORMAT:
                raise NewerFormat(f"{folder}", made, FORMAT) from error
        raise BundleError(f"{folder}: {MANIFEST} is not ours: {error.errors()[0]['msg']}", FIX) from error


def canonical_json(value: BaseModel | dict[str, list[dict[str, object]]]) -> bytes:
    """JSON of which the same value always gives the same bytes: keys sorted, no spaces, UTF-8."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return (json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def libraries(*more: str) -> dict[str, str]:
    """The versions of Python and of the libraries that a model's answers hang on, and of those named."""
    from importlib.metadata import version

    python = ".".join(str(part) for part in sys.version_info[:3])
    return {"python": python, **{name: version(name) for name in ("numpy", "pandas", "pyarrow", "xgboost", *more)}}
