"""What the average of several boosters would say, from what some of them say of rows that they were not fitted on.

A bag's boosters answer for a row one by one, each for the rows that it left out; the model that is delivered is the
average of all of them, whose answers scatter less. Rows that were left out several times show by how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.influence import Floats


def expected_average(mean: Floats, squares: Floats, times: np.ndarray, boosters: int) -> Floats:
    """The margins that an average of `boosters` is expected to have on rows that none of them was fitted on.

    `mean` [n] or [n, classes] is the mean of the margins that a row was given by those that left it out, `squares` the
    mean of their squares, and `times` [n] how many they were; rows with none are NaN and stay so. With v the variance
    of `mean` over the rows and e that of one booster's margin for a row, the average's variance is v less
    e (1 / times - 1 / boosters), and its expectation given `mean` lies on the line through the overall mean whose slope
    is the ratio of the two (regression calibration: Carroll et al. 2006, Measurement error in nonlinear models,
    chapter 4). The ranking stays. Where no row was left out twice the margins stay as they are.
    """
    import numpy as np

    often = times >= 2
    if not often.any() or boosters <= int(times[often].max()):
        return mean
    known, wide = mean[often].reshape(int(often.sum()), -1), squares[often].reshape(int(often.sum()), -1)
    count = times[often][:, None]
    apart = float(np.mean((wide - known**2) * count / (count - 1)))
    centred = known - known.mean(axis=1, keepdims=True) if known.shape[1] > 1 else known
    if known.shape[1] > 1:  # what moves all classes' margins alike moves no probability
        apart *= 1.0 - 1.0 / known.shape[1]
    centre = centred.mean(axis=0)
    spread = float(np.mean((centred - centre) ** 2))
    excess = apart * float(np.mean(1 / count) - 1 / boosters)
    share = max(1.0 - excess / spread, 0.5) if spread > 0 else 1.0
    return np.asarray(centre + share * (mean - centre))
