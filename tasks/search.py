"""The Optuna study: which parameters, in which order, within which trials and seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TuneSpec(BaseModel):
    """How long to search, for what, from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trials: int = Field(40, ge=1, le=10_000, description="trials of the study")
    budget_seconds: float = Field(300, gt=0, description="seconds that the search may take in all")
    metric: str = Field("", description="what the search and the gate compare by; empty: the task's default")
    seed: int = Field(0, ge=0, description="seed of every random draw of the run")
