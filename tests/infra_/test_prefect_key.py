"""A Prefect server of somebody's that takes keys, as Prefect Cloud does: the real one, behind a door that wants one."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from treadle.flows.project.status import servers
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected, flow_context
from treadle.infra.orchestrator.api import ask, with_login
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

KEY = "pnu_correct-horse@battery"


@contextmanager
def keyed(behind: str) -> Iterator[str]:
    """The address of a door to the server at `behind` that opens by the key alone."""

    async def forward(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}" and request.url.path != "/api/health":
            return Response(status_code=401)
        async with httpx.AsyncClient(trust_env=False, base_url=behind.removesuffix("/api")) as client:
            headers = {name: value for name, value in request.headers.items() if name not in ("host", "authorization")}
            path = f"{request.url.path}?{request.url.query}"
            answer = await client.request(request.method, path, content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("Content-Type"))

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}/api"
        finally:
            server.should_exit = True
            thread.join(30)


def test_status_and_flows_give_the_key(home: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with keyed(prefect_server) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setenv("PREFECT_API_KEY", KEY)
        settings = settings_.at(home)
        assert servers.server_status(settings)[0].state == "running"
        assert isinstance(json.loads(ask(with_login(settings, url), "/work_pools/filter", {})), list)
        with flow_context(settings), connected() as client:
            client.read_work_pools()
    assert KEY not in repr(settings)


@pytest.mark.parametrize("key", ["", "pnu_another"])
def test_without_the_key_it_is_locked_and_the_error_names_the_variable(
    key: str, home: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keyed(prefect_server) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setenv("PREFECT_API_KEY", key)
        settings = settings_.at(home)
        assert servers.server_status(settings)[0].state == "locked"
        with pytest.raises(ServiceError) as caught, flow_context(settings), connected() as client:
            client.read_work_pools()
    assert "PREFECT_API_KEY" in caught.value.fix


def test_a_login_goes_before_a_key_and_neither_to_our_own_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", KEY)
    assert settings_.at(home).api_login == ""
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    assert settings_.at(home).api_login == KEY
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:theirs")
    assert settings_.at(home).api_login == "me:theirs"
