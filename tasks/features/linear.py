"""Inputs of a linear model: numbers on one scale, what is missing, and one input per level of a category."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.features.spec import Feature, FeatureSpec

if TYPE_CHECKING:
    import numpy as np


def linear_input(feature: Feature, values: np.ndarray) -> np.ndarray:
    """What `feature` makes of its source's `values`, float64 [n] with NaN for missing; trees' features as they are.

    `scaled`: missing (and infinite) becomes the fill, then minus mean over standard deviation. `missing`: 1 where
    there is no value, else 0. `indicator`: 1 where the code is the first level's, else 0, also for missing.
    """
    import numpy as np

    if feature.kind == "missing":
        return np.where(np.isfinite(values), 0.0, 1.0)
    if feature.kind == "indicator":
        return np.where(values == 0, 1.0, 0.0)
    if feature.scale is None:
        return values
    filled = np.where(np.isfinite(values), values, feature.scale.fill)
    with np.errstate(over="ignore"):
        scaled: np.ndarray = (filled - feature.scale.mean) / feature.scale.std
    return np.nan_to_num(scaled)  # a difference beyond float64 is its largest number


def category_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """One `code` feature for each column of categories: those of the spec, and one for the indicators of a column.

    It knows all levels that the model knows, whichever way it uses them.
    """
    levels: dict[str, tuple[str, ...]] = {}
    for feature in spec.features:
        if feature.kind == "indicator":
            levels[feature.source] = (*levels.get(feature.source, ()), feature.levels[0])
    together = (Feature(name=name, source=name, kind="code", levels=of) for name, of in levels.items())
    return (*(feature for feature in spec.features if feature.kind == "code"), *together)
