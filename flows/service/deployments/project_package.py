"""A pipeline's files as part of its deployment on a Prefect server, so that a run has them on any worker.

Two steps of `infra/deploy/prefect.yaml`: `pack` reads the project when it is deployed, `unpack` writes its files to the
run's home, which may be an empty folder.
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

FORMER_NAME = "carried.json"
"""Name of `project_package.json`, the record of the files that we wrote, in treadle 0.1.0."""


def pack(project: str = ".", pipeline: str = "") -> dict[str, object]:
    """The pipeline's `files` as base64 by their path in the project, and by work the schedule in the pipeline's file.

    Work without a schedule gets one that is not `active`, because prefect.yaml needs one. Base64, because a step's
    output is inserted into templates, where braces in a suite would be placeholders. An argument whose variable is not
    set has its default. Raises UsageError where there is no such project or pipeline, ConfigError for an invalid file.
    """
    from treadle.flows.context.loss_module import loss_file
    from treadle.flows.project import deployment_plans
    from treadle.infra import settings as settings_
    from treadle.tasks.config.load import load_config

    home = Path(project).expanduser().resolve()
    names = [name for name in (f"pipelines/{pipeline}.toml", f"expectations/{pipeline}.json") if (home / name).exists()]
    if not names:
        raise UsageError(
            f"PROJECT={project}, PIPELINE={pipeline}: there is no {home / 'pipelines' / f'{pipeline}.toml'}",
            "let PROJECT name the project's folder, and PIPELINE a file in its pipelines/ without .toml",
        )
    planned = deployment_plans.plans(settings_.at(home))
    if pipeline in planned.refused:
        raise planned.refused[pipeline]
    if names[0].endswith(".toml") and (loss := loss_file(home, load_config(home / names[0]).model.objective)):
        names.append(f"pipelines/{loss.name}")
    package: dict[str, object] = {"files": {name: b64encode((home / name).read_bytes()).decode() for name in names}}
    for plan in planned.wanted:
        if plan.pipeline == pipeline:
            package |= {
                "timezone": plan.timezone,
                plan.work: {"cron": plan.schedule or NEVER, "active": bool(plan.schedule)},
            }
    return package


def unpack(home: str, files: Mapping[str, str]) -> dict[str, str]:
    """Write the files to the run's home and make it the current folder; returns it as `directory`.

    A file that a person put there, or changed since, stays as it is. May be killed and repeated at any point.
    """
    from filelock import FileLock

    from treadle.infra.files.atomic import write_atomically

    folder = Path(home)
    record, former = folder / ".treadle" / "project_package.json", folder / ".treadle" / FORMER_NAME
    record.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(record.with_suffix(".lock")):  # runs of several pipelines may begin at once
        recorded = next((path for path in (record, former) if path.exists()), None)
        ours: dict[str, list[str]] = json.loads(recorded.read_text()) if recorded else {}
        new = {name: b64decode(content) for name, content in files.items()}
        for name, content in list(new.items()):
            present = _digest((folder / name).read_bytes()) if (folder / name).exists() else ""
            if present and present not in ours.get(name, ()):
                del new[name]
            else:
                ours[name] = [present, _digest(content)]
        write_atomically(
            record, json.dumps(ours).encode()
        )  # first: after a kill, the files written below count as ours
        for name, content in new.items():
            write_atomically(folder / name, content)
    os.chdir(folder)
    return {"directory": str(folder)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
