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
        return pd.DataFrame({"prediction": p, "lower": p - post["half_width"], "upper": p + post["half_width"]}, index)
    labels = pd.Series(post["classes"])
    if post["task"] == "binary":
        p = np.interp(p, post["knots_x"], post["knots_y"]) if post["knots_x"] else p
        chosen, columns = (p >= post["threshold"]).astype(np.int64), {"probability": p}
    else:
        names = [f"probability_{text_of(label)}" for label in post["classes"]]
        p = p.reshape(len(index), len(names))
        chosen, columns = p.argmax(axis=1), dict(zip(names, p.T, strict=True))
    return pd.DataFrame({"prediction": labels.take(chosen).to_numpy(), **columns}, index=index)
