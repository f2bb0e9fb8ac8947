"""What a search is asked for: the section `[tune]`, and what follows the search in the same budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TuneSpec(BaseModel):
    """How long to search, for what, from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trials: int = Field(40, ge=1, le=10_000, description="trials of the study")
    budget_seconds: float = Field(300, gt=0, description="seconds for search, folds and both fits together")
    metric: str = Field("", description="what the search and the gate compare by; empty: the task's default")
    seed: int = Field(0, ge=0, description="seed of every random draw of the run")
    folds: Literal["auto", "never"] = Field(
        "auto",
        description="auto: rows are left out in turn to measure trials where the budget allows eight of them; never: "
        "trials are measured on the validation rows",
    )
    ensemble: Literal["auto", "never"] = Field(
        "auto", description="auto: several trials become one model where that is measurably better; never: one does"
    )


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What follows a search: `effort` is how often a trial's fit on all lanes will be made again, in equal seconds.

    `more_rounds` are those of a second booster beside each fit, in trees like the trial's.
    `max_size` is the largest size of the model in bytes, `max_ms` the longest it may take for 1,000 rows in
    milliseconds; None without a limit. `bagged` models have a booster for each lane.
    """

    effort: float = 0.0
    more_rounds: int = 0
    max_size: float | None = None
    max_ms: float | None = None
    bagged: bool = False

    def seconds(self, *fits: tuple[float, int]) -> float:
        """Seconds of all fits of a model, each of whose members took a trial so many seconds for so many rounds."""
        pace = max((seconds / max(1, rounds) for seconds, rounds in fits), default=0.0)
        return self.effort * (sum(seconds for seconds, _ in fits) + self.more_rounds * pace)
