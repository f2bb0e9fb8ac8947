"""Progress while a flow works: on a terminal a bar with the time left, elsewhere lines."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from treadle.flows.cli.runtime.formatting import format_clock
from treadle.flows.cli.runtime.terminal import NOTICES, NoticeHandler
from treadle.flows.context import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from treadle.flows.context.events import Event


class ProgressDisplay(Protocol):
    """Shows events and single lines."""

    def event(self, event: Event) -> None:
        """Show one event."""

    def line(self, text: str) -> None:
        """Show one line of the project's own log."""


@contextmanager
def showing_progress(console: Console, command: str, *, bar: bool = True, dated: bool = False) -> Iterator[None]:
    """Show the events and notices of the block on `console`: a bar on a terminal, else lines.

    Without `bar` a terminal gets lines, too: two bars at once, ours and that of a command that we run, erase each
    other's lines. With `dated` a line has its local time, not the seconds since the start.
    """
    with _bars(console, command) if bar and console.is_terminal else _lines(console, dated=dated) as display:
        handler = NoticeHandler(display.line)
        logger = logging.getLogger(NOTICES)
        logger.addHandler(handler)
        try:
            with events.listening(display.event):
                yield
        finally:
            logger.removeHandler(handler)


@contextmanager
def _lines(console: Console, *, dated: bool) -> Iterator[ProgressDisplay]:
    yield ProgressLines(console, dated=dated)


class ProgressLines:
    """Prints one plain line per event, with the seconds since the command began; with `dated` the local time."""

    def __init__(self, console: Console, *, dated: bool = False) -> None:
        self._console = console
        self._dated = dated
        self._began = time.monotonic()

    def event(self, event: Event) -> None:
        """Print the event with its count and the time left, where they are known."""
        counted = f" {event.done}/{event.total}" if event.total is not None else ""
        left = f" ({format_clock(event.seconds_left)} left)" if event.seconds_left is not None else ""
        self.line(f"{event.kind}{counted}: {event.message}{left}")

    def line(self, text: str) -> None:
        """Print one line and flush it: the reader of a pipe needs it now."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        when = now if self._dated else f"{time.monotonic() - self._began:6.1f} s"
        self._console.print(f"[{when}] {text}", markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


@contextmanager
def _bars(console: Console, command: str) -> Iterator[ProgressDisplay]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    progress = Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("[bold]{task.fields[kind]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[left]}", style="cyan"),
        TextColumn("{task.fields[message]}", markup=False, style="dim"),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        yield ProgressBar(progress.console, command, progress)


class ProgressBar:
    """Draws one bar, for the kind of work whose event came last; finished work stays above it as a line."""

    def __init__(self, console: Console, command: str, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._began = time.monotonic()
        self._kind = command
        self._done = 0
        self._task = self._begin(command, None, "getting ready")

    def event(self, event: Event) -> None:
        """Move the bar; a finished step also becomes a line, a trial does not."""
        if event.kind != self._kind:
            self._progress.remove_task(self._task)
            self._kind, self._done, self._began = event.kind, event.done or 0, time.monotonic()
            self._task = self._begin(event.kind, event.total, event.message)
        finished = event.done is not None and event.done > self._done
        self._progress.update(
            self._task,
            completed=event.done or 0,
            total=event.total,
            count=f"{event.done}/{event.total}" if event.total is not None else "",
            left=self._left(event),
            message=event.message,
        )
        if event.total is None or (finished and event.kind != "tune"):
            self.line(f"{event.kind}: {event.message}")
        self._done = event.done or 0

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False, highlight=False, style="dim")

    def _begin(self, kind: str, total: int | None, message: str) -> TaskID:
        return self._progress.add_task("", total=total, kind=kind, message=message, count="", left="")

    def _left(self, event: Event) -> str:
        """Return the time left: the flow's own estimate, else from the mean of the steps done so far."""
        if event.seconds_left is not None:
            return f"{format_clock(event.seconds_left)} left"
        if not event.done or not event.total:
            return ""
        each = (time.monotonic() - self._began) / event.done
        return f"{format_clock(each * (event.total - event.done))} left"
