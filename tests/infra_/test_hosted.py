"""The Prefect server that somebody else starts and keeps, as infra/deploy/compose.yaml does."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.projects import prefect_database
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

COMPOSE = Path(__file__).parents[2] / "infra" / "deploy" / "compose.yaml"
START_SECONDS = 120.0


@pytest.fixture
def hosted(home: Path, server_home: Settings) -> Iterator[httpx.Client]:
    """What asks the server of the composed services, but on a database and in folders of the test's."""
    prefect_database(home, server_home)
    place = server.server_folder(settings_.at(home))
    told = yaml.safe_load(COMPOSE.read_text())["services"]["prefect"]
    environment = told["environment"] | {
        "PREFECT_HOME": str(place),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "pages"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{place / server.DATABASE}",
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program, *arguments = [port if one == "4200" else one for one in told["command"]]
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", program, *arguments],
            env=settings_.child_environment(environment, without=("PREFECT_",)),
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            deadline = time.monotonic() + START_SECONDS
            while not answers(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield client
    finally:
        process.kill()
        process.wait(30)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/health").status_code == 200
    except httpx.TransportError:
        return False


def test_it_shows_its_pages_keeps_turns_in_files_and_answers_by_its_names_alone(
    hosted: httpx.Client, home: Path
) -> None:
    assert hosted.get("/").text == (home / "pages" / "v1" / "index.html").read_text()
    told = hosted.get("/api/admin/settings").json()["server"]
    assert told["concurrency"]["lease_storage"].endswith(".filesystem")
    assert told["deployments"]["concurrency_slot_wait_seconds"] == 5
    assert not told["ui"]["show_promotional_content"]
    assert hosted.get("/ui-settings").json()["available_uis"] == ["v1"]
    assert not told["analytics_enabled"]
    port = hosted.base_url.port
    by = {name: hosted.get("/ui-settings", headers={"Host": f"{name}:{port}"}) for name in ("prefect", "evil.example")}
    assert {name: answer.status_code for name, answer in by.items()} == {"prefect": 200, "evil.example": 403}
