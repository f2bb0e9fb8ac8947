"""A bundle's files against its manifest, before anything is parsed.

Repeats tasks/bundle/manifest.py (`verified`) and infra/stores.py (`alone_in_its_model`).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODEL_FILES = {"MLmodel", "artifacts", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
PARTS = ("judged", "serving")
MODEL_FILES |= {"scorer.py", "__pycache__"}  # the joined file, and what Python keeps of it


def verified(folder: Path) -> dict[str, bytes]:
    """The bundle's files, each as its manifest says, and no other; raises ValueError before anything is parsed."""
    beside = {path.name for path in folder.parent.iterdir()} - {folder.name}
    if (model := folder.parents[1] / "MLmodel").exists() and (
        strange := sorted(beside | ({path.name for path in model.parent.iterdir()} - MODEL_FILES))
    ):
        raise ValueError(f"model bundle: {strange[0]!r} does not belong beside it")
    there = bundle_files(folder)
    if odd := [name for name, path in there.items() if folder.is_symlink() or path.is_symlink() or not path.is_file()]:
        raise ValueError(f"model bundle: {odd[0]!r} is no plain file")
    if "manifest.json" not in there:
        raise ValueError("model bundle: manifest.json is missing")
    files = json.loads(there.pop("manifest.json").read_bytes())["files"]
    if different := sorted(there.keys() ^ files.keys()):
        raise ValueError(f"model bundle: {different[0]!r} is missing, or is not in the manifest")
    contents = {name: path.read_bytes() for name, path in there.items()}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
            raise ValueError(f"model bundle: {name!r} is damaged: it is not what the manifest says")
    return contents


def bundle_files(folder: Path) -> dict[str, Path]:
    """Everything in a bundle by its name, that in the folders of its two boosters too."""
    found = {}
    for path in folder.iterdir():
        if path.name in PARTS and path.is_dir() and not path.is_symlink():
            found.update({f"{path.name}/{inner.name}": inner for inner in path.iterdir()})
        else:
            found[path.name] = path
    return found
