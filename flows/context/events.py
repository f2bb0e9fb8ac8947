"""Events of a running flow, for its listener (a progress bar, a line per event) and the log in Prefect's UI."""

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

    `kind` names the work (`ingest`, `tune`, `score`, ...), `message` is one line for people. `done` of `total` steps of
    this kind are finished; both None where they cannot be counted. `seconds_left` is the flow's own estimate, None
    where it has none (it has one for a tuning budget).
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
    """Send an event to the log and to the listener, if there is one."""
    event = Event(kind, message, done, total, seconds_left)
    logging.getLogger(LOGGER).info(message)
    listener = _listener.get()
    if listener is not None:
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` with every event that is emitted in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
