"""What is done about runs whose process died without a report: the policy as a table, and what `treadle up` does of it.

Prefect would show such a run as running, and its deployment would wait for it. `POLICY` names every place that acts.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, TypeAdapter

from treadle.infra.orchestrator.api import ask
from treadle.infra.processes import system

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.orchestrator.runs import Runs

log = logging.getLogger("treadle.up")

SILENT_SECONDS = 90
"""A run that has sent heartbeats, and none for this time, has no process."""

RETRY_SECONDS, UNBEGUN_RETRY_SECONDS = 10, 120
"""Time after a crash until the server reschedules the run. The second is for a run that had not begun: its cause, such
as a broken install, often persists longer."""

OVERDUE_SECONDS, UNBEGUN_OVERDUE_SECONDS = 30.0, 180.0
"""Time after a crash until `treadle up` reschedules a run that the server has not rescheduled; the second as above."""

ALERT_SECONDS = 60.0
"""A run that is still crashed after this time is alerted; one that had not begun may be rescheduled even later."""

MAX_STARTS = 3
"""Starts of a run at most; a run that was killed this often is not started again, because it may be the cause."""

LOOKBACK = timedelta(minutes=15)
"""Runs that crashed earlier stay crashed: they were given up, or a person has seen them."""

START_SECONDS = 60.0
"""From a worker's taking a run to its process; no worker starts a run that an earlier worker took."""


class DeadRunRule(NamedTuple):
    """What `noticed_by`, a module of ours or `Prefect's worker`, does `after_seconds` when something has happened."""

    happened: str
    noticed_by: str
    after_seconds: float
    done: Literal["crashed", "rescheduled", "failed", "alert", "new run"]


POLICY = (
    DeadRunRule("a command was killed: its file is unlocked", "infra/orchestrator/killed_commands.py", 0, "crashed"),
    DeadRunRule("the process of a deployment's run was killed", "Prefect's worker", 0, "crashed"),
    DeadRunRule("worker and process were killed, on this machine", "infra/orchestrator/dead_runs.py", 0, "crashed"),
    DeadRunRule("a run sends no heartbeat any more", "flows/service/automations.py", SILENT_SECONDS, "crashed"),
    DeadRunRule("a run crashed", "flows/service/automations.py", RETRY_SECONDS, "rescheduled"),
    DeadRunRule("a run crashed before it began", "flows/service/automations.py", UNBEGUN_RETRY_SECONDS, "rescheduled"),
    DeadRunRule("a run crashed and stays so", "infra/orchestrator/dead_runs.py", OVERDUE_SECONDS, "rescheduled"),
    DeadRunRule(
        "a run crashed before it began and stays so",
        "infra/orchestrator/dead_runs.py",
        UNBEGUN_OVERDUE_SECONDS,
        "rescheduled",
    ),
    DeadRunRule("a run starts that was killed too often", "flows/service/deployments/entrypoints.py", 0, "failed"),
    DeadRunRule("a run is still crashed", "flows/service/alerts/delivery.py", ALERT_SECONDS, "alert"),
    DeadRunRule("data came and no run has settled it", "flows/service/followups.py", 45, "new run"),
)
"""What is done in which place; two places look for the same only where one of them may be away or blind.

The server's automations act where no `treadle up` runs. `treadle up` sees processes, so it need not wait for missing
heartbeats, and it acts after a restart of the server. A restarted server can miss a crash: it holds the event back
until it sees the preceding one, which only the server before it has received.
"""


class _State(BaseModel):
    timestamp: datetime


class _Run(BaseModel):
    id: str
    name: str
    state_type: str
    state: _State


class DeadRuns:
    """Marks the runs of a home's deployments that have no process as crashed, and reschedules those that stay crashed.

    `worker` is the lock of the home's worker.
    """

    def __init__(self, home: Path, tag: str, worker: Path) -> None:
        self._home, self._tag, self._worker = home, tag, worker
        self._missed: set[str] = set()
        self._crashed_at: dict[tuple[str, datetime | None], float] = {}

    def check(self, runs: Runs) -> None:
        """Mark and reschedule; raises OSError or ValueError where the server or the system does not answer.

        On a server elsewhere no run is marked, because processes may run on other machines.
        """
        try:
            if not runs.home:
                self.close(runs.api)
        finally:
            self.reschedule(runs)

    def close(self, api: str) -> None:
        """Mark runs as crashed that had no process at two consecutive checks."""
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

    def reschedule(self, runs: Runs) -> None:
        """Reschedule crashed runs that the server has not rescheduled in its time."""
        now = time.monotonic()
        crashed = runs.crashed(datetime.now(UTC) - LOOKBACK)
        self._crashed_at = {(run.id, run.since): self._crashed_at.get((run.id, run.since), now) for run in crashed}
        for run in crashed:
            overdue = OVERDUE_SECONDS if run.begun else UNBEGUN_OVERDUE_SECONDS
            if now - self._crashed_at[run.id, run.since] > overdue:
                runs.begin_again(run.id)
                log.warning("the run %s crashed and the server did not reschedule it; it is rescheduled now", run.name)

    def _starting(self, run: _Run) -> bool:
        """Whether the current worker, as old as its lock, has just taken the run."""
        taken = run.state.timestamp.timestamp()
        today = self._worker.exists() and taken > self._worker.stat().st_mtime
        return run.state_type == "PENDING" and today and time.time() - taken < START_SECONDS
