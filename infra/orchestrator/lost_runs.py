"""Runs whose process ended without a report: the server would show them as running, and wait for them.

A worker reports a process that dies. Where the worker was killed as well, or between taking a run and starting its
process, there is no report; the server's own automation sees missing heartbeats, but only of runs that sent one.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from treadle.infra.orchestrator.api import ask
from treadle.infra.processes import system

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("treadle.up")

START_SECONDS = 60.0
"""From a worker's taking a run to its process; no worker starts a run that an earlier worker took."""


class _State(BaseModel):
    timestamp: datetime


class _Run(BaseModel):
    id: str
    name: str
    state_type: str
    state: _State


class LostRuns:
    """Closes lost runs on the home's own server: those that had no process at two consecutive checks.

    `worker` is the lock of the home's worker.
    """

    def __init__(self, home: Path, tag: str, worker: Path) -> None:
        self._home, self._tag, self._worker = home, tag, worker
        self._missed: set[str] = set()

    def close(self, api: str) -> None:
        """Set lost runs of deployments with the tag to crashed; raises OSError where server or system do not answer."""
        question = {
            "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}},
            "deployments": {"tags": {"all_": [self._tag]}},
        }
        found = TypeAdapter(list[_Run]).validate_json(ask(api, "/flow_runs/filter", question))
        alive = system.run_processes(self._home) if found else {}
        missed = {run.id: run for run in found if run.id not in alive and not self._starting(run)}
        for name, run in missed.items():
            if name in self._missed:
                state = {"type": "CRASHED", "name": "Crashed", "message": "Its process was killed."}
                ask(api, f"/flow_runs/{name}/set_state", {"state": state, "force": True})
                log.warning("the run %s was killed; it is closed as crashed", run.name)
        self._missed = set(missed) - self._missed

    def _starting(self, run: _Run) -> bool:
        """Whether the current worker, as old as its lock, has just taken the run."""
        taken = run.state.timestamp.timestamp()
        today = self._worker.exists() and taken > self._worker.stat().st_mtime
        return run.state_type == "PENDING" and today and time.time() - taken < START_SECONDS
