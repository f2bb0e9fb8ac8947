"""Runs whose process has gone while nobody watched it: the server would show them at work, and wait for them.

A worker tells of a process that dies under it. Where the worker was killed as well, or between taking a run and
starting its process, nobody does; the server's own automation sees missing heartbeats, but only of runs that had one.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from infra.orchestrator.server import ask
from infra.supervisor import process

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("treadle.up")

START_SECONDS = 60.0
"""From a worker's taking a run to its process; a worker that is ended takes its claims along."""


class _State(BaseModel):
    timestamp: datetime


class _Run(BaseModel):
    id: str
    name: str
    state_type: str
    state: _State


class Lost:
    """Finds them on the home's own server: a run is lost that had no process at two looks, one after the other."""

    def __init__(self, home: Path, tag: str) -> None:
        self._home, self._tag = home, tag
        self._missed: set[str] = set()

    def close(self, api: str) -> None:
        """Say of lost runs of deployments with the tag that they crashed; raises OSError where nobody answers."""
        question = {
            "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}},
            "deployments": {"tags": {"all_": [self._tag]}},
        }
        found = TypeAdapter(list[_Run]).validate_json(ask(api, "/flow_runs/filter", question))
        alive = process.runs(self._home) if found else {}
        missed = {run.id: run for run in found if run.id not in alive and not _starting(run)}
        for name, run in missed.items():
            if name in self._missed:
                told = {"type": "CRASHED", "name": "Crashed", "message": "Its process was killed."}
                ask(api, f"/flow_runs/{name}/set_state", {"state": told, "force": True})
                log.warning("the run %s was killed; it is closed as crashed", run.name)
        self._missed = set(missed) - self._missed


def _starting(run: _Run) -> bool:
    age = (datetime.now(UTC) - run.state.timestamp).total_seconds()
    return run.state_type == "PENDING" and age < START_SECONDS
