"""Which rows train, which tune, which judge."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SplitSpec(BaseModel):
    """How rows are parted into training, validation and holdout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    strategy: Literal["time", "random", "group"] = Field("random", description="what keeps the parts apart")
    holdout: float = Field(0.2, ge=0.05, le=0.5, description="share of rows that only the gate reads")
    validation: float = Field(0.2, ge=0.05, le=0.5, description="share of rows that the search compares on")
    group: str = Field("", description="column whose equal values stay in one part (strategy = group)")
