"""The margins of a linear model, whose coefficients stand in an attribute of a booster without trees.

Repeats tasks/coefficients.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xgboost


def linear_margins(booster: xgboost.Booster, encoded: np.ndarray) -> np.ndarray | None:
    """Float32 [rows] or [rows, classes], summed in float64 feature by feature; None for a booster of trees."""
    text = booster.attr("linear")
    if text is None:
        return None
    line, limit = json.loads(text), float(np.finfo(np.float32).max)
    total = np.tile(np.array(line["intercept"]), (len(encoded), 1))
    with np.errstate(over="ignore"):
        for index, weights in enumerate(line["weights"]):
            total += np.nan_to_num(encoded[:, index].astype(np.float64))[:, None] * np.array(weights)
    clipped: np.ndarray = np.clip(total, -limit, limit).astype(np.float32)
    return clipped[:, 0] if len(line["intercept"]) == 1 else clipped
