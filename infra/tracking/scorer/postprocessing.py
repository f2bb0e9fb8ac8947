"""From the booster's raw output to prediction columns.

Repeats `apply_postprocess` of tasks/postprocess.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from treadle.infra.tracking.scorer.values import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def postprocess(post: Mapping[str, Any], raw: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """The prediction columns for the booster's raw output; `post` is what tasks/postprocess.py calls Post."""
    p: np.ndarray = raw.astype(np.float64).ravel()  # the shape of no rows depends on XGBoost's version
    if post["task"] == "regression":
        return pd.DataFrame(amounts(post, p), index)
    labels = pd.Series(post["classes"])
    if post["task"] == "binary":
        p = calibrated(post, p)
        chosen, columns = (p >= post["threshold"]).astype(np.int64), {"probability": p}
    else:
        names = [f"probability_{text_of(label)}" for label in post["classes"]]
        p = calibrated(post, p.reshape(len(index), len(names)))
        chosen, columns = p.argmax(axis=1), dict(zip(names, p.T, strict=True))
    return pd.DataFrame({"prediction": labels.take(chosen).to_numpy(), **columns}, index=index)


def calibrated(post: Mapping[str, Any], p: np.ndarray) -> np.ndarray:
    """Calibrated probabilities float64 [n] or [n, classes]; earlier bundles name no slopes.

    Repeats `mapped` of tasks/calibration_maps.py.
    """
    slopes, shifts = post.get("slopes", ()), post.get("intercepts", ())
    if post["knots_x"]:
        return np.asarray(np.interp(p, post["knots_x"], post["knots_y"]))
    if not len(slopes):
        return p
    logs = np.log(np.maximum(p, 2.0**-149))
    if p.ndim == 1:
        rest = np.log(np.maximum(1.0 - p, 2.0**-25))
        logit = np.clip(slopes[0] * logs - slopes[1] * rest + shifts[0], -36.0, 36.0)
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))
    scores = np.ascontiguousarray(logs * np.array(slopes) + np.array(shifts))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def amounts(post: Mapping[str, Any], raw: np.ndarray) -> dict[str, np.ndarray]:
    """Prediction, lower and upper end for regression's raw output, float64 [n]; earlier bundles name no transform."""
    p, spread, width = raw, post.get("spread", ""), post["half_width"]
    if post.get("transform", ""):
        p = grown(raw, post["smear"])
    if not spread:
        return {"prediction": p, "lower": p - width, "upper": p + width}
    centre = raw if post["transform"] else np.log1p(raw)
    lower, upper = np.minimum(grown(centre - width), p), np.maximum(grown(centre + width), p)
    return {"prediction": p, "lower": lower, "upper": upper}


def grown(values: np.ndarray, smear: float = 1.0) -> np.ndarray:
    """The inverse of log1p times `smear`, at least 0; above 700 exp would overflow."""
    found: np.ndarray = np.maximum(np.exp(np.minimum(values, 700.0)) * smear - 1.0, 0.0)
    return found
