"""What Prefect says of a run that did not end well, in a phrase; its own words are for whoever asks for all of it."""

from __future__ import annotations

import re

LONGEST = 100

ENDED = {9: "its process was killed", 15: "its process was told to end", 2: "its process was interrupted"}
"""What ends a process from outside, by the signal's number."""

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
    "Execution was aborted by a termination signal.": "it was told to end",
    "Execution was aborted by Python system exit call.": "its process ended by itself",
}


def plain(message: str) -> str:
    """A server's message as we would say it, of as many lines as it has; what is plain already stays."""
    if message.strip() in ABORTED:
        return ABORTED[message.strip()]
    if found := EXITED.search(message):
        return _ended(int(found[1]))
    if found := UNSTARTED.match(message):
        return f"it could not be started: {found['why'].strip()}"
    if found := BROKEN.match(message):
        return _ours(found["why"].strip())
    return message


def brief(message: str) -> str:
    """The same in one line that fits into a table, cut between words."""
    first = next(iter(plain(message).strip().splitlines()), "")
    return clipped(first, LONGEST)


def clipped(line: str, longest: int) -> str:
    """A line of at most so many characters and an ellipsis, cut between words."""
    if len(line) <= longest:
        return line
    whole = line[: longest + 1].rpartition(" ")[0] or line[:longest]
    return f"{whole.rstrip(' ,;:')} ..."


def _ended(status: int) -> str:
    """A negative status is a signal's number, and so is one above 128, less that."""
    number = -status if status < 0 else status - 128
    return ENDED.get(number, f"its process ended with status {status}")


def _ours(said: str) -> str:
    """What an exception says, without its class where that is one of ours, which say all there is to say."""
    from treadle.tasks import errors

    name, _, rest = said.partition(": ")
    return rest if isinstance(getattr(errors, name.rpartition(".")[2], None), type) else said
