"""A target's own scale and the one that is learned, there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Transform = Literal["", "log1p"]
"""What is done to a target before training: nothing, or the natural logarithm of 1 + y."""

LARGEST_LOG = 700.0
"""exp of more overflows float64."""


def to_training_target(transform: Transform, y: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Labels [n] on the target's own scale as XGBoost gets them, float32: transformed, then less `offset`."""
    import numpy as np

    if not transform:
        return np.asarray(y - offset if offset else y, dtype=np.float32)
    return (np.log1p(np.asarray(y, dtype=np.float64)) - offset).astype(np.float32)


def from_raw(transform: Transform, raw: np.ndarray, smear: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """`raw` on the target's own scale, float64: plus `offset`, then with a transform smear x exp(.) - 1, at least 0."""
    import numpy as np

    values = np.asarray(raw, dtype=np.float64)
    values = values + offset if offset else values
    if not transform:
        return values
    found: np.ndarray = np.maximum(np.exp(np.minimum(values, LARGEST_LOG)) * smear - 1.0, 0.0)
    return found


def smearing(y: np.ndarray, raw: np.ndarray, weight: np.ndarray | None = None) -> float:
    """By what exp(raw) is multiplied to estimate the mean: the mean of exp(residual) (Duan 1983, JASA 78, 605-610).

    `y` [n] on the target's own scale, `raw` [n] the booster's output for rows that it was not fitted on. `weight` [n]
    weighs rows (default: 1).
    """
    import numpy as np

    if not len(y):
        return 1.0
    residuals = np.log1p(np.asarray(y, dtype=np.float64)) - np.asarray(raw, dtype=np.float64)
    return float(np.average(np.exp(np.minimum(residuals, LARGEST_LOG)), weights=weight))
