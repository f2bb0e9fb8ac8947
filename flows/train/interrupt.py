"""Ctrl-C during a search ends the search; Ctrl-C at any other time, or a second one, ends the command.

Prefect runs steps in threads of their own, and only the main thread hears of Ctrl-C: so the command listens, and the
step says when a search is at work.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.flows.context import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class SearchInterrupt:
    """Whether a search is at work in this process, and whether a person wants it to end."""

    def __init__(self) -> None:
        self._at_work = threading.Event()
        self._wanted = threading.Event()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Inside the block the first Ctrl-C during a search ends only that; outside the main thread nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def end_search(number: int, frame: FrameType | None) -> None:
            if self._at_work.is_set() and not self._wanted.is_set():
                self._wanted.set()  # no more: the signal may have come in the middle of a print
            elif callable(before):
                before(number, frame)

        signal.signal(signal.SIGINT, end_search)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def search(self) -> Iterator[Callable[[], bool]]:
        """Inside the block a search is at work; yields whether it is to end. The first yes is reported."""
        self._wanted.clear()
        self._at_work.set()
        reported = False

        def wanted() -> bool:
            nonlocal reported
            if self._wanted.is_set() and not reported:
                reported = True
                words = "Ctrl-C: the search ends, and its best model is judged; press again to end the command"
                events.emit("tune", words)
            return reported

        try:
            yield wanted
        finally:
            self._at_work.clear()


search_interrupt = SearchInterrupt()
"""The process's own: there is one Ctrl-C."""
