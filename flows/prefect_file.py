"""`infra/prefect.yaml`, for `prefect deploy` against somebody's own server and work pool.

    python -m flows.prefect_file > infra/prefect.yaml

`treadle up` needs no such file: with `PREFECT_API_URL` it makes the same deployments on that server by itself, for a
process worker. The file says them once for any pipeline, project and pool, which the environment names when it is used.
"""

from __future__ import annotations

from pathlib import Path

from flows.deployments import WORKS, Plan

POLL_SECONDS = 60

HEAD = f"""\
# The deployments of one pipeline, for `prefect deploy` against your own server and work pool of any type.
# Written by `python -m flows.prefect_file`; a test keeps it current. From the clone:
#
#   PREFECT_API_URL=... PIPELINE=customers POOL=my-pool TREADLE_HOME=/where/the/project/is/for/a/run \\
#     prefect --no-prompt deploy --prefect-file infra/prefect.yaml --all
#
# A run needs treadle installed and the project, with pipelines/ and expectations/, at TREADLE_HOME: on the worker's
# machine for a process pool, in the image or on a volume for others. New files are looked for every {POLL_SECONDS} s;
# other schedules stand in the pipeline's file, and `treadle up` makes deployments of them.
"""


def text() -> str:
    """The file."""
    import yaml  # type: ignore[import-untyped]

    begin = {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $TREADLE_HOME }}"}}
    told = {"name": "treadle", "pull": [begin], "deployments": [_deployment(work) for work in WORKS]}
    return f"{HEAD}\n{yaml.safe_dump(told, sort_keys=False, width=110)}"


def _deployment(work: str) -> dict[str, object]:
    home, pipeline = Path("{{ $TREADLE_HOME }}"), "{{ $PIPELINE }}"
    plan = next(one for one in (Plan(home, pipeline, name, "", "UTC") for name in WORKS) if one.work == work)
    told: dict[str, object] = {
        "name": plan.pipeline,
        "description": plan.about,
        "entrypoint": plan.entrypoint,
        "tags": ["treadle", plan.pipeline],
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "work_pool": {"name": "{{ $POOL }}", "job_variables": {"env": plan.environment}},
    }
    if work == "ingest":
        told["schedules"] = [{"interval": POLL_SECONDS}]
    elif work in ("score", "train"):
        told["triggers"] = [_on_new_data(plan)]
    return told


def _on_new_data(plan: Plan) -> dict[str, object]:
    from flows.ingest import ACCEPTED, resource

    return {
        "type": "event",
        "name": f"treadle: {plan.work} new data of {plan.pipeline}",
        "expect": [ACCEPTED],
        "match": resource(plan.pipeline),
        "posture": "Reactive",
        "threshold": 1,
        "within": 10,
        "schedule_after": 10,
        "parameters": plan.scheduled,
    }


if __name__ == "__main__":
    print(text(), end="")
