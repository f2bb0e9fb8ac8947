"""XGBoost: device, matrix, fit, predict."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BoosterSpec(BaseModel):
    """Where the model is trained and which directions it must keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where XGBoost can use one")
    monotone: dict[str, Literal[-1, 0, 1]] = Field(
        default_factory=dict, description="column -> 1 (never falls with it), -1 (never rises), 0 (free)"
    )
