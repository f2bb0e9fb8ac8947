"""FAULTS 16: the event that data was accepted is lost: the next looks of `treadle up` find what did not come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, prefect_database, tumours
from tests.worker import ended, eventually, runs, treadle
from treadle.infra import stores
from treadle.infra.orchestrator import connected, flow_context

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

FOUND_SECONDS = 300.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_file_whose_event_nobody_heard_is_scored_and_what_else_it_calls_for_is_done(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings
) -> None:
    settings, config = clinic
    prefect_database(settings.home, server_home)
    tables = stores.open(settings, config.name).tables
    rows = tumours().head(50).drop(columns="Malignant")
    rows["Tumour ID"] = "new " + rows["Tumour ID"]
    try:
        treadle(settings.home, "up", "--detach")
        with flow_context(settings), connected() as client:
            for one in client.read_automations():
                if "treadle" in one.tags:
                    client.delete_automation(one.id)
        inbox(settings.home).mkdir(parents=True, exist_ok=True)
        rows.to_csv(inbox(settings.home) / "new.csv", index=False)
        eventually(lambda: tables.version("predictions") >= 0, FOUND_SECONDS)
        names = {f"{work} {config.name}" for work in ("ingest", "score", "train", "monitor")}
        eventually(lambda: {run.name for run in runs(settings) if ended(run)} == names, FOUND_SECONDS)
        settled = settings.state / "up" / "settled.json"
        eventually(settled.exists)
    finally:
        treadle(settings.home, "down")
