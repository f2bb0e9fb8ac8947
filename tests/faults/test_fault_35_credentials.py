"""No or wrong credentials: 401 or 403 on every route of both servers but health, once they have a login."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.addresses import other_addresses
from tests.faults.routes import WEBSOCKET
from tests.projects import prefect_database
from treadle.flows.project import status
from treadle.flows.project.status import servers
from treadle.infra import orchestrator, supervisor
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected
from treadle.infra.orchestrator.api import requires_login
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

LOGIN = "ada:correct-horse-battery"
WRONG = ("", "ada:wrong", "eve:correct-horse-battery", "ada:")

OPEN = {
    "prefect": {
        ("GET", "/api/health"),
        ("GET", "/api/ready"),  # that it can reach its database
        (
            "GET",
            "/ui-settings",
        ),  # its pages ask there whether there is a login; they are open as well, and hold no data
    },
    "mlflow": {(method, "/health") for method in ("GET", "HEAD", "OPTIONS")},
}
"""What a server leaves open by its design; docs/security.md says the same."""

pytestmark = pytest.mark.timeout(600)

REFUSED = (401, 403)
PROBE = {"prefect": "/api/admin/version", "mlflow": "/version"}
CLOSED = re.compile(r"/(api/)?(docs|redoc|openapi\.json)")  # to whoever asks, but the description for who has the login


@dataclass(frozen=True)
class Place:
    """A home whose two servers listen on every network, with a login."""

    settings: Settings
    pages: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("exposed") / "home"
    (home / "pipelines").mkdir(parents=True)
    prefect_database(home, server_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TREADLE_HOST", "0.0.0.0")
        patch.setenv("TREADLE_LOGIN", LOGIN)
        settings = settings_.at(home)
        keeper = supervisor.Keeper(settings)
        try:
            keeper.keep_pages_alive()
            with orchestrator.flow_context(settings):
                pass
            keeper.wait_for_pages()
            yield Place(settings, {"prefect": orchestrator.ui_url(settings), "mlflow": keeper.pages()})
        finally:
            keeper.stop()
            orchestrator.stop_servers(settings)


@pytest.fixture(scope="module")
def routes() -> dict[str, list[tuple[str, str]]]:
    """Method and path of every route, as the servers' own apps know them."""
    found = {}
    for name in ("prefect", "mlflow"):
        said = subprocess.run([sys.executable, "-m", "tests.faults.routes", name], stdout=subprocess.PIPE, check=True)
        found[name] = [(method, path) for method, path in json.loads(said.stdout)]
    return found


def filled(path: str) -> str:
    """A path with something in each of its places."""
    path = re.sub(r"\{[^}]*uuid\}|\{id\}", str(uuid.uuid4()), path)
    return re.sub(r"\{[^}]*\}|<[^>]*>", "x", path)


def basic(login: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}


@pytest.mark.parametrize(("server", "least"), [("prefect", 180), ("mlflow", 900)])
def test_every_route_but_health_wants_the_login(
    server: str, least: int, place: Place, routes: dict[str, list[tuple[str, str]]]
) -> None:
    asked = [(method, path) for method, path in routes[server] if method != WEBSOCKET]
    assert len(asked) > least
    assert OPEN[server] <= {*asked, ("GET", "/api/ready")}
    with httpx.Client(base_url=place.pages[server], trust_env=False) as client:
        for method, path in asked:
            for login in ("", "ada:wrong"):
                answer = client.request(method, filled(path), headers=basic(login))
                if (method, path) in OPEN[server]:
                    assert answer.status_code == 200, (method, path)
                else:
                    closed = answer.status_code == 404 and CLOSED.match(path)
                    assert closed or answer.status_code in REFUSED, (method, path, login, answer.status_code)
        for header in [*map(basic, WRONG), {"Authorization": "Basic ?"}, {"Authorization": f"Bearer {LOGIN}"}]:
            assert client.get(PROBE[server], headers=header).status_code == 401, header


