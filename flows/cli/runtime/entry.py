"""The way from the shell into a command and back: interrupts and errors become one line and an exit code."""

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
INTERRUPT_GRACE_SECONDS = 5.0
INTERRUPT_LINE = "treadle: interrupted; the same command goes on where this one stopped"


def run_command_line(load_app: Callable[[], typer.Typer]) -> int:
    """Run the command that the shell named and return its exit code.

    `load_app` imports the commands. It is called after Ctrl-C is handled, and keeps this package free of them.
    """
    terminal = Terminal.of_this_process()
    interrupts = InterruptHandler(terminal)
    arguments = sys.argv[1:] or ["--help"]
    try:
        signal.signal(signal.SIGINT, interrupts)
        code = load_app()(arguments, prog_name="treadle", standalone_mode=False, obj=terminal)
        if interrupts.received:  # typer turns a KeyboardInterrupt into an exit code without a message
            interrupts.exit_process()
        terminal.out.flush()
    except KeyboardInterrupt:
        interrupts.exit_process()
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # the reader of a help page closed the pipe
            terminal.discard_output()
            return 0
        raise
    except Exception as error:
        if interrupts.received:  # DuckDB answers an interrupt with an error of its own
            interrupts.exit_process()
        return report_error(error, terminal, arguments)
    return int(code or 0)


def report_error(error: Exception, terminal: Terminal, arguments: list[str]) -> int:
    """Print an error on stderr (and, under --json, as an object on stdout) and return its exit code."""
    from treadle.flows.cli.runtime.failures import explain_error, print_failure

    failure = explain_error(error)
    try:
        print_failure(failure, error, terminal, as_json="--json" in arguments)
    except BrokenPipeError:
        terminal.discard_output()
    return failure.exit_code


class InterruptHandler:
    """Handles Ctrl-C: the first unwinds the command, a second one, or five seconds, end the process.

    Every write of a command is atomic, so the process may end at any moment. Some C code swallows a
    KeyboardInterrupt; the five seconds are for that.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.received = False
        self._line_printed = threading.Lock()

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle SIGINT; raises KeyboardInterrupt the first time."""
        if self.received:
            self.exit_process()
        self.received = True
        alarm = threading.Timer(INTERRUPT_GRACE_SECONDS, self.exit_process)
        alarm.daemon = True
        alarm.start()
        raise KeyboardInterrupt

    def exit_process(self) -> NoReturn:
        """Print the interrupt line once and end the process without waiting for libraries' threads."""
        if self._line_printed.acquire(blocking=False):
            self._terminal.write_last(INTERRUPT_LINE)
        os._exit(INTERRUPTED)
