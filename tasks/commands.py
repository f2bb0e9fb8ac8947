"""Treadle's own commands as values in advice to people: the pipeline is added where the advice is shown.

Code that raises an error often does not know whether the home has several pipelines, and tasks never do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

PER_PIPELINE = frozenset(
    {
        "check",
        "ingest",
        "maintain",
        "models",
        "monitor",
        "notify",
        "promote",
        "quarantine",
        "report",
        "rollback",
        "score",
        "train",
    }
)
"""The commands that take `-p PIPELINE`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A treadle command for a person; `arguments` is what follows `treadle`, for example `promote 4 --reason '...'`."""

    arguments: str

    def line(self, pipeline: str = "") -> str:
        """The command as a person types it.

        `-p PIPELINE` is added where the command takes and lacks it, and `pipeline` is not empty.

        >>> Command("train --again").line("shop")
        'treadle train --again -p shop'
        """
        words = self.arguments.split()
        lacks = bool(pipeline) and words[0] in PER_PIPELINE and "-p" not in words
        return f"treadle {self.arguments} -p {pipeline}" if lacks else f"treadle {self.arguments}"


Advice: TypeAlias = str | Command | tuple[str | Command, ...]
"""What to do about an error: text and commands in their order, for example `("see: ", Command("models"))`."""


def advice_line(advice: Advice, pipeline: str = "") -> str:
    """`advice` as one line; its commands name `pipeline`, if that is not empty."""
    parts = advice if isinstance(advice, tuple) else (advice,)
    return "".join(part.line(pipeline) if isinstance(part, Command) else part for part in parts)
