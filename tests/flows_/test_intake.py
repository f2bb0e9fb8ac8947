from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prefect import flow
from prefect.states import Cancelled, Completed, Failed, Running

from treadle.flows.service import intake as intake_
from treadle.flows.service.intake import Inboxes, IngestAttempt, Intake
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected, flow_context
from treadle.tasks.backoff import Backoff

if TYPE_CHECKING:
    from pathlib import Path

    from prefect.client.schemas.objects import State

PIPELINE = """
name = "{0}"
[data]
source = "data/inbox/{0}"
target = "y"
task = "binary"
key = ["id"]
[labels]
source = "data/labels/{0}"
"""


@pytest.fixture
def inboxes(home: Path) -> Inboxes:
    for name in ("shop", "bakery"):
        (home / "pipelines" / f"{name}.toml").write_text(PIPELINE.format(name))
        for folder in ("inbox", "labels"):
            (home / "data" / folder / name).mkdir(parents=True)
    return Inboxes(settings_.at(home))


def test_a_file_counts_when_two_scans_found_it_the_same(inboxes: Inboxes, home: Path) -> None:
    file = home / "data/inbox/shop/may.csv"
    file.write_text("id,y\n")
    assert inboxes.scan() == []
    with file.open("a") as more:
        more.write("1,no\n")
    assert inboxes.scan() == []
    assert inboxes.scan() == ["shop"]


def test_new_files_are_returned_until_they_are_handled(inboxes: Inboxes, home: Path) -> None:
    (home / "data/inbox/shop/may.csv").write_text("id,y\n")
    inboxes.scan()
    assert inboxes.scan() == inboxes.scan() == ["shop"]
    inboxes.mark_handled("shop")
    assert inboxes.scan() == inboxes.scan() == []


@pytest.mark.parametrize("again", ["changed", "gone and back"])
def test_a_file_that_was_replaced_is_new(inboxes: Inboxes, home: Path, again: str) -> None:
    file = home / "data/inbox/shop/may.csv"
    file.write_text("id,y\n")
    inboxes.scan(), inboxes.scan(), inboxes.mark_handled("shop")
    if again != "changed":
        file.unlink()
        inboxes.scan()
    file.write_text("id,y\n1,no\n")
    assert inboxes.scan() == []
    assert inboxes.scan() == ["shop"]


def test_each_pipeline_is_new_for_its_own_rows_and_labels(inboxes: Inboxes, home: Path) -> None:
    (home / "data/labels/bakery/may.csv").write_text("id,y\n")
    (home / "data/inbox/shop/.hidden.csv").write_text("id,y\n")
    (home / "data/inbox/shop/may.csv.part").write_text("id,y\n")
    inboxes.scan()
    assert inboxes.scan() == ["bakery"]


def test_a_pipeline_whose_file_is_broken_does_not_stop_the_others_until_it_is_fixed(
    inboxes: Inboxes, home: Path
) -> None:
    broken = home / "pipelines/shop.toml"
    broken.write_text("name = ")
    for name in ("shop", "bakery"):
        (home / f"data/inbox/{name}/may.csv").write_text("id,y\n")
    inboxes.scan()
    assert inboxes.scan() == ["bakery"]
    broken.write_text(PIPELINE.format("shop"))
    inboxes.mark_handled("bakery")
    inboxes.scan()
    assert inboxes.scan() == ["shop"]


def test_a_pipeline_that_is_added_is_scanned(inboxes: Inboxes, home: Path) -> None:
    inboxes.scan()
    (home / "pipelines/mill.toml").write_text(PIPELINE.format("mill"))
    (home / "data/inbox/mill").mkdir()
    (home / "data/inbox/mill/may.csv").write_text("id,y\n")
    inboxes.scan()
    assert inboxes.scan() == ["mill"]


LOST = "Deployment concurrency slot lost during provisioning - no slots available to continue execution"
"""In Prefect's words."""


@flow
def taking() -> None:
    """Stands for an ingest."""


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (Running(), False),
        (Completed(), False),
        (Cancelled(), False),
        (Failed(), True),
        (Cancelled(message=LOST), True),
        (None, True),
    ],
    ids=["running", "completed", "cancelled", "failed", "lost its turn", "unknown to the server"],
)
def test_files_whose_ingest_failed_are_new_again_after_a_pause(
    inboxes: Inboxes,
    home: Path,
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
    state: State | None,
    again: bool,
) -> None:
    (home / "data/inbox/shop/may.csv").write_text("id,y\n")
    inboxes.scan(), inboxes.scan(), inboxes.mark_handled("shop")
    run = str(uuid4())
    if state is not None:
        with flow_context(settings_.at(home)), connected() as client:
            run = str(client.create_flow_run(taking, state=state).id)
    intake = Intake(settings_.at(home))
    intake._inboxes, intake._attempts = inboxes, {"shop": IngestAttempt(run, failures=1)}
    monkeypatch.setattr(intake_, "RETRIES", Backoff(first=0.0))
    for _ in range(2):
        intake.check_ingests(prefect_server)
    assert inboxes.scan() == (["shop"] if again else [])
