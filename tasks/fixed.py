"""Parameters of XGBoost that a person fixes under [model]: the search then leaves them as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FixedParameters(BaseModel):
    """Keys of [model] that are XGBoost's own names; None is left to the search, or to XGBoost where it tries none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    learning_rate: float | None = Field(None, gt=0, le=1, description="what each tree contributes")
    max_depth: int | None = Field(None, ge=1, le=64, description="splits from a tree's root to a leaf, at most")
    max_leaves: int | None = Field(None, ge=2, le=65_536, description="leaves of a tree, at most")
    grow_policy: Literal["depthwise", "lossguide"] | None = Field(
        None, description="depthwise: level by level; lossguide: where the loss falls most"
    )
    min_child_weight: float | None = Field(None, ge=0, description="sum of hessians that a leaf needs")
    gamma: float | None = Field(None, ge=0, description="loss that a split must save")
    subsample: float | None = Field(None, gt=0, le=1, description="share of rows that a tree sees")
    colsample_bytree: float | None = Field(None, gt=0, le=1, description="share of features that a tree sees")
    colsample_bylevel: float | None = Field(None, gt=0, le=1, description="share of those that a level sees")
    colsample_bynode: float | None = Field(None, gt=0, le=1, description="share of those that a split sees")
    reg_alpha: float | None = Field(None, ge=0, description="L1 penalty of a leaf's value")
    reg_lambda: float | None = Field(None, ge=0, description="L2 penalty of a leaf's value")
    max_delta_step: float | None = Field(None, ge=0, description="limit of a leaf's value; 0: none")
    max_bin: int | None = Field(None, ge=2, le=65_535, description="bins of a number; XGBoost's own: 256")
    num_parallel_tree: int | None = Field(None, ge=1, le=1_000, description="trees of a round: a random forest each")
    scale_pos_weight: float | None = Field(None, gt=0, description="weight of a positive row (binary only)")
    max_cat_threshold: int | None = Field(None, ge=1, description="categories on one side of a native split, at most")
    max_cat_to_onehot: int | None = Field(None, ge=1, description="below so many categories each is split off alone")

    @property
    def fixed(self) -> dict[str, str | int | float]:
        """The parameters that are set, by XGBoost's names."""
        return {name: value for name in FixedParameters.model_fields if (value := getattr(self, name)) is not None}
