"""A topic of the audit in one process: its figures, its seconds, and its failure where it failed."""

from __future__ import annotations

import pkgutil
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """One measured error and its limit."""

    topic: str
    experiment: str
    figure: str
    measured: float
    limit: float

    @property
    def ok(self) -> bool:
        """False for NaN too."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Measured:
    """A topic's figures, its seconds, and the traceback where it failed after them."""

    topic: str
    figures: tuple[Figure, ...]
    seconds: float
    failure: str = ""


def topics() -> list[str]:
    """The modules of this folder that have a function `rows`."""
    found = sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.name.startswith("_"))
    return [name for name in found if hasattr(import_module(f"tests.audit.{name}"), "rows")]


def measure(topic: str, scale: int, seed: int) -> Measured:
    """All figures of a topic; those that it had yielded are kept where it fails."""
    began, figures, failure = time.monotonic(), [], ""
    try:
        for experiment, figure, measured, limit in import_module(f"tests.audit.{topic}").rows(scale, seed):
            figures.append(Figure(topic, experiment, figure, float(measured), float(limit)))
        if not figures:
            failure = "the topic measured nothing"
    except Exception:
        failure = traceback.format_exc()
    return Measured(topic, tuple(figures), round(time.monotonic() - began, 1), failure)
