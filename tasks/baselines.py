"""What a model is compared with: a dummy that uses no feature, and a linear model."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from sklearn.pipeline import Pipeline

    from treadle.tasks.booster import MatrixRows

LINEAR_ROWS = 50_000
"""A line needs no more rows: of larger parts it gets a sample of so many."""

ONE_HOT_LEVELS = 30
"""Codes of so few levels become a column each; codes of more say nothing to a line and are left out."""

AS_GOOD = 0.02
"""A line is as good where a model wins less than this share of the way that it leads from the dummy."""


def as_good(metric: str, model: float, line: float, chance: float) -> bool:
    """Whether a linear model's value of `metric` is as good as the model's; `chance` is the dummy's. NaN is not."""
    from treadle.tasks.metrics import gain

    lead, way = gain(metric, model, line), gain(metric, model, chance)
    return lead <= AS_GOOD * (0.0 if math.isnan(way) else max(0.0, way))


def dummy(task: str, y: np.ndarray, rows: int, *, classes: int, weight: np.ndarray | None = None) -> np.ndarray:
    """The same answer for each of `rows` rows: the mean of `y`, or the shares of its class codes.

    `y` float32 [n], each counting by its `weight` [n]; returns float64 [rows], for multiclass [rows, classes].
    """
    import numpy as np

    weights = relative(weight)
    if task == "multiclass":
        shares = np.bincount(y.astype(np.int64), weights, classes) / (len(y) if weights is None else weights.sum())
        return np.tile(shares, (rows, 1))
    mean = np.mean(y, dtype=np.float64) if weights is None else weights @ y.astype(np.float64) / weights.sum()
    return np.full(rows, float(mean))


def linear(
    task: str, train: MatrixRows, X: np.ndarray, *, kinds: Mapping[str, str], classes: int, seed: int
) -> np.ndarray:
    """Predictions for `X` of a ridge or logistic regression fitted on (a sample of) `train`, by its weights.

    `kinds` maps feature names to kinds, in the order of the columns (see `features.Feature`). Missing numbers become
    the median and say that they were missing; codes of few levels are one-hot. Returns float64 as `dummy` does.
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    rows = np.arange(len(train.y))
    if len(rows) > LINEAR_ROWS:
        rows = np.random.default_rng(seed).choice(rows, LINEAR_ROWS, replace=False)
    model = _pipeline(task, train.X[rows], kinds)
    target = train.y[rows].astype(np.float64 if task == "regression" else np.int64)
    with warnings.catch_warnings():
        # a line that has not quite settled is a fair comparison still
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = relative(None if train.weight is None else train.weight[rows])
        fitter = model.steps[-1][0]
        model.fit(train.X[rows], target, **({} if weights is None else {f"{fitter}__sample_weight": weights}))
    if task == "regression":
        return np.asarray(model.predict(X), dtype=np.float64)
    found = model.predict_proba(X)
    if task == "binary":
        return np.asarray(found[:, 1], dtype=np.float64)
    p = np.zeros((len(X), classes))
    p[:, model.classes_] = found
    return p


def _pipeline(task: str, X: np.ndarray, kinds: Mapping[str, str]) -> Pipeline:
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    codes = [index for index, kind in enumerate(kinds.values()) if kind == "code"]
    few = [index for index in codes if len(np.unique(X[:, index])) <= ONE_HOT_LEVELS]
    numbers = [index for index in range(X.shape[1]) if index not in codes]
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
                ),
                numbers,
            ),
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
        ]
    )
    fitter = Ridge(alpha=1.0) if task == "regression" else LogisticRegression(C=1.0, max_iter=200)
    return make_pipeline(columns, fitter)
