"""Keys of [model] that say what is minimised and which of XGBoost's parameters the search leaves as they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.objective import PARAMETER_OF, WantedObjective


class ModelKeys(BaseModel):
    """What is minimised, which columns may interact, and parameters by XGBoost's own names.

    A parameter that is None is left to the search, or to XGBoost where it tries none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    interactions: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = Field(
        (), description="lists of columns that may interact with one another; the others interact with none"
    )
    objective: str = Field(
        "auto",
        pattern=r"^(auto|[A-Za-z_]\w*:[A-Za-z_]\w*)$",
        description="what is minimised: auto (it follows the metric), XGBoost's name, or module:function of a file "
        "pipelines/module.py",
    )
    target_transform: Literal["auto", "none", "log1p"] = Field(
        "auto", description="log1p: the logarithm of 1 + target is learned; auto: where it is measured to pay"
    )
    tweedie_variance_power: float | None = Field(
        None, gt=1, lt=2, description="of reg:tweedie: near 1 as Poisson, near 2 as Gamma; XGBoost's own: 1.5"
    )
    quantile_alpha: float | None = Field(None, gt=0, lt=1, description="of reg:quantileerror: which quantile")
    huber_slope: float | None = Field(
        None, gt=0, description="of reg:pseudohubererror: errors below it count squared; unset: from the target"
    )

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

    @property
    def wanted(self) -> WantedObjective:
        """What these keys say of the objective."""
        return WantedObjective(
            objective=self.objective,
            target_transform=self.target_transform,
            parameters={name: value for name in PARAMETER_OF if (value := getattr(self, name)) is not None},
        )

    @property
    def fixed(self) -> dict[str, str | int | float]:
        """The parameters that are set, by XGBoost's names; those of an objective are in `wanted`."""
        ours = ("interactions", "objective", "target_transform", *PARAMETER_OF)
        named = [name for name in ModelKeys.model_fields if name not in ours]
        return {name: value for name in named if (value := getattr(self, name)) is not None}
