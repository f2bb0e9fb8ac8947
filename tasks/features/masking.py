"""Levels that training has not seen: cells of known ones are masked, so that a booster learns what to answer for them.

A code that no training row has goes wherever the split of the first level sends it, and gets that level's answer. With
a small share of the known cells masked, it gets the answer for a row of which all but the level is known. On rows with
known levels the loss does not grow (`make audit`, unseen): the masks act like the dropout of an input (Srivastava and
others 2014).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from treadle.tasks.features.encoding import level_codes
from treadle.tasks.features.linear import category_features
from treadle.tasks.features.spec import OTHER

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.features.spec import Feature, FeatureSpec

MASKED_SHARE = 0.03
"""Share of a column's known cells that are masked."""

LEAST_MASKED = 120
"""At least so many cells are masked: of fewer, trees with heavy leaves make no leaf of their own."""

MOST_MASKED_SHARE = 0.2
"""Share of a column's known cells that `LEAST_MASKED` may take on few rows; of many columns one cell a row in all.

On 800 rows of eight columns (`adult`) an eighth cost nothing, and a sixth 0.0017 of log loss.
"""


def mask_known_levels(spec: FeatureSpec, rows: pa.Table, X: np.ndarray, y: np.ndarray, *, seed: int) -> np.ndarray:
    """`X` with some known levels replaced by what an unseen level has: float32 [n, features], a copy where it differs.

    `rows` are typed, `X` is what `spec` makes of them to fit a booster on, `y` [n] are their labels as numbers. All
    features of a column are masked in the same rows, by the values that `encode` gives for an unseen level. Null and
    rare levels stay as they are; the rare ones count as masked. Of each column the masked rows are spread evenly over
    the sorted labels, so that their mean is that of the known cells; which they are follows from `seed` and the
    column's name. A spec without categories changes nothing.
    """
    masked, columns = X, category_features(spec)
    most = min(MOST_MASKED_SHARE, 1 / max(1, len(columns)))
    for column in columns:
        at = _chosen_rows(level_codes(spec, column, rows), y, _seed_of(seed, column.source), most)
        if not len(at):
            continue
        masked = X.copy() if masked is X else masked
        for index, feature in enumerate(spec.features):
            if feature.source == column.source and (value := _unseen_value(feature)) is not None:
                masked[at, index] = value
    return masked


def _chosen_rows(codes: np.ndarray, y: np.ndarray, seed: tuple[int, int], most: float) -> np.ndarray:
    """The rows to mask, int64, none twice; `codes` [n] are those of `level_codes`, `most` is a share of the known."""
    import numpy as np

    known = np.flatnonzero(codes >= 0)
    rare = int((codes == OTHER).sum())
    wanted = max(MASKED_SHARE * len(known), min(LEAST_MASKED, most * len(known)))
    count = int(wanted) - rare
    if count <= 0:
        return known[:0]
    draw = np.random.default_rng(seed)
    ordered = known[np.lexsort((draw.random(len(known)), y[known]))]
    step = len(known) / count
    places = np.floor((draw.random() + np.arange(count)) * step).astype(np.int64)
    return np.sort(ordered[np.minimum(places, len(known) - 1)])


def _unseen_value(feature: Feature) -> float | None:
    """What the feature is for an unseen level; None for a feature that has no levels."""
    if feature.kind == "code":
        return OTHER
    if feature.kind == "indicator":
        return 0.0
    return feature.fallback if feature.kind in ("statistic", "count") else None


def _seed_of(seed: int, name: str) -> tuple[int, int]:
    """A seed for one column, which the others do not change."""
    return abs(seed), zlib.crc32(name.encode("utf-8", "replace"))
