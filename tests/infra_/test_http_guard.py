from __future__ import annotations

import asyncio
import base64
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.addresses import other_addresses, reached
from treadle.infra.processes.http_guard import HERE, Guard, bound, listeners

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

LOGIN = "ada:correct-horse-battery"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says yes to everybody."""
    from starlette.responses import PlainTextResponse

    await PlainTextResponse("welcome")(scope, receive, send)


def answer(guard: Guard, path: str = "/data", host: str = "127.0.0.1:5000", **headers: str) -> int:
    """The status that a request gets."""

    async def ask() -> int:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return (await client.get(path, headers=headers)).status_code

    return asyncio.run(ask())


def basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (basic(LOGIN), 200),
        (basic(LOGIN).replace("Basic", "basic"), 200),
        ("", 401),
        (basic("ada:wrong"), 401),
        (basic(f"{LOGIN}x"), 401),
        (basic("ada"), 401),
        (f"Bearer {LOGIN}", 401),
        ("Basic", 401),
        ("Basic !", 401),
        (basic("ädä:pässwörd"), 401),
    ],
)
def test_only_who_knows_the_login_comes_in(told: str, status: int) -> None:
    guard = Guard(app, login=LOGIN, open_paths=("/health",))
    assert answer(guard, Authorization=told) == status
    assert answer(guard, "/health", Authorization=told) == 200
    assert answer(guard, "/health/more", Authorization=told) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:5000", 200), ("localhost:5000", 200), ("evil.example:5000", 403), ("127.0.0.1.evil.example", 403)],
)
def test_without_a_login_the_server_answers_by_its_own_names_only(host: str, status: int) -> None:
    assert answer(Guard(app, names=HERE), host=host) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://ml.example", 200),
        ("https://ml.example", 200),
        ("https://evil.example", 403),
        ("http://ml.example:1", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_may_not_ask_even_with_the_login(origin: str, status: int) -> None:
    guard = Guard(app, login=LOGIN)
    assert answer(guard, host="ml.example", Origin=origin, Authorization=basic(LOGIN)) == status


def test_what_is_closed_is_closed_for_all() -> None:
    guard = Guard(app, login=LOGIN, closed=("/shell",))
    assert answer(guard, "/shell/run", Authorization=basic(LOGIN)) == 404
    assert answer(guard, "/shell/run") == 401


def test_a_websocket_is_refused_before_it_is_open() -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/in", "headers": [(b"host", b"127.0.0.1"), (b"origin", b"http://evil")]}
    asyncio.run(Guard(app, names=HERE)(scope, receive, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets to be closed at the end."""
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        with suppress(OSError):
            one.close()


def serve(opened: list[socket.socket], host: str, port: int = 0) -> int:
    found = listeners(host, port)
    opened.extend(found)
    for one in found:
        one.listen()
    ports = {one.getsockname()[1] for one in found}
    assert len(ports) == 1
    return int(ports.pop())


def test_by_default_only_this_machine_reaches_a_server(opened: list[socket.socket]) -> None:
    port = serve(opened, "127.0.0.1")
    assert reached("127.0.0.1", port)
    assert not any(reached(address, port) for address in other_addresses())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", *other_addresses()])
def test_beyond_loopback_our_own_commands_reach_it_by_loopback_all_the_same(
    host: str, opened: list[socket.socket]
) -> None:
    port = serve(opened, host)
    assert reached("127.0.0.1", port)
    meant = [host] if host in other_addresses() else other_addresses()
    assert {address for address in other_addresses() if reached(address, port)} == {*meant}


def test_a_port_that_is_taken_gives_way_to_a_free_one(opened: list[socket.socket]) -> None:
    port = serve(opened, "127.0.0.1")
    assert serve(opened, "127.0.0.1", port) != port
    assert serve(opened, "127.0.0.1", 70_000) < 65_536


def test_an_open_socket_is_taken_over() -> None:
    with closing(bound("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        (theirs,) = listeners("127.0.0.1", 0, mine.detach())
        with closing(theirs):
            assert theirs.getsockname()[1] == port
