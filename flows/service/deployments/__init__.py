"""What a server runs by itself: for every pipeline a deployment of each kind of work.

A deployment's full name is the work and the pipeline, `ingest/customers`. `apply_deployments` makes the server's what
the files in `pipelines/` say (`project/deployment_plans.py`), `start_run` makes a run of one.
"""

from __future__ import annotations

from treadle.flows.service.deployments.apply import DeploymentChange, apply_deployments, merge_waiting_runs
from treadle.flows.service.deployments.runs import start_run, worker_online

__all__ = [
    "DeploymentChange",
    "apply_deployments",
    "merge_waiting_runs",
    "start_run",
    "worker_online",
]
