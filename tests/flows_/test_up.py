"""`treadle up` on real processes: what is killed comes back, files that arrive are scored, `down` leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.home_up import KEPT, SCORED_SECONDS, SHARED, kept, processes, runs, scored, until
from tests.projects import inbox, prefect_database, tumours
from tests.worker import treadle
from treadle.flows.service import deployments
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.processes.system import run_processes
from treadle.infra.supervisor import worker_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# The stated times are 30 and 150 s with the machine to itself.
READY_SECONDS = 30.0 * SHARED
RESUMED_SECONDS = 150.0 * SHARED


@pytest.fixture
def place(clinic: tuple[Settings, PipelineConfig], server_home: Settings) -> Iterator[Settings]:
    """A home with a champion; nothing of it is left at work."""
    settings = clinic[0]
    prefect_database(settings.home, server_home)
    yield settings
    if settings.home.exists():
        treadle(settings.home, "down")
    until(lambda: processes(settings.home) == {}, 10)


def test_up_is_ready_soon_and_what_is_killed_comes_back_and_down_leaves_nothing(place: Settings) -> None:
    began = time.monotonic()
    result = treadle(place.home, "up", "--detach")
    took = time.monotonic() - began
    assert took < READY_SECONDS
    assert result["prefect"].startswith("http://127.0.0.1:")
    assert result["mlflow"].startswith("http://127.0.0.1:")
    assert result["detached"]

    until(lambda: "worker" in kept(place))
    for victims in [[name] for name in (*KEPT, "prefect")] + [[*KEPT, "prefect"]]:
        before = kept(place)
        for name in victims:
            os.kill(before[name], signal.SIGKILL)

        def back(victims: list[str] = victims, before: dict[str, int] = before) -> bool:
            now = kept(place)
            running = orchestrator.server_state(place).state is orchestrator.ServerPhase.RUNNING
            return running and all(now.get(name, 0) not in (0, before[name]) for name in victims)

        until(back)
    assert orchestrator.ui_url(place) == result["prefect"], "on the same port"
    assert kept(place)["up"] == before["up"]

    before = kept(place)
    os.kill(before["up"], signal.SIGKILL)
    assert not treadle(place.home, "up", "--detach")["already"]
    assert {name: kept(place)[name] for name in KEPT} == {name: before[name] for name in KEPT}, "they were found"
    assert treadle(place.home, "up")["already"]

    ended = treadle(place.home, "down")
    assert ended["no_longer_up"] == ended["ended"] == [str(place.home)]
    told = (place.state / "logs" / "up.log").read_text().splitlines()
    assert any("] up: ready" in line for line in told)
    for line in told:
        if "] up: " in line:
            assert datetime.fromisoformat(line[1 : line.index("]")]).utcoffset() is not None
    assert processes(place.home) == {}


def test_a_file_that_is_dropped_is_scored_by_itself_and_a_killed_run_is_taken_up_again(place: Settings) -> None:
    treadle(place.home, "up", "--detach")
    inbox(place.home).mkdir(parents=True, exist_ok=True)
    rows = tumours().drop(columns=["Malignant"])
    rows["Tumour ID"] = "new " + rows["Tumour ID"]

    rows.head(50).to_csv(inbox(place.home) / "first.csv", index=False)
    until(lambda: scored(place, 50), SCORED_SECONDS)

    rows.tail(60).to_csv(inbox(place.home) / "second.csv", index=False)
    until(lambda: runs(place, "ingest", "RUNNING") and run_processes(place.home))
    victims = [kept(place)["worker"], *run_processes(place.home).values()]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: scored(place, 60), RESUMED_SECONDS + SCORED_SECONDS)

    kept_for_a_while = worker_files.place(place)
    assert list(kept_for_a_while.iterdir()), "what the killed ones had no time to clear away"
    treadle(place.home, "down")
    assert not kept_for_a_while.exists()


def test_a_run_that_was_at_work_when_the_server_was_started_anew_goes_on_after_its_death(place: Settings) -> None:
    treadle(place.home, "up", "--detach")
    name = deployments.start_run(place, "clinic", "train", again=True, trials=4)
    until(lambda: [run for run in runs(place, "train", "RUNNING") if run["id"] == name] and run_processes(place.home))
    server = kept(place)["prefect"]
    os.kill(server, signal.SIGKILL)
    until(lambda: kept(place)["prefect"] not in (0, server))
    until(lambda: orchestrator.server_state(place).state is orchestrator.ServerPhase.RUNNING)
    os.kill(run_processes(place.home)[name], signal.SIGKILL)
    until(lambda: [run for run in runs(place, "train", "CRASHED") if run["id"] == name])
    until(lambda: [run for run in runs(place, "train", "RUNNING") if run["id"] == name], RESUMED_SECONDS)
    until(lambda: [run for run in runs(place, "train", "COMPLETED") if run["id"] == name], RESUMED_SECONDS)


def test_up_ends_with_its_children_when_it_is_told_to_and_when_its_home_is_moved(place: Settings) -> None:
    treadle(place.home, "up", "--detach")
    os.kill(kept(place)["up"], signal.SIGTERM)
    until(lambda: not {"up", *KEPT} & set(kept(place)))

    treadle(place.home, "up", "--detach")
    os.kill(kept(place)["up"], signal.SIGKILL)  # the next one takes its children over
    treadle(place.home, "up", "--detach")
    moved = shutil.move(place.home, place.home.with_name("elsewhere"))
    there = settings_.at(Path(moved))
    until(lambda: processes(place.home) == {})
    assert not treadle(there.home, "up", "--detach")["already"]
    assert set(kept(there)) >= {"up", *KEPT}
    treadle(there.home, "down")
    until(lambda: processes(there.home) == {}, 5)  # a lock is free a moment before its process is gone
