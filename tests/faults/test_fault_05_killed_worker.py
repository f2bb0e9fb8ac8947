"""FAULTS 5: worker and flow are killed, nobody of ours watches: marked as crashed within 120 s, then gone on with."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType

from tests.projects import prefect_database
from tests.worker import ended, eventually, runs, worker
from treadle.flows.service import deployments
from treadle.infra import orchestrator, stores
from treadle.infra.orchestrator.api import ask
from treadle.infra.processes.system import run_processes

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

CRASHED_SECONDS = 120.0
TRAINING = {"again": True, "trials": 10_000, "budget_seconds": 60.0}


def heartbeats(settings: Settings, run: str) -> int:
    """How many heartbeats of the run the server has received."""
    wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
    return int(json.loads(ask(orchestrator.server_state(settings).url, "/events/filter", {"filter": wanted}))["total"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_was_killed_with_its_worker_is_marked_and_another_worker_takes_it_up(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings
) -> None:
    settings, config = clinic
    prefect_database(settings.home, server_home)
    ledger = stores.open(settings, config.name).ledger
    before = ledger.versions(config.name)
    try:
        deployments.apply_deployments(settings)
        with worker(settings) as first:
            name = deployments.start_run(settings, config.name, "train", **TRAINING)

            def run() -> FlowRun:
                return next(one for one in runs(settings) if one.id == UUID(name))

            eventually(lambda: run().state_type == StateType.RUNNING and run_processes(settings.home))
            eventually(lambda: heartbeats(settings, name))  # before its first one the server cannot miss any
            for pid in (first.pid, *run_processes(settings.home).values()):
                os.kill(pid, signal.SIGKILL)
        took = eventually(lambda: run().state_type == StateType.CRASHED, CRASHED_SECONDS)
        assert ledger.versions(config.name) == before
        with worker(settings):
            eventually(lambda: ended(run()), 300)
        assert run().run_count == 2
        assert len(ledger.versions(config.name)) == len(before) + 1
        assert took < CRASHED_SECONDS
    finally:
        orchestrator.stop_servers(settings)
