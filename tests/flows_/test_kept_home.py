"""A home that an earlier version kept at work goes on under this one: its stores, deployments, schedules and memory."""

from __future__ import annotations

import json
import shutil
import socket
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.harness import parcels
from tests.home_up import kept, processes, runs, scored, until
from tests.projects import inbox
from tests.worker import treadle
from treadle.flows import score, train
from treadle.flows.project.deployment_plans import TAG, WORKS
from treadle.flows.service.followups import Followups
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator.api import ask
from treadle.infra.orchestrator.runs import Runs
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

HOMES = sorted((Path(__file__).parents[1] / "formats" / "homes").glob("*.tar.xz"))
NAME = "parcels"
BY_THE_MINUTE_SECONDS = 240.0
"""The schedule's next minute, the server's look at schedules, and a run's start on a machine that others use too."""


@pytest.fixture(params=HOMES, ids=lambda path: path.name.partition(".")[0])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """The home, in another folder than it was made in; nothing of it is left at work."""
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path, filter="data")
    settings = settings_.at(tmp_path / "home")
    yield settings
    if processes(settings.home):
        treadle(settings.home, "down")
    assert processes(settings.home) == {}


def drop(settings: Settings, name: str, first: int) -> None:
    """Let 30 parcels without a label arrive."""
    new = parcels(30, seed=first, first=first).drop(columns="Late")
    aside = settings.state / f"{name}.csv"
    new.to_csv(aside, index=False)
    shutil.move(aside, inbox(settings.home, NAME) / f"{name}.csv")


def api(settings: Settings, path: str, question: object) -> list[dict[str, Any]]:
    return list(json.loads(ask(f"{orchestrator.ui_url(settings)}/api", path, question)))


def test_it_opens_scores_and_trains(place: Settings, prefect_server: str) -> None:
    (pipeline,) = treadle(place.home, "status")["pipelines"]
    assert pipeline["champion"]["version"] == 1
    assert [one["version"] for one in treadle(place.home, "models")["versions"]] == [1]
    config = load_config(place.home / "pipelines" / f"{NAME}.toml")
    drop(place, "newer", 7000)
    assert [batch.rows for batch in score.run_score(place, config).batches] == [30]
    parcels(100, seed=5, first=9000).to_csv(inbox(place.home, NAME) / "labelled.csv", index=False)
    trained = train.run_train(place, config, trials=1)
    assert trained.version == 2
    assert not trained.already
    assert [one["version"] for one in treadle(place.home, "models")["versions"]] == [2, 1]


def test_what_was_settled_stays_settled(place: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = Runs(f"http://127.0.0.1:{free.getsockname()[1]}/api", None, TAG)
    Followups(place).start_missing(nowhere)  # nothing is asked of a server
    (place.state / "up" / "settled.json").unlink()
    with pytest.raises(OSError, match="refused"):
        Followups(place).start_missing(nowhere)


@pytest.mark.timeout(900)
def test_up_gives_its_deployments_todays_entry_points_and_goes_on_by_schedule_and_by_file(place: Settings) -> None:
    began = datetime.now(UTC)
    changes = treadle(place.home, "up", "--detach")
    assert changes["detached"]
    deployed = api(place, "/deployments/filter", {"deployments": {"name": {"any_": [NAME]}}})
    assert sorted(one["entrypoint"] for one in deployed) == sorted(
        f"treadle.flows.service.deployments.entrypoints.{work}_deployment" for work in WORKS
    )

    def since(*states: str, work: str = "score") -> list[dict[str, Any]]:
        """Deployments' runs of after that moment; one that was at work in the earlier home crashed with it."""
        found = [run for run in runs(place, work, *states) if run["deployment_id"]]
        return [run for run in found if datetime.fromisoformat(run["expected_start_time"]) > began]

    until(lambda: since("COMPLETED", work="ingest"), BY_THE_MINUTE_SECONDS)  # it looks at what is there already
    drop(place, "dropped", 7000)
    until(lambda: len(since("COMPLETED", work="ingest")) == 2 and scored(place, 30), BY_THE_MINUTE_SECONDS)
    until(lambda: [run for run in since("COMPLETED") if run["auto_scheduled"]], BY_THE_MINUTE_SECONDS)
    bad = [run for work in WORKS for run in since("FAILED", "CRASHED", work=work)]
    assert [(run["name"], run["state"]["message"]) for run in bad] == []
    assert set(kept(place)) >= {"up", "worker", "mlflow"}
    treadle(place.home, "down")
    assert processes(place.home) == {}
