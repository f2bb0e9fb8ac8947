"""`infra/deploy/prefect.yaml` and `infra/deploy/automations.yaml`, for a Prefect server and work pool of your own.

    python -m treadle.flows.service.deployments.prefect_yaml > infra/deploy/prefect.yaml
    python -m treadle.flows.service.deployments.prefect_yaml automations > infra/deploy/automations.yaml

`treadle up` needs neither: with `PREFECT_API_URL` it creates the same deployments on that server, for a process worker.
The files hold for any pipeline, project and pool; environment variables name these when the files are used, and
`project_package.py` reads the project's files then.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from treadle.flows.project.deployment_plans import TAG, WORKS, Plan

POLL_SECONDS = 60

STEPS = "treadle.flows.service.deployments.project_package"
"""Where Prefect finds the two steps."""

HEAD = f"""\
# The deployments of one pipeline, for `prefect deploy` against your own server and work pool of any type.
# Written by `python -m treadle.flows.service.deployments.prefect_yaml`; a test keeps it current. From the clone:
#
#   PREFECT_API_URL=... PROJECT=. PIPELINE=customers POOL=my-pool TREADLE_HOME=/where/a/run/is/at/home \\
#     prefect --no-prompt deploy --prefect-file infra/deploy/prefect.yaml --all
#
# The deployments contain the pipeline's files in PROJECT's pipelines/ and expectations/. A run writes them to
# TREADLE_HOME, on its worker's machine or in its container; deploy again after a change. Schedules are those of the
# pipeline's file; new files are looked for every {POLL_SECONDS} s. A run needs treadle installed
# (infra/deploy/Dockerfile). TREADLE_HOME has to last between runs, or every store has to be elsewhere:
# TREADLE_STORAGE_URL and the others, in the environment of the worker.
#
# Automations mark runs whose process died as crashed, and reschedule them. Create them once a server:
#
#   prefect automation create --from-file infra/deploy/automations.yaml
"""
AUTOMATIONS = """\
# Mark runs of treadle's deployments whose process died as crashed, and reschedule them. Create them once a server,
# after `prefect deploy`; `treadle up` creates its own. Written by
# `python -m treadle.flows.service.deployments.prefect_yaml automations`.
"""


def prefect_yaml() -> str:
    """The deployments' file."""
    pack = {"id": "project", "project": "{{ $PROJECT }}", "pipeline": "{{ $PIPELINE }}"}
    unpack = {"home": "{{ $TREADLE_HOME }}", "files": "{{ project.files }}"}
    steps = {"build": [{f"{STEPS}.pack": pack}], "pull": [{f"{STEPS}.unpack": unpack}]}
    return HEAD + _yaml({"name": "treadle", **steps, "deployments": [_deployment(work) for work in WORKS]})


def automations_yaml() -> str:
    """The automations' file."""
    from treadle.flows.service.automations import TAGGED, crash_automations

    made = crash_automations(TAGGED, f"of every deployment with the tag {TAG}")
    ours = {"name", "description", "tags", "trigger", "actions"}
    return AUTOMATIONS + _yaml({"automations": [_plain(one.model_dump_json(include=ours)) for one in made]})


def _plain(text: str) -> object:
    """The JSON's value without ids and empty fields, with lists of strings sorted: the same for every call."""

    def tidy(value: object) -> object:
        if isinstance(value, dict):
            return {key: tidy(item) for key, item in value.items() if key != "id" and item not in (None, {}, [])}
        if isinstance(value, list):
            items = [tidy(item) for item in value]
            return sorted(items, key=str) if all(isinstance(item, str) for item in items) else items
        return value

    return tidy(json.loads(text))


def _yaml(document: object) -> str:
    import yaml  # type: ignore[import-untyped]

    return f"\n{yaml.safe_dump(document, sort_keys=False, width=110)}"


def _deployment(work: str) -> dict[str, object]:
    home, pipeline = Path("{{ $TREADLE_HOME }}"), "{{ $PIPELINE }}"
    plan = next(plan for plan in (Plan(home, pipeline, name, "", "UTC") for name in WORKS) if plan.work == work)
    deployment: dict[str, object] = {
        "name": plan.pipeline,
        "description": plan.about,
        "entrypoint": plan.entrypoint,
        "tags": [TAG, plan.pipeline],
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "work_pool": {"name": "{{ $POOL }}", "job_variables": {"env": plan.environment}},
        "schedules": [{"interval": POLL_SECONDS} if work == "ingest" else _schedule(plan)],
    }
    if trigger := _trigger(plan):
        deployment["triggers"] = [trigger]
    return deployment


def _schedule(plan: Plan) -> dict[str, object]:
    """Placeholders for the schedule that `project_package.pack` reads from the pipeline's file."""
    keys = {"cron": f"{plan.work}.cron", "active": f"{plan.work}.active", "timezone": "timezone"}
    when: dict[str, object] = {field: f"{{{{ project.{key} }}}}" for field, key in keys.items()}
    return {**when, "slug": plan.work, "parameters": plan.scheduled}


def _trigger(plan: Plan) -> dict[str, object]:
    from treadle.flows.ingest import ACCEPTED, pipeline_resource
    from treadle.flows.service import automations

    common = {"type": "event", "posture": "Reactive", "threshold": 1, "within": automations.TOGETHER_SECONDS}
    if plan.work in ("score", "train"):
        late = automations.SCORED_SECONDS if plan.work == "train" else automations.TOGETHER_SECONDS
        name = f"treadle: {plan.work} new data of {plan.pipeline}"
        when = {"expect": [ACCEPTED], "match": pipeline_resource(plan.pipeline), "schedule_after": late}
        return {**common, "name": name, **when, "parameters": plan.scheduled}
    if plan.work == "monitor":
        ours = {"deployment": plan.pipeline, "flow": "train"}
        related = [{"prefect.resource.role": role, "prefect.resource.name": name} for role, name in ours.items()]
        when = {"expect": [f"{automations.EVENT}.Completed"], "match": automations.FLOW_RUNS, "match_related": related}
        return {**common, "name": f"treadle: after training {plan.pipeline}", **when}
    return {}


if __name__ == "__main__":
    print(automations_yaml() if sys.argv[1:] == ["automations"] else prefect_yaml(), end="")
