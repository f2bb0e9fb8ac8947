"""From the shell into a command and back: interrupts and errors become one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from treadle.flows.cli.runtime.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    import typer

INTERRUPTED = 130
PATIENCE_SECONDS = 5.0
INTERRUPT_LINE = "treadle: interrupted; the same command goes on where this one stopped"


def start(load_app: Callable[[], typer.Typer]) -> int:
    """Run the command that the shell named and return its exit code.

    `load_app` imports the commands: after Ctrl-C is handled, and without this package importing them.
    """
    terminal = Terminal.of_this_process()
    interrupts = Interrupts(terminal)
    arguments = sys.argv[1:] or ["--help"]
    try:
        signal.signal(signal.SIGINT, interrupts)
        code = load_app()(arguments, prog_name="treadle", standalone_mode=False, obj=terminal)
        if interrupts.seen:  # typer makes an exit code of a KeyboardInterrupt, without a word
            interrupts.leave()
        terminal.out.flush()
    except KeyboardInterrupt:
        interrupts.leave()
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # a help page whose reader has seen enough
            terminal.forget_output()
            return 0
        raise
    except Exception as error:
        if interrupts.seen:  # DuckDB answers an interrupt with an error of its own
            interrupts.leave()
        return fail(error, terminal, arguments)
    return int(code or 0)


def fail(error: Exception, terminal: Terminal, arguments: list[str]) -> int:
    """Say on stderr what went wrong (and, under --json, as an object on stdout); the exit code."""
    from treadle.flows.cli.runtime.failures import explain, show

    failure = explain(error)
    try:
        show(failure, error, terminal, as_json="--json" in arguments)
    except BrokenPipeError:
        terminal.forget_output()
    return failure.exit_code


class Interrupts:
    """Ctrl-C: the first unwinds the command, a second one, or five seconds, end the process.

    Everything that a command writes is written whole or not at all, so an end at any moment is safe; some C
    code swallows a KeyboardInterrupt, which is what the five seconds are for.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.seen = False
        self._said = threading.Lock()

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle SIGINT; raises KeyboardInterrupt the first time."""
        if self.seen:
            self.leave()
        self.seen = True
        alarm = threading.Timer(PATIENCE_SECONDS, self.leave)
        alarm.daemon = True
        alarm.start()
        raise KeyboardInterrupt

    def leave(self) -> NoReturn:
        """Say so once and end the process without waiting for libraries' threads."""
        if self._said.acquire(blocking=False):
            self._terminal.say_last(INTERRUPT_LINE)
        os._exit(INTERRUPTED)
