"""Exact SHAP values of a booster: what each feature adds to a row's margin.

Of trees they are XGBoost's (`pred_contribs`: TreeSHAP, Lundberg, Erion & Lee 2018, Consistent individualized feature
attribution for tree ensembles). Of a linear model without trees they are coefficient x (value - mean), which are the
exact Shapley values where features are taken as independent (Lundberg & Lee 2017, corollary 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.coefficients import line_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from xgboost import Booster

    from treadle.tasks.features import FeatureSpec

BYTES_PER_NODE = 50
"""Of a tree's node in XGBoost's own file format, about."""

SHAP_SECONDS = 3e-9
"""Per row, leaf and square of a leaf's depth, of one core: 2.6 and 3.0 ns measured on models of 200 and 500 rounds."""

PREDICT_SECONDS = 2e-9
"""Per row, tree and level, of one core: 1.5 and 2 ns measured."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """`values` float64 [rows, features or columns, margins], `base` float64 [margins], `margins` [rows, margins].

    `background` [features] are the means that a linear model's values are relative to, None of trees.
    """

    values: np.ndarray
    base: np.ndarray
    margins: np.ndarray
    background: np.ndarray | None = None

    @property
    def error(self) -> float:
        """The largest |base + contributions - margin|, as a share of the row's absolute contributions (at least 1)."""
        import numpy as np

        if not len(self.values):
            return 0.0
        apart = np.abs(self.base + self.values.sum(axis=1) - self.margins)
        return float((apart / np.maximum(1.0, np.abs(self.base) + np.abs(self.values).sum(axis=1))).max())

    def by_column(self, spec: FeatureSpec) -> Contributions:
        """The same summed to the columns of `spec.sources`; a feature of two columns counts half for each."""
        import numpy as np

        places = {name: at for at, name in enumerate(spec.sources)}
        shares = np.zeros((len(spec.features), len(places)))
        for index, feature in enumerate(spec.features):
            for source in feature.sources:
                shares[index, places[source]] += 1 / len(feature.sources)
        return Contributions(np.einsum("rfm,fc->rcm", self.values, shares), self.base, self.margins, self.background)

    def shifted(self, offset: float) -> Contributions:
        """The same with base value and margins greater by `offset`."""
        return Contributions(self.values, self.base + offset, self.margins + offset, self.background)

    def centred(self) -> Contributions:
        """The same for each margin less the mean of all margins: what softmax sees. One margin stays as it is."""
        if self.values.shape[2] == 1:
            return self
        return Contributions(
            self.values - self.values.mean(axis=2, keepdims=True),
            self.base - self.base.mean(),
            self.margins - self.margins.mean(axis=1, keepdims=True),
            self.background,
        )


def contributions(booster: Booster, X: np.ndarray, background: np.ndarray | None = None) -> Contributions:
    """The contributions of each feature to the margins of `X` float32 [rows, features].

    `background` [features] are the means that a linear model's contributions are relative to (default: those of `X`);
    trees bring their own, the rows that they were fitted on.
    """
    import numpy as np
    import xgboost

    from treadle.tasks.booster import predict_margin

    line = line_of(booster)
    if line is not None:
        weights = np.array(line.weights, dtype=np.float64).reshape(X.shape[1], len(line.intercept))
        inputs = np.nan_to_num(X.astype(np.float64))
        mean = inputs.mean(axis=0) if background is None else background
        margins = line.margins(X).astype(np.float64).reshape(len(X), -1)
        return Contributions((inputs - mean)[:, :, None] * weights, np.array(line.intercept) + mean @ weights, margins)
    margins = predict_margin(booster, X).astype(np.float64).reshape(len(X), -1)
    rows = xgboost.DMatrix(np.ascontiguousarray(X, dtype=np.float32), feature_names=booster.feature_names)
    found = booster.predict(rows, pred_contribs=True).astype(np.float64)
    found = found.reshape(len(X), margins.shape[1], X.shape[1] + 1).transpose(0, 2, 1)
    return Contributions(found[:, :-1], found[0, -1], margins)


@dataclass(frozen=True, slots=True)
class RowCost:
    """About how many seconds one row takes on one core: its contributions, and its prediction."""

    shap: float
    predict: float


def row_cost(booster: Booster) -> RowCost:
    """What a row costs, from the size of the booster, so that samples are the same on any machine."""
    if line_of(booster) is not None:
        return RowCost(1e-6, 1e-6)
    nodes = max(1.0, len(booster.save_raw("ubj")) / BYTES_PER_NODE)
    trees = max(1, booster.num_boosted_rounds() * max(1, _outputs(booster)))
    depth = math.log2(max(2.0, nodes / trees)) + 1
    return RowCost(SHAP_SECONDS * nodes / 2 * depth**2, PREDICT_SECONDS * trees * depth + 1e-6)


def _outputs(booster: Booster) -> int:
    import json

    return int(json.loads(booster.save_config())["learner"]["learner_model_param"]["num_class"])


def rows_for(whole: float, each: float, *, fewest: int, most: int) -> int:
    """How many rows that cost `each` fit into the `whole`, between `fewest` and `most`."""
    return int(min(most, max(fewest, whole / each)))


def unit_of(task: str, link: str, transform: str, target: str, classes: Sequence[str]) -> str:
    """The unit of contributions in words: what adding one to the margin does to the prediction."""
    if task == "binary":
        return f"log-odds of {classes[1]} (+0.69 doubles the odds, −0.69 halves them)"
    if task == "multiclass":
        return "log-odds of the class against the average class (+0.69 doubles its odds, −0.69 halves them)"
    if link == "exp":
        return f"logarithm of {target} (+0.69 doubles the prediction, −0.69 halves it)"
    if transform == "log1p":
        return f"logarithm of 1 + {target} (+0.69 doubles 1 + the prediction, −0.69 halves it)"
    if link == "logistic":
        return f"log-odds of {target} (+0.69 doubles the odds, −0.69 halves them)"
    return f"the unit of {target}"
