"""FAULTS 7: Prefect's server, MLflow's or a database is away: waited for and said in a line, then a clear error.

Nothing is lost: the same command, or the run itself where it waits long enough, comes to the same end.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from prefect import flow
from prefect.client.schemas.objects import State  # noqa: TC002 - Prefect reads the signatures of flows

from tests.faults.harness import FINE, Command, Workshop
from tests.mlflow_server import serving
from tests.projects import project, tumours
from treadle.flows.service.deployments import entrypoints
from treadle.infra import orchestrator, stores
from treadle.infra import settings as settings_
from treadle.infra.databases.ledger import Ledger
from treadle.infra.orchestrator import flow_context, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings

NAME = "clinic"
TRAIN = ("train", "--trials", "2", "--budget", "600")
WAITING = "does not answer"
LONGEST_SECONDS = 420.0


@pytest.mark.parametrize("away", [2, 99], ids=["for a while", "for good"])
def test_a_run_whose_database_is_away_begins_again_and_in_the_end_says_so(
    home: Path, prefect_server: str, away: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"postgresql+psycopg://treadle:hunter2@127.0.0.1:{free.getsockname()[1]}/none"
    attempts: list[str] = []

    def work(settings: Settings, _pipeline: str) -> str:
        attempts.append(nobody if len(attempts) < away else settings.ledger)
        return f"{len(Ledger(attempts[-1]).history(NAME))} moves"

    @flow
    def run() -> State[None]:
        return entrypoints._run_with_retries(work)

    monkeypatch.setenv("TREADLE_HOME", str(home))
    monkeypatch.setattr(entrypoints, "PAUSES", (0.0, 0.0, 0.0))
    with flow_context(settings_.at(home)):
        ended = run(return_state=True)
    lines = [one.getMessage() for one in caplog.records if "trying again" in one.getMessage()]
    assert len(lines) == min(away, 3)
    assert all("does not answer" in line and "\n" not in line for line in lines)
    assert ended.message is not None
    if away == 2:
        assert (ended.is_completed(), ended.message) == (True, "0 moves")
    else:
        assert ended.is_failed()
        assert "It failed after 3 more attempts." in ended.message
    assert "hunter2" not in caplog.text + ended.message


@pytest.fixture
def workshop(prefect_server: str, tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(tmp_path / "workshop", prefect_server) as opened:
        yield opened


def until(holds: Callable[[], bool], command: Command, seconds: float = LONGEST_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, command.said()
        threading.Event().wait(0.05)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mlflows_server_that_comes_back_in_time_is_all_that_a_training_needs(
    home: Path, workshop: Workshop, tmp_path: Path
) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    mlflow = tmp_path / "mlflow"
    with serving(mlflow) as url:
        command = workshop.start(home, TRAIN, TREADLE_TRACKING_URI=url)
        until(command.at_work, command)
    until(lambda: WAITING in command.said() or command.ended(), command)
    with serving(mlflow, port=urlsplit(url).port or 0):
        assert command.wait(LONGEST_SECONDS) in FINE, command.said()
    assert WAITING in command.said()
    assert len(stores.open(settings, NAME).ledger.versions(NAME)) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mlflows_server_that_stays_away_is_one_clear_error_and_the_same_command_goes_on_later(
    home: Path, workshop: Workshop, tmp_path: Path
) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    mlflow = tmp_path / "mlflow"
    with serving(mlflow) as url:
        pass
    command = workshop.start(home, TRAIN, TREADLE_TRACKING_URI=url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="2")
    assert command.wait(LONGEST_SECONDS) == 1, command.said()
    assert "MLflow: " in command.said()
    assert "fix: look at TREADLE_TRACKING_URI" in command.said()
    assert "Traceback" not in command.said()
    assert stores.open(settings, NAME).ledger.versions(NAME) == ()
    with serving(mlflow) as url:
        again = workshop.start(home, TRAIN, TREADLE_TRACKING_URI=url)
        assert again.wait(LONGEST_SECONDS) in FINE, again.said()
    assert len(stores.open(settings, NAME).ledger.versions(NAME)) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_named_prefect_server_that_stays_away_is_one_clear_error_and_the_same_command_goes_on_later(
    home: Path, migrated_elsewhere: Settings, tmp_path: Path
) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    url = server.api_url(migrated_elsewhere)
    with Workshop(tmp_path / "workshop", url) as opened:
        command = opened.start(home, TRAIN)
        until(command.at_work, command)
        served = orchestrator.server_state(migrated_elsewhere).pid
        assert served
        os.kill(served, signal.SIGKILL)
        assert command.wait(LONGEST_SECONDS) == 1, command.said()
        assert WAITING in command.said()
        assert "stopped answering" in command.said()
        assert "Traceback" not in command.said()
        assert server.api_url(migrated_elsewhere) == url
        again = opened.run(home, TRAIN)
        assert again.status in FINE, again.said()
    assert len(stores.open(settings, NAME).ledger.versions(NAME)) == 1


@pytest.fixture
def migrated_elsewhere(tmp_path: Path, server_home: Settings) -> Iterator[Settings]:
    """Another home, whose server is somebody else's to this one."""
    from tests.projects import prefect_database

    other = tmp_path / "other"
    (other / "pipelines").mkdir(parents=True)
    prefect_database(other, server_home)
    settings = settings_.at(other)
    yield settings
    orchestrator.stop_servers(settings)
