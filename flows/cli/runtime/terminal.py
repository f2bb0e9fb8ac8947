"""The terminal, kept for the command's own output: the output of libraries goes to a log file.

This is the one place where logging is configured. Descriptors 1 and 2 are pointed elsewhere while a command
runs, because C++ code, progress bars and warnings of libraries write to them directly.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from treadle.flows.context import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOTICES = "treadle"
LOG_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Terminal:
    """The two streams of a command: `out` carries its result, nothing else; `err` progress, notices, errors."""

    out: TextIO
    err: TextIO

    @classmethod
    def of_this_process(cls) -> Terminal:
        """Return copies of stdout and stderr; a closed one becomes the null device."""
        return cls(out=_copy(1, sys.stdout), err=_copy(2, sys.stderr))

    def redirect_libraries(self, log: Path | None, *, debug: bool) -> None:
        """Send what libraries write to stdout or stderr to `log` (None: discard it), until the process ends.

        With `debug` it goes to stderr.
        """
        if sys.stdout is not None:
            with suppress(OSError):
                sys.stdout.flush()
        noise = self.err.fileno() if debug else _open_log(log)
        os.dup2(noise, 1)
        os.dup2(noise, 2)
        configure_logging(debug=debug)

    def discard_output(self) -> None:
        """Point stdout to the null device, so that nothing fails again when buffers are flushed at exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.out.fileno())
        os.dup2(nowhere, 1)

    def write_last(self, line: str) -> None:
        """Write one line past all buffers, as the last thing before the process ends."""
        with suppress(OSError, ValueError):
            self.out.flush()
        # On a terminal: leave the progress bar's line, and show the cursor again that it hid.
        start = "\r\x1b[2K\x1b[?25h" if self.err.isatty() else ""
        with suppress(OSError):
            os.write(self.err.fileno(), f"{start}{line}\n".encode())


def configure_logging(*, debug: bool) -> None:
    """Log everything to stderr, which `redirect_libraries` has pointed to the log file; hide warnings."""
    import warnings

    logging.captureWarnings(True)
    if not debug:
        warnings.simplefilter("ignore")
    noise = logging.StreamHandler(sys.stderr)
    noise.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[noise], force=True)
    logging.getLogger(NOTICES).setLevel(logging.INFO)


class RedactingFormatter(logging.Formatter):
    """Formats records without the passwords of addresses, which libraries print."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text."""
        from treadle.infra.settings import without_secrets

        return without_secrets(super().format(record))


class NoticeHandler(logging.Handler):
    """Passes the project's own log lines to `show_line`; events reach the screen another way."""

    def __init__(self, show_line: Callable[[str], None]) -> None:
        super().__init__(level=logging.INFO)
        self._show_line = show_line
        self.addFilter(lambda record: record.name != events.LOGGER)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._show_line(record.getMessage())


def _copy(descriptor: int, stream: TextIO | None) -> TextIO:
    try:
        copied = os.dup(descriptor)
    except OSError:
        copied = os.open(os.devnull, os.O_WRONLY)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return os.fdopen(copied, "w", encoding=encoding, errors="backslashreplace")


def _open_log(log: Path | None) -> int:
    if log is not None:
        with suppress(OSError):
            log.parent.mkdir(exist_ok=True)
            if log.exists() and log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".old.log"))
            return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.open(os.devnull, os.O_WRONLY)
