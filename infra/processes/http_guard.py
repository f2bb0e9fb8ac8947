"""How the home's servers are reached: the sockets that they listen on, and the requests that are allowed."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from treadle.infra.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

TRIES = 5
HERE = (LOOPBACK, "localhost")
"""The host names of a server that only this machine reaches."""


def listeners(host: str, port: int, descriptor: int | None = None) -> list[socket.socket]:
    """The sockets of a server at `host`, bound; the first is reached by loopback, which our own commands use.

    They have the same port: that of the open socket `descriptor`, else `port`, else a free one where it is taken.
    """
    given = socket.socket(fileno=descriptor) if descriptor is not None else None  # once: it closes what it is made of
    for number in (port, *[0] * TRIES):
        try:
            inner = given or bound(reached_at(host), number)
        except (OSError, OverflowError):
            continue
        if host in (LOOPBACK, reached_at(host)):
            return [inner]
        with suppress(OSError):
            return [inner, bound(host, inner.getsockname()[1])]
        if given is None:
            inner.close()
    raise OSError(f"no port is free at {host}")


def reached_at(host: str) -> str:
    """Where a server at `host` listens for our own commands: everywhere, or on loopback."""
    return host if ipaddress.ip_address(host).is_unspecified else LOOPBACK


def bound(host: str, port: int) -> socket.socket:
    """A socket at that address and port; raises OSError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
    try:
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


class Guard:
    """An ASGI app that passes only allowed requests to `app`.

    Requests from pages of other sites are refused (403), because a browser adds a password that it remembers. The host
    must be one of `names`, if there are any (403), so that another site's name cannot be pointed at this server. With a
    `login` (`name:password`) all paths but `open_paths` require it (401). Paths that begin with one of `closed` are
    refused (404).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Sequence[str] = (),
        login: str = "",
        open_paths: Sequence[str] = (),
        closed: Sequence[str] = (),
    ) -> None:
        self._app, self._names, self._login = app, tuple(names), login
        self._open, self._closed = frozenset(open_paths), tuple(closed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or let the app answer it."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            from starlette.responses import PlainTextResponse

            status, why = refusal
            headers = {"WWW-Authenticate": 'Basic realm="treadle"'} if status == 401 else {}
            await PlainTextResponse(why, status, headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the text with which a request is refused; None where it is allowed."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._names and urlsplit(f"//{host}").hostname not in self._names:
            return 403, f"this server is called {' or '.join(self._names)}"
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "pages of other sites may not ask this server"
        if scope["path"] in self._open:
            return None
        if self._login and not self._is_authorized(headers.get("authorization", "")):
            return 401, "authentication required"
        return (404, "switched off") if scope["path"].startswith(self._closed) else None

    def _is_authorized(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        with suppress(ValueError):
            return scheme.lower() == "basic" and hmac.compare_digest(b64decode(credentials), self._login.encode())
        return False
