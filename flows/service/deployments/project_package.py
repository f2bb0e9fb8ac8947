"""What a deployment on somebody's server carries of its project, so that a run finds it wherever its worker is.

Two steps of `infra/deploy/prefect.yaml`: `pack` reads the project as it is deployed, `unpack` lays out its files where
a run's home is, be it an empty folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER = "0 0 1 1 *"

EARLIER = "carried.json"
"""What treadle 0.1.0 called the file that says which files are ours."""


def pack(project: str = ".", pipeline: str = "") -> dict[str, object]:
    """The pipeline's `files`, by name in the project, and by work the schedule that its file asks for.

    Without one there is a schedule nevertheless, which is not `active`: prefect.yaml cannot do without. A file is
    base64: what a step is told is a template, to which braces in a suite would mean something. A variable that is not
    set leaves its default. Raises UsageError where there is no such project or pipeline, ConfigError for a file that
    cannot be obeyed.
    """
    from treadle.flows.project import deployment_plans
    from treadle.infra import settings as settings_

    home = Path(project).expanduser().resolve()
    names = [name for name in (f"pipelines/{pipeline}.toml", f"expectations/{pipeline}.json") if (home / name).exists()]
    if not names:
        raise UsageError(
            f"PROJECT={project}, PIPELINE={pipeline}: there is no {home / 'pipelines' / f'{pipeline}.toml'}",
            "let PROJECT name the project's folder, and PIPELINE a file in its pipelines/ without .toml",
        )
    found = deployment_plans.plans(settings_.at(home))
    if pipeline in found.refused:
        raise found.refused[pipeline]
    told: dict[str, object] = {"files": {name: b64encode((home / name).read_bytes()).decode() for name in names}}
    for plan in found.wanted:
        if plan.pipeline == pipeline:
            told |= {
                "timezone": plan.timezone,
                plan.work: {"cron": plan.schedule or NEVER, "active": bool(plan.schedule)},
            }
    return told


def unpack(home: str, files: Mapping[str, str]) -> dict[str, str]:
    """Lay the files out in the run's home, which becomes the current folder.

    A file that a person put there, or changed since, stays as it is. May be killed and repeated at any point.
    """
    from filelock import FileLock

    place = Path(home)
    memory, earlier = place / ".treadle" / "project_package.json", place / ".treadle" / EARLIER
    memory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(memory.with_suffix(".lock")):  # runs of several pipelines may begin at once
        known = next((path for path in (memory, earlier) if path.exists()), None)
        ours: dict[str, list[str]] = json.loads(known.read_text()) if known else {}
        new = {name: b64decode(content) for name, content in files.items()}
        for name, content in list(new.items()):
            there = _digest((place / name).read_bytes()) if (place / name).exists() else ""
            if there and there not in ours.get(name, ()):
                del new[name]
            else:
                ours[name] = [there, _digest(content)]
        _write(memory, json.dumps(ours).encode())  # first: a file that we are about to write is known as ours
        for name, content in new.items():
            _write(place / name, content)
    os.chdir(place)
    return {"directory": str(place)}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(content)
    aside.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
