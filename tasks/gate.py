"""The gate: is the challenger better than the champion on rows that neither has seen?"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GateSpec(BaseModel):
    """What a challenger must show before it is promoted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_gain: float = Field(0.0, description="the gain's lower bound must exceed this")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="one-sided error level of the bound")
    detect: float = Field(
        0.02, gt=0, description="a gain that the rows must be able to show (for errors: a share of the champion's)"
    )
    slices: tuple[str, ...] = Field((), description="columns whose slices are watched")
