"""FAULTS 15: the event that data was accepted comes a hundred times: one retrain."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prefect.events import emit_event

from tests.projects import inbox, prefect_database, tumours
from tests.worker import ended, eventually, over, runs, worker
from treadle.flows import ingest, score
from treadle.flows.ingest import ACCEPTED, pipeline_resource
from treadle.flows.service import deployments
from treadle.infra import orchestrator, stores
from treadle.infra.orchestrator import flow_context

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

TIMES = 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_a_hundred_equal_events_comes_one_training(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings
) -> None:
    settings, config = clinic
    prefect_database(settings.home, server_home)
    ledger = stores.open(settings, config.name).ledger
    before = len(ledger.versions(config.name))
    file = settings.home / "pipelines" / f"{config.name}.toml"
    file.write_text(file.read_text() + "\n[tune]\ntrials = 1\n[retrain]\non_new_rows = 1\n")
    new = tumours().assign(**{"Tumour ID": lambda rows: "new " + rows["Tumour ID"]})
    inbox(settings.home).mkdir(parents=True, exist_ok=True)
    new.to_csv(inbox(settings.home) / "new.csv", index=False)
    try:
        deployments.apply_deployments(settings)
        assert ingest.run_ingest(settings, config).accepted == len(new)
        with flow_context(settings):
            for _ in range(TIMES):
                emit_event(ACCEPTED, pipeline_resource(config.name))
        with worker(settings):
            eventually(lambda: any(run.name == f"monitor {config.name}" and ended(run) for run in runs(settings)), 400)
            eventually(lambda: all(over(run) for run in runs(settings)), 400)
        made = Counter(run.name for run in runs(settings))
        assert set(made) == {f"{work} {config.name}" for work in ("monitor", "score", "train")}
        assert max(made.values()) <= 2, "that of ingest itself may have come earlier"
        assert all(ended(run) for run in runs(settings))
        assert len(ledger.versions(config.name)) == before + 1
        assert score.run_score(settings, config).rows == 0
    finally:
        orchestrator.stop_servers(settings)
