"""What is decided before the first trial of a search, as it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.objective import Objective
from treadle.tasks.validation import Layout

if TYPE_CHECKING:
    from treadle.tasks.training import Problem


class Preparation(BaseModel):
    """What is decided before the first trial.

    `dropped` columns only tell time apart, and hurt later rows. `encodings` says what columns become, `differences` of
    which pairs of dates the difference is a feature; `reasons` are sentences for people; `seconds` is what it took;
    `by_clock` says that the time ran out before all was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout = Layout()
    dropped: tuple[str, ...] = ()
    encodings: dict[str, tuple[str, ...]] = {}
    differences: tuple[tuple[str, str], ...] = ()
    objective: Objective | None = None
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    by_clock: bool = False

    def narrowed(self, problem: Problem) -> Problem:
        """The problem without the columns that are dropped."""
        return replace(problem, columns=tuple(name for name in problem.columns if name not in self.dropped))
