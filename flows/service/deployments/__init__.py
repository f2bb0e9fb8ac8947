"""A server's deployments: one for each kind of work on each pipeline.

A deployment's full name is the work and the pipeline, `ingest/customers`. `apply_deployments` applies the files in
`pipelines/` to the server (`project/deployment_plans.py`), `start_run` creates a run of a deployment.
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
