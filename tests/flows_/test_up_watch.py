from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate

from tests.receivers import hook
from tests.worker import eventually
from treadle.flows.context import events
from treadle.flows.service import deployments, up
from treadle.flows.service.deployments.runs import _waiting
from treadle.flows.service.up import _Troubles
from treadle.infra import supervisor
from treadle.infra.orchestrator import api, connected, flow_context
from treadle.infra.orchestrator.server import POOL
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


def test_what_is_wrong_is_said_once_until_it_is_well_and_up_goes_on() -> None:
    troubles, said = _Troubles(), []

    def look(what: str, error: Exception | None = None) -> None:
        with troubles.of(what):
            if error is not None:
                raise error

    with events.listening(lambda event: said.append(event.message)):
        for _ in range(3):
            look("follow-up runs", ServiceError("the ledger does not answer", "start it"))
            look("inboxes")  # which is well says nothing of the other
            look("runs", ServiceError("the ledger does not answer", "start it"))
        look("runs", OverflowError("too large"))
        look("follow-up runs")
        look("follow-up runs", ServiceError("the ledger does not answer", "start it"))
    assert [one.splitlines()[0] for one in said] == [
        "the ledger does not answer",
        "unexpected OverflowError with runs: too large; trying again",
        "the ledger does not answer",
    ]


def test_of_a_server_that_does_not_answer_in_time_it_is_said_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_SECONDS", 0.2)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent, events.listening(lambda event: said.append(event.message)):
        url = f"http://someone:secret@127.0.0.1:{silent.getsockname()[1]}/api"
        with _Troubles().of("runs"):
            api.ask(url, "/flow_runs/filter", {})
        assert api.prefect_trouble(url) == "timed out", "whoever knocks says of what"
    address = url.replace("someone:secret@", "")
    assert said == [f"the Prefect server at {address} does not answer: timed out; trying again"]


def test_of_a_server_that_refuses_it_is_said_which() -> None:
    with hook() as server:
        server.answer = 503
        url = f"http://127.0.0.1:{server.port}/api"
        with pytest.raises(OSError, match=f"HTTP Error 503: .*, says {url}"):
            api.ask(url, "/flow_runs/filter", {})


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, -1])
def test_runs_that_are_due_at_once_because_the_clock_was_set_are_done_in_one_go(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    file = migrated.home / "pipelines" / "shop.toml"
    file.write_text('name = "shop"\n[data]\nsource = "x.csv"\ntarget = "y"\ntask = "binary"\n')
    deployments.apply_deployments(migrated)
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep, time=time.time)
    monkeypatch.setattr(up, "time", clock)
    over, keeper = threading.Event(), supervisor.Keeper(migrated)
    with (
        flow_context(migrated),
        connected() as client,
        supervisor.hold_process_lock(supervisor.locks_folder(migrated) / "up.lock", migrated.home, for_life=True),
    ):
        client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))  # nobody takes them up meanwhile
        score = client.read_deployment_by_name("score/shop").id

        def waiting() -> int:
            return len(_waiting(client, score))

        for _ in range(3):
            client.create_flow_run_from_deployment(score)
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(up._watch, migrated, keeper, over)
            try:
                eventually(lambda: supervisor.holder(keeper.worker.lock))
                assert waiting() == 3
                clock.time = lambda: time.time() + days * 86_400
                eventually(lambda: waiting() == 1)
            finally:
                over.set()
                watching.result()
                keeper.stop()
