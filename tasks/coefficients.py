"""A linear model inside a booster file: an XGBoost booster without trees that carries coefficients as an attribute.

XGBoost's own `gblinear` is deprecated since 3.3 and will be removed, after which its files could not be read. A booster
without trees stays readable: its margin is computed here, handed over as `base_margin`, and XGBoost applies the
objective's link as ever. So a bundle holds the same files whichever kind of model answers.

The scorer repeats `Coefficients.margins` (infra/tracking/scorer/coefficients.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from xgboost import Booster

ATTRIBUTE = "linear"
"""The booster's attribute that holds `Coefficients` as JSON."""


class Coefficients(BaseModel):
    """A linear model: one margin for a binary task or a regression, one per class for a multiclass task.

    `weights` are [features][margins], for inputs as the FeatureSpec makes them; `intercept` is [margins]; `spread`
    [features] is the standard deviation of each input over the training rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[tuple[float, ...], ...]
    intercept: tuple[float, ...]
    spread: tuple[float, ...]

    def margins(self, X: np.ndarray) -> np.ndarray:
        """Margins for `X` float32 [n, features]: float32 [n], or [n, classes].

        Summed feature by feature in float64, so that a row's margin does not depend on the rows beside it; beyond
        float32's range it is clipped. A missing value counts as 0.
        """
        import numpy as np

        limit = float(np.finfo(np.float32).max)
        total = np.tile(np.array(self.intercept), (len(X), 1))
        with np.errstate(over="ignore"):
            for index, weights in enumerate(self.weights):
                total += np.nan_to_num(X[:, index].astype(np.float64))[:, None] * np.array(weights)
        clipped: np.ndarray = np.clip(total, -limit, limit).astype(np.float32)
        return clipped[:, 0] if len(self.intercept) == 1 else clipped

    def importance(self) -> tuple[float, ...]:
        """Each feature's share of the sum of |coefficient x standard deviation|; sums to 1, or all are 0."""
        moved = [
            sum(abs(weight) for weight in weights) * std for weights, std in zip(self.weights, self.spread, strict=True)
        ]
        total = sum(moved) or 1.0
        return tuple(one / total for one in moved)


def linear_booster(line: Coefficients, *, objective: str, names: Sequence[str]) -> Booster:
    """A booster without trees whose predictions are those of `line` under the link of XGBoost's `objective`."""
    import numpy as np
    import xgboost

    classes = len(line.intercept)
    params: dict[str, str | int | float] = {"objective": objective, "nthread": 1}
    params |= {"num_class": classes} if classes > 1 else {"base_score": 0.5}
    rows = np.zeros((classes, len(names)), dtype=np.float32)
    booster = xgboost.train(params, xgboost.DMatrix(rows, np.arange(classes), feature_names=list(names)), 0)
    booster.set_attr(**{ATTRIBUTE: line.model_dump_json()})
    booster.set_param({"device": "cpu", "nthread": 0})
    return booster


def line_of(booster: Booster) -> Coefficients | None:
    """The coefficients that a booster carries; None for a booster of trees."""
    text = booster.attr(ATTRIBUTE)
    return None if text is None else Coefficients.model_validate_json(text)
