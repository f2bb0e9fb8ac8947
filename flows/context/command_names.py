"""Add `-p PIPELINE` to the commands in messages: with several pipelines in a home, each command has to name one.

Code that raises an error does not know the home, so the commands in it are completed where it is shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.tasks.errors import TreadleError

QUARANTINE = ("list", "show", "release", "drop")
VERBS = (
    "check",
    "ingest",
    "train",
    "score",
    "monitor",
    "notify",
    "models",
    "promote",
    "rollback",
    "report",
    "maintain",
)
"""The commands that take -p."""

COMMAND = re.compile(
    rf"treadle (?:quarantine (?:{'|'.join(QUARANTINE)})|{'|'.join(VERBS)})\b"
    r"(?: (?:-p [\w-]+|--[a-z][a-z-]*|'[^']*'|[A-Z]+\b|(?:labels-)?[0-9a-f]*\d[\w-]*))*"
)


def with_pipeline(text: str, pipeline: str) -> str:
    """`text` with `-p PIPELINE` added to the treadle commands that take and lack it; unchanged without `pipeline`."""
    if not pipeline:
        return text
    return COMMAND.sub(lambda match: match[0] if " -p " in match[0] else f"{match[0]} -p {pipeline}", text)


def complete_commands(error: TreadleError, pipeline: str) -> None:
    """Add `-p PIPELINE` to the commands in an error, in place."""
    error.message, error.way_out = with_pipeline(error.message, pipeline), with_pipeline(error.way_out, pipeline)
