"""What a command prints when something went wrong: one line, the fix, an exit code."""

from __future__ import annotations

import errno
import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.terminal import Terminal

DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the disk is read-only",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown, and as the object that `--json` prints."""

    error: str
    fix: str
    exit_code: int


def explain_error(error: Exception) -> Failure:
    """Return the line, the fix and the exit code of any exception.

    Our own errors have all three; typer's are bad usage; a system error names its file;
    any other error is a bug of ours and names the line of code.
    """
    import typer

    if isinstance(error, TreadleError):
        return Failure(_line(error.message), _line(error.fix), error.exit_code)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    return _refused_by_the_system(error) or Failure(
        _line(f"unexpected {type(error).__name__} at {_code_location(error)}: {error}"),
        "this is a bug of treadle: TREADLE_DEBUG=1 before the command shows the traceback for a report",
        1,
    )


def print_failure(failure: Failure, error: Exception, terminal: Terminal, *, as_json: bool) -> None:
    """Print a failure on stderr and, for programs, on stdout; with its traceback under TREADLE_DEBUG."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=terminal.err, soft_wrap=True, highlight=False)
    if _debugging():
        traceback.print_exception(error, file=terminal.err)
    console.print(Text.assemble(("treadle: ", "bold red"), failure.error))
    if failure.fix:
        console.print(Text.assemble(("  fix: ", "bold"), failure.fix))
    terminal.err.flush()
    if as_json:
        print(json.dumps(asdict(failure), indent=2, ensure_ascii=False), file=terminal.out, flush=True)


def _refused_by_the_system(error: Exception) -> Failure | None:
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return Failure(
            f"{_file_prefix(error)}{DISK_ERRORS[error.errno]}", "make room and run the same command again", 1
        )
    if isinstance(error, PermissionError):
        return Failure(f"{_file_prefix(error)}no right to read or write", "change the rights or the folder", 1)
    if isinstance(error, MemoryError):
        return Failure("not enough memory", "close other programs, or use a machine with more", 1)
    return None


def _usage(error: Exception) -> Failure:
    """Explain typer's own errors; a misspelt option gets its nearest name, as a misspelt command already has."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "treadle"
    possibilities = getattr(error, "possibilities", None)
    message = getattr(error, "message", str(error))
    if possibilities:
        message = f"{message}. Did you mean {' or '.join(sorted(possibilities))}?"
    else:
        message = getattr(error, "format_message", lambda: message)()
    return Failure(_line(message), f"see: {command} --help", int(getattr(error, "exit_code", 2)))


def _file_prefix(error: OSError) -> str:
    return f"{error.filename}: " if error.filename else ""


def _code_location(error: Exception) -> str:
    """Return the last line of our own code that the error went through, as `flows/train/run.py:12`."""
    root = Path(__file__).parents[3]  # the folder of flows/
    ours = [
        f"{Path(frame.filename).relative_to(root)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root)
    ]
    return ours[-1] if ours else "its start"


def _line(text: str) -> str:
    return " ".join(text.split())


def _debugging() -> bool:
    from treadle.infra import settings

    try:
        return settings.here().debug
    except TreadleError:
        return False
