"""What a server runs by itself: for every pipeline a deployment of each kind of work.

A deployment's full name is the work and the pipeline, `ingest/customers`. `apply` makes the server's what the files in
`pipelines/` say (`project/deployment_plans.py`), `start` makes a run of one.
"""

from __future__ import annotations

from treadle.flows.service.deployments.apply import Change, apply, gather
from treadle.flows.service.deployments.runs import attended, start

__all__ = [
    "Change",
    "apply",
    "attended",
    "gather",
    "start",
]
