"""What is taken off numbers before they become float32, which XGBoost computes in.

Float32 holds 24 binary digits: of seconds since 1970 (1.7e9) it knows every 128th only. Numbers that lie far from 0
beside their spread are therefore centred in float64 first. A tree does not mind: its splits move along.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError, TargetError

if TYPE_CHECKING:
    import numpy as np

FAR = 2.0**13
"""Numbers are centred where they lie farther from 0 than so many times their spread.

Nearer ones keep 1,000 steps of float32 or more within their spread.
"""

LARGEST = 3.4028234663852886e38
"""The largest number of float32."""

RANGES = ((0.25, 0.75), (0.1, 0.9), (0.01, 0.99), (0.0, 1.0))
"""Quantiles between which numbers are spread: the first two that differ."""


LOOKED_AT = 50_000
"""Of more values than twice this only some are looked at, evenly spaced."""


def offset_of(values: np.ndarray) -> float:
    """What is taken off `values` [n] before they become float32; 0 where float32 holds them well as they are.

    It is their median, rounded to a whole multiple of the greatest power of two within their spread, so that whole
    numbers stay whole. NaN and infinity are left out; numbers that do not differ have no offset.
    """
    import numpy as np

    known = np.asarray(values, dtype=np.float64)[:: max(1, len(values) // LOOKED_AT)]
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0
    middle = float(np.quantile(known, 0.5, method="inverted_cdf"))
    for low, high in RANGES:
        first, last = (float(one) for one in np.quantile(known, [low, high], method="inverted_cdf"))
        if last > first:
            spread = last - first
            if not math.isfinite(spread) or abs(middle) <= FAR * spread:
                return 0.0
            step = 2.0 ** math.floor(math.log2(spread))
            return round(middle / step) * step
    return 0.0


def centred_target(task: str, y: np.ndarray) -> np.ndarray:
    """Labels [n] for quick models that are judged by squared error or R², which no shift changes.

    Regression's values less their offset, everything else as it is.
    """
    offset = offset_of(y) if task == "regression" else 0.0
    return y - offset if offset else y


def check_target_range(values: np.ndarray, target: str) -> None:
    """Raise TargetError where a label of `values` float64 [n] is infinite or beyond float32."""
    if found := _beyond(values):
        raise TargetError(f"target {target!r} {found}", "correct these rows, or divide the column in the source")


def check_range(values: np.ndarray, column: str) -> None:
    """Raise DataError where a number of `values` float64 [n], NaN for missing, is infinite or beyond float32."""
    if found := _beyond(values):
        raise DataError(
            f"column {column!r} {found}",
            f"correct these rows, divide the column in the source, or add {column!r} to data.drop",
        )


def _beyond(values: np.ndarray) -> str:
    """The first number that float32 cannot hold, and how many there are, in words; empty where there is none."""
    import numpy as np

    beyond = np.abs(values) > LARGEST
    if not beyond.any():
        return ""
    return (
        f"is {values[beyond].tolist()[0]!r} in one of {int(beyond.sum()):,} rows beyond the range of float32 "
        f"(at most {LARGEST:.2g} in size), in which models compute"
    )
