"""Let flows go on when their server dies.

The home's own server is started again at once, on the same port. Its socket is open before it serves: requests wait for
their answers instead of failing. A server in `PREFECT_API_URL` can only be waited for, which Prefect's client does for
about two minutes; a warning says so within seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from treadle.infra.orchestrator import server
from treadle.infra.orchestrator.api import prefect_trouble
from treadle.infra.processes.http_guard import bound, reached_at
from treadle.infra.settings import without_secrets

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.orchestrator")

POLL_SECONDS = 0.1
HEALTH_CHECK_SECONDS = 2.0
RESTARTS = 5
BACKLOG = 128
BIND_SECONDS = 10.0


@contextmanager
def server_kept_alive(settings: Settings, url: str) -> Iterator[None]:
    """Watch over the server at `url` while the block runs."""
    over = threading.Event()
    task = _wait_for if settings.prefect_api_url else _restart
    threading.Thread(target=task, args=(settings, url, over), name="keeper", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _restart(settings: Settings, url: str, over: threading.Event) -> None:
    restarts = 0
    while not over.wait(POLL_SECONDS) and restarts < RESTARTS:
        if server.alive(settings):
            continue
        restarts += 1
        revive(settings, url, over)


def revive(settings: Settings, url: str, over: threading.Event | None = None) -> None:
    """Start the home's server again on the port that `url` names, unless it lives, or is `over` meanwhile."""
    port = urlsplit(url).port or 0
    with server.starting(settings):
        if server.alive(settings) or (over is not None and over.is_set()):  # another command was quicker
            return
        log.warning("this project's Prefect server has ended; it is started again, and the run goes on")
        with closing(_listen(settings.listen, port)) as listener:
            server.launch(settings, port, listener)


def _listen(host: str, port: int) -> socket.socket:
    """The server's socket, open; retried while the system still closes that of the dead server."""
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        try:
            listener = bound(reached_at(host), port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            listener.listen(BACKLOG)
            return listener


def _wait_for(_settings: Settings, url: str, over: threading.Event) -> None:
    away = False
    while not over.wait(HEALTH_CHECK_SECONDS):
        trouble = prefect_trouble(url)
        if trouble and not away and not over.is_set():
            log.warning(
                "the Prefect server at %s does not answer (%s); waiting for it, about two minutes at most",
                without_secrets(url),
                trouble,
            )
        elif away and not trouble:
            log.warning("the Prefect server answers again")
        away = bool(trouble)
