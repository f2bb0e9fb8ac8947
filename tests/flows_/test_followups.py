from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prefect.states import Cancelled, Completed, Failed, Running

from treadle.flows.project import deployment_plans
from treadle.flows.service import deployments, followups
from treadle.flows.service.followups import CHAIN, Followups
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.databases.ledger import BatchRecord
from treadle.infra.orchestrator import connected, flow_context
from treadle.infra.orchestrator.runs import SLOT_LOST, Runs
from treadle.tasks.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prefect.client.schemas.objects import State

    from treadle.infra.settings import Settings

NAME = "shop"


@pytest.fixture
def place(home: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home whose deployments stand on a server without a worker, where no event does anything; no check waits."""
    for seconds in ("GRACE_SECONDS", "CHECK_SECONDS"):
        monkeypatch.setattr(followups, seconds, 0.0)
    monkeypatch.setattr(followups, "RETRIES", Backoff(first=0.0))
    settings = settings_.at(home)
    text = f'name = "{NAME}"\n[data]\nsource = "x.csv"\ntarget = "y"\ntask = "binary"\n'
    file = home / "pipelines" / f"{NAME}.toml"
    file.write_text(text)
    deployments.apply_deployments(settings)
    with flow_context(settings), connected() as client:
        for one in client.read_automations():
            if one.description.endswith(str(home)):
                client.delete_automation(one.id)
    yield settings
    file.unlink()
    deployments.apply_deployments(settings)


def arrive(settings: Settings, name: str) -> None:
    """A batch was accepted."""
    counts = dict.fromkeys(("rows_in", "accepted", "quarantined", "duplicates", "equal_rows", "labelled"), 1)
    texts = dict.fromkeys(("contract", "reason", "validation"), "")
    record = BatchRecord(NAME, name, name, name, "accepted", at=datetime.now(UTC), **counts, **texts)
    stores.open(settings, NAME).ledger.record_batch(record)


def check(settings: Settings, followups_: Followups, times: int = 3) -> list[str]:
    """Check this often; returns the work that waits to begin afterwards."""
    runs = Runs(settings.prefect_api_url, settings.home, deployment_plans.TAG)
    for _ in range(times):
        followups_.start_missing(runs)
    return [work for work in CHAIN for _ in waiting(settings, work)]


def waiting(settings: Settings, work: str) -> list[dict[str, object]]:
    from treadle.flows.service.deployments.runs import _waiting

    with flow_context(settings), connected() as client:
        deployment = client.read_deployment_by_name(f"{work}/{NAME}")
        return [run.parameters for run in _waiting(client, deployment.id)]


def end(settings: Settings, work: str, state: State) -> None:
    """What waits of this work is done, so."""
    from treadle.flows.service.deployments.runs import _waiting

    with flow_context(settings), connected() as client:
        for run in _waiting(client, client.read_deployment_by_name(f"{work}/{NAME}").id):
            for one in (Running(), state):
                client.set_flow_run_state(run.id, one, force=True)


def test_what_no_event_brought_about_is_started_one_after_the_other_and_once(place: Settings) -> None:
    followups_ = Followups(place)
    assert check(place, followups_) == []
    arrive(place, "may")
    for work in CHAIN:
        assert check(place, followups_) == [work]
        assert check(place, followups_) == [work], "it waits to begin"
        if work == "train":
            assert waiting(place, work) == [{"options": {"if_due": True}}]
        end(place, work, Completed())
    assert check(place, followups_) == check(place, Followups(place)) == [], "and it is remembered"
    arrive(place, "june")
    assert check(place, followups_) == ["score"]


def test_what_failed_is_tried_again_and_a_training_not_for_ever(place: Settings) -> None:
    followups_ = Followups(place)
    arrive(place, "may")
    for failed in (Failed(), Failed(), Cancelled(message=f"{SLOT_LOST} during provisioning")):
        assert check(place, followups_) == ["score"]
        end(place, "score", failed)
    assert check(place, followups_) == ["score"]
    end(place, "score", Cancelled())
    for _ in range(followups.MAX_TRAININGS):
        assert check(place, followups_) == ["train"]
        end(place, "train", Failed())
    assert check(place, followups_) == ["monitor"]


def test_a_training_that_the_server_would_not_start_is_none_of_its_attempts(place: Settings) -> None:
    followups_ = Followups(place)
    arrive(place, "may")
    assert check(place, followups_) == ["score"]
    end(place, "score", Completed())
    with flow_context(place), connected() as client:
        client.delete_deployment(client.read_deployment_by_name(f"train/{NAME}").id)
    for _ in range(3 + followups.MAX_TRAININGS):
        followups_.start_missing(Runs(place.prefect_api_url, place.home, deployment_plans.TAG))
    end(place, "monitor", Completed())
    deployments.apply_deployments(place)
    assert check(place, followups_) == ["train"]


def test_what_the_event_began_is_waited_for_and_counts(place: Settings) -> None:
    followups_ = Followups(place)
    arrive(place, "may")
    check(place, followups_, 1)
    for work in CHAIN:
        deployments.start_run(place, NAME, work)
    assert check(place, followups_) == list(CHAIN)
    for work in CHAIN:
        end(place, work, Completed())
    assert check(place, followups_) == []
