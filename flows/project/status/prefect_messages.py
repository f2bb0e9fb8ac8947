"""Shorten Prefect's messages about failed runs to a phrase; `--json` keeps the originals."""

from __future__ import annotations

import re

LONGEST = 100

SIGNALS = {9: "its process was killed", 15: "its process was terminated", 2: "its process was interrupted"}
"""Phrases for a process that a signal ended, by the signal's number."""

EXITED = re.compile(r"exited with (?:a )?(?:non-zero )?status code:? (-?\d+)")
UNSTARTED = re.compile(
    r"(?:Flow run could not start|Failed to submit flow run to infrastructure|Flow run bundle could not be created"
    r"|Flow run process could not be started):\s*(?P<why>.*)",
    re.DOTALL,
)
BROKEN = re.compile(
    r"(?:Flow run encountered an exception|Execution was interrupted by an unexpected exception):\s*(?P<why>.*)",
    re.DOTALL,
)
ABORTED = {
    "Execution was cancelled by the runtime environment.": "it was cancelled",
    "Execution was aborted by an interrupt signal.": "it was interrupted",
    "Execution was aborted by a termination signal.": "it was terminated",
    "Execution was aborted by Python system exit call.": "its process exited",
    "The command's process ended before the run did.": "it was interrupted or killed",
}


def plain(message: str) -> str:
    """A server's message as a plain phrase; returned unchanged where its form is unknown. May have several lines."""
    if message.strip() in ABORTED:
        return ABORTED[message.strip()]
    if match := EXITED.search(message):
        return _exit_phrase(int(match[1]))
    if match := UNSTARTED.match(message):
        return f"it could not be started: {match['why'].strip()}"
    if match := BROKEN.match(message):
        return _without_our_class(match["why"].strip())
    return message


def brief(message: str) -> str:
    """The first line of `plain(message)`, clipped for a table."""
    first = next(iter(plain(message).strip().splitlines()), "")
    return clipped(first, LONGEST)


def clipped(line: str, longest: int) -> str:
    """The line if it has at most `longest` characters, else cut between words, with an ellipsis added."""
    if len(line) <= longest:
        return line
    words = line[: longest + 1].rpartition(" ")[0] or line[:longest]
    return f"{words.rstrip(' ,;:')} ..."


def _exit_phrase(status: int) -> str:
    """A phrase for an exit status; the signal's number is a negative status, or one above 128 less 128."""
    number = -status if status < 0 else status - 128
    return SIGNALS.get(number, f"its process ended with status {status}")


def _without_our_class(exception: str) -> str:
    """`CLASS: MESSAGE` without the class if it is one of our errors, whose messages are complete."""
    from treadle.tasks import errors

    name, _, message = exception.partition(": ")
    return message if isinstance(getattr(errors, name.rpartition(".")[2], None), type) else exception
