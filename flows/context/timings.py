"""Seconds of a command by part: each moment counts for the innermost part that runs in it.

Nothing is measured unless `start_timing` was called. `treadle train --timings` calls it before any heavy import, so
that imports are a part of their own, wherever they happen.
"""

from __future__ import annotations

import builtins
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

PARTS = (
    "imports",
    "server",
    "ingest",
    "GX",
    "prepare",
    "tune",
    "fit",
    "package",
    "parity",
    "judge",
    "report",
    "register",
    "promote",
    "Prefect",
    "rest",
)
"""In the order in which they are shown. `Prefect` is what its flows and steps cost around ours."""

_watch: Stopwatch | None = None


class Stopwatch:
    """Seconds by part, of the thread that made it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.seconds["imports"] = _age()  # Python itself, and the command line
        self._thread = threading.get_ident()
        self._stack = ["rest"]
        self._since = time.perf_counter()

    def enter(self, part: str) -> None:
        """Count the time from now on for `part`."""
        if threading.get_ident() == self._thread:
            self._settle()
            self._stack.append(part)

    def leave(self) -> None:
        """End the part that was entered last; the time counts again for the one around it."""
        if threading.get_ident() == self._thread:
            self._settle()
            self._stack.pop()

    def read(self) -> dict[str, float]:
        """Seconds by part up to now, in the order of `PARTS`; together the age of the process."""
        self._settle()
        return {part: round(seconds, 3) for part, seconds in self.seconds.items()}

    def _settle(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now


def start_timing() -> None:
    """Begin to measure this process."""
    global _watch  # noqa: PLW0603 - one process, one clock
    _watch = Stopwatch()
    builtins.__import__ = _timed(builtins.__import__, _watch)


def seconds_by_part() -> dict[str, float] | None:
    """Seconds by part up to now; None where nothing is measured."""
    return _watch.read() if _watch else None


@contextmanager
def timed(name: str) -> Iterator[None]:
    """A block, or as a decorator a function, whose time belongs to `name`, one of `PARTS`."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.enter(name)
    try:
        yield
    finally:
        watch.leave()


def _timed(original: Callable[P, R], watch: Stopwatch) -> Callable[P, R]:
    """Python's import statement, whose time counts as `imports`."""

    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        watch.enter("imports")
        try:
            return original(*args, **kwargs)
        finally:
            watch.leave()

    return timed


def _age() -> float:
    """Seconds since this process began, by the system's account; 0 where it keeps none."""
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return 0.0
