"""What a running flow tells whoever watches: a progress bar, a line per event, the log in Prefect's UI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

LOGGER = "treadle.events"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a flow.

    `kind` names the work (`ingest`, `tune`, `score`, ...), `message` is one line for people. `done` of
    `total` steps of this kind are behind us, where they can be counted; `seconds_left` is the flow's own
    estimate, where it has one (a tuning budget).
    """

    kind: str
    message: str
    done: int | None = None
    total: int | None = None
    seconds_left: float | None = None


Listener = Callable[[Event], None]

_listener: ContextVar[Listener | None] = ContextVar("treadle_listener", default=None)


def emit(
    kind: str,
    message: str,
    *,
    done: int | None = None,
    total: int | None = None,
    seconds_left: float | None = None,
) -> None:
    """Tell the listener, if any, and the log; costs nothing to a flow that nobody watches."""
    event = Event(kind, message, done, total, seconds_left)
    logging.getLogger(LOGGER).info(message)
    listener = _listener.get()
    if listener is not None:
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand every event that is emitted inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
