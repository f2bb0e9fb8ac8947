"""The interval of a share."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.influence import Floats


@overload
def share_ends(share: float, rows: float, quantile: float) -> tuple[float, float]: ...


@overload
def share_ends(share: Floats, rows: np.ndarray, quantile: float) -> tuple[Floats, Floats]: ...


def share_ends(
    share: float | Floats, rows: float | np.ndarray, quantile: float
) -> tuple[float | Floats, float | Floats]:
    """Lower and upper end of the interval of `share` among `rows`, numbers or [k] each (Wilson 1927).

    `quantile` is that of the standard normal for one end: 1.96 for 95%. `rows`, above 0, need not be whole: for rows
    that depend on each other or are weighted it is how many independent ones say as much (Korn & Graubard 1998).
    """
    import numpy as np

    middle = (share + quantile**2 / (2 * rows)) / (1 + quantile**2 / rows)
    half = quantile / (1 + quantile**2 / rows) * np.sqrt(share * (1 - share) / rows + quantile**2 / (4 * rows**2))
    # rounding must not part a share of 0 or 1 from its end
    return np.minimum(np.maximum(middle - half, 0.0), share), np.maximum(np.minimum(middle + half, 1.0), share)
