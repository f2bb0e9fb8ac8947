"""Commands that we name to people: where a home has several pipelines, each has to say which.

Whoever writes an error knows no home; so what an error names is completed where it is shown.
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
    """`text` with `-p PIPELINE` in every command of ours that takes it and has it not; without `pipeline` as it is."""
    if not pipeline:
        return text
    return COMMAND.sub(lambda found: found[0] if " -p " in found[0] else f"{found[0]} -p {pipeline}", text)


def complete_commands(error: TreadleError, pipeline: str) -> None:
    """Let an error's own commands name the pipeline that it is about."""
    error.message, error.way_out = with_pipeline(error.message, pipeline), with_pipeline(error.way_out, pipeline)
