from __future__ import annotations

import http.server
import json
import threading
from typing import TYPE_CHECKING

import pytest

from flows.inbox import Inboxes, Intake, Taking
from infra import settings as settings_

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_file_counts_when_two_looks_have_seen_it_the_same(inboxes: Inboxes, home: Path) -> None:
    file = home / "data/inbox/shop/may.csv"
    file.write_text("id,y\n")
    assert inboxes.look() == []
    with file.open("a") as more:
        more.write("1,no\n")
    assert inboxes.look() == []
    assert inboxes.look() == ["shop"]


def test_what_is_new_is_said_until_it_is_taken_and_never_again(inboxes: Inboxes, home: Path) -> None:
    (home / "data/inbox/shop/may.csv").write_text("id,y\n")
    inboxes.look()
    assert inboxes.look() == inboxes.look() == ["shop"]
    inboxes.taken("shop")
    assert inboxes.look() == inboxes.look() == []


@pytest.mark.parametrize("again", ["changed", "gone and back"])
def test_a_file_that_was_replaced_is_new(inboxes: Inboxes, home: Path, again: str) -> None:
    file = home / "data/inbox/shop/may.csv"
    file.write_text("id,y\n")
    inboxes.look(), inboxes.look(), inboxes.taken("shop")
    if again != "changed":
        file.unlink()
        inboxes.look()
    file.write_text("id,y\n1,no\n")
    assert inboxes.look() == []
    assert inboxes.look() == ["shop"]


def test_each_pipeline_is_told_of_its_own_rows_and_labels(inboxes: Inboxes, home: Path) -> None:
    (home / "data/labels/bakery/may.csv").write_text("id,y\n")
    (home / "data/inbox/shop/.hidden.csv").write_text("id,y\n")
    (home / "data/inbox/shop/may.csv.part").write_text("id,y\n")
    inboxes.look()
    assert inboxes.look() == ["bakery"]


def test_a_pipeline_whose_file_is_broken_is_in_nobodys_way_until_it_is_mended(inboxes: Inboxes, home: Path) -> None:
    broken = home / "pipelines/shop.toml"
    broken.write_text("name = ")
    for name in ("shop", "bakery"):
        (home / f"data/inbox/{name}/may.csv").write_text("id,y\n")
    inboxes.look()
    assert inboxes.look() == ["bakery"]
    broken.write_text(PIPELINE.format("shop"))
    inboxes.taken("bakery")
    inboxes.look()
    assert inboxes.look() == ["shop"]


def test_a_pipeline_that_comes_is_looked_after(inboxes: Inboxes, home: Path) -> None:
    inboxes.look()
    (home / "pipelines/mill.toml").write_text(PIPELINE.format("mill"))
    (home / "data/inbox/mill").mkdir()
    (home / "data/inbox/mill/may.csv").write_text("id,y\n")
    inboxes.look()
    assert inboxes.look() == ["mill"]


class Runs(http.server.BaseHTTPRequestHandler):
    """A server that knows one run, in the state that stands in `state`; no other."""

    state = "RUNNING"

    def do_GET(self) -> None:
        known = self.path == "/api/flow_runs/one"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"state_type": self.state}).encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("run", "state", "again"),
    [
        ("one", "RUNNING", False),
        ("one", "COMPLETED", False),
        ("one", "CANCELLED", False),
        ("one", "FAILED", True),
        ("another", "", True),
    ],
)
def test_files_whose_ingest_failed_are_new_again_after_a_pause(
    inboxes: Inboxes, home: Path, run: str, state: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "data/inbox/shop/may.csv").write_text("id,y\n")
    inboxes.look(), inboxes.look(), inboxes.taken("shop")
    intake = Intake(settings_.at(home))
    intake._inboxes, intake._taking = inboxes, {"shop": Taking(run, pause=0.0)}
    monkeypatch.setattr(Runs, "state", state)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runs) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(2):
            intake.follow(f"http://127.0.0.1:{server.server_port}/api")
        server.shutdown()
    assert inboxes.look() == (["shop"] if again else [])
