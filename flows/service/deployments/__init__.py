"""What a server runs by itself: for every pipeline a deployment of each kind of work.

A deployment's full name is the work and the pipeline, `ingest/customers`. `apply` makes the server's what the files in
`pipelines/` say, `differs` tells where they are not (without asking the server), `start` makes a run of one.
"""

from __future__ import annotations

from treadle.flows.project.deployment_plans import TAG, WORKS, Plan, Plans, Work, differs, plans
from treadle.flows.service.deployments.apply import Change, apply, gather
from treadle.flows.service.deployments.runs import attended, start

__all__ = [
    "TAG",
    "WORKS",
    "Change",
    "Plan",
    "Plans",
    "Work",
    "apply",
    "attended",
    "differs",
    "gather",
    "plans",
    "start",
]
