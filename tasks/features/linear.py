"""Inputs of a linear model: numbers on one scale, what is missing, and one input per level of a category."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.features.spec import LEVELLED, Feature, FeatureSpec

if TYPE_CHECKING:
    import numpy as np


def linear_input(feature: Feature, values: np.ndarray) -> np.ndarray:
    """What `feature` makes of its source's `values`, float64 [n] with NaN for missing; trees' features as they are.

    With a `scale`, missing (and infinite) becomes its fill, then minus mean over standard deviation. `missing`: 1 where
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
    return np.asarray(np.nan_to_num(scaled))  # a difference beyond float64 is its largest number


def category_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """One feature with all levels that the model knows for each column of categories, whichever way it uses them."""
    found: dict[str, Feature] = {}
    for feature in spec.features:
        source, known = feature.source, found.get(feature.source)
        if feature.kind == "indicator":
            levels = (*(known.levels if known else ()), feature.levels[0])
            found[source] = Feature(name=source, source=source, kind="code", levels=levels)
        elif feature.kind in LEVELLED:
            found[source] = feature
    return tuple(found.values())