def test_the_login_opens_them(place: Place) -> None:
    with httpx.Client(trust_env=False, headers=basic(LOGIN)) as client:
        for server, path in PROBE.items():
            assert client.get(f"{place.pages[server]}{path}").status_code == 200
        assert "MLflow" in client.get(place.pages["mlflow"]).text
        searched = client.post(f"{place.pages['mlflow']}/api/2.0/mlflow/experiments/search", json={"max_results": 5})
        assert searched.status_code == 200
        assistant = client.get(f"{place.pages['mlflow']}/ajax-api/3.0/mlflow/assistant/config")
        assert assistant.status_code == 404, "it would run commands here"


@pytest.mark.parametrize("token", ["", *WRONG, LOGIN])
def test_a_websocket_wants_the_login_in_its_first_message(
    token: str, place: Place, routes: dict[str, list[tuple[str, str]]]
) -> None:
    paths = [path for method, path in routes["prefect"] if method == WEBSOCKET]
    assert len(paths) == 5
    for path in paths:
        address = place.pages["prefect"].replace("http://", "ws://") + filled(path)
        with connect(address, subprotocols=["prefect"], proxy=None) as socket:  # type: ignore[list-item]
            socket.send(json.dumps({"type": "auth", "token": token}))
            if token == LOGIN:
                assert json.loads(socket.recv(10))["type"] == "auth_success"
            else:
                with pytest.raises(ConnectionClosed):
                    socket.recv(10)
        with pytest.raises((InvalidStatus, ConnectionClosed)), connect(address, proxy=None) as socket:
            socket.recv(10)


@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_a_page_of_another_site_may_not_ask_even_with_the_login(server: str, place: Place) -> None:
    path = {"prefect": "/api/flow_runs/filter", "mlflow": "/api/2.0/mlflow/experiments/search"}[server]
    with httpx.Client(base_url=place.pages[server], trust_env=False, headers=basic(LOGIN)) as client:
        asked = {"max_results": 5} if server == "mlflow" else {}
        own = client.post(path, json=asked, headers={"Origin": place.pages[server]})
        assert own.status_code == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert client.post(path, json=asked, headers={"Origin": origin}).status_code == 403


def test_other_machines_reach_both_and_with_another_login_up_begins_anew(place: Place) -> None:
    assert supervisor.services_conform(place.settings)
    for changed in ({"login": "ada:another-password"}, {"login": ""}, {"host": "127.0.0.1"}):
        assert not supervisor.services_conform(place.settings.model_copy(update=changed))
    for server, page in place.pages.items():
        for address in other_addresses():
            assert requires_login(page.replace("127.0.0.1", address) + PROBE[server], LOGIN)


def test_commands_without_the_login_say_what_is_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_LOGIN", raising=False)
    with (
        pytest.raises(ServiceError, match="HTTP 401") as caught,
        orchestrator.flow_context(settings_.at(place.settings.home)),
        connected() as client,
    ):
        client.read_work_pools()
    assert "TREADLE_LOGIN" in caught.value.fix
    (prefect, *_) = servers.server_status(settings_.at(place.settings.home))
    assert prefect.state == "locked"
    needed = [need.command for need in status.run_status(settings_.at(place.settings.home)).needs]
    assert "export TREADLE_LOGIN=NAME:PASSWORD" in needed
    monkeypatch.setenv("TREADLE_LOGIN", LOGIN)
    (prefect, *_) = servers.server_status(settings_.at(place.settings.home))
    assert prefect.state == "running"
    with orchestrator.flow_context(settings_.at(place.settings.home)), connected() as client:
        client.read_work_pools()


def test_the_login_is_in_no_file_and_on_no_command_line(place: Place) -> None:
    password = LOGIN.partition(":")[2].encode()
    files = [path for path in place.settings.home.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if password in path.read_bytes()] == []
    pages = supervisor.holder(supervisor.locks_folder(place.settings) / "mlflow.lock")
    assert pages is not None
    for pid in (orchestrator.server_state(place.settings).pid, pages.pid):
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()
