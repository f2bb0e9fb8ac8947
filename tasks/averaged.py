"""Answers for rows left out, and what the average of several boosters would say of such rows.

A bag's boosters answer for a row one by one, each for the rows that it left out; the model that is delivered is the
average of all of them, whose answers scatter less. Rows that were left out several times show by how much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.influence import Floats


class Answers:
    """The answers for `rows` rows, fold after fold: margins [rows] or [rows, classes], the mean of those of several.

    Of `rolling` folds, windows of time that overlap, a row keeps the newest answer, and `by_fold` has each window's own
    as the booster's output for `objective`.
    """

    def __init__(self, objective: str, rows: int, classes: int | None, rolling: bool) -> None:
        import numpy as np

        self.by_fold: list[np.ndarray] = []
        self._objective, self._rolling = objective, rolling
        self._sums = np.zeros((rows,) if classes is None else (rows, classes))
        self._squares, self._times = np.zeros_like(self._sums), np.zeros(rows, dtype=np.int64)

    def begin(self, fold: Fold) -> None:
        """Margins that are added from now on are for the rows that `fold` answers for."""
        self._answered = fold.answered
        self._margins = self._sums[fold.answered] * 0.0

    def add(self, margins: np.ndarray) -> None:
        """Add a member's share of the margins."""
        self._margins += margins

    def end(self) -> None:
        """The fold's margins are complete."""
        from treadle.tasks import booster

        at, margins = self._answered, self._margins
        if self._rolling:
            self.by_fold.append(booster.from_margins(self._objective, margins.astype("float32")))
            self._sums[at] = self._squares[at] = self._times[at] = 0
        self._sums[at] += margins
        self._squares[at] += margins**2
        self._times[at] += 1

    def raw(self, *, average_of: int) -> np.ndarray:
        """The output for each row as an average of so many boosters would have it; NaN where none answered."""
        import numpy as np

        from treadle.tasks import booster

        each = self._times.reshape(-1, *(1 for _ in self._sums.shape[1:]))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, wide = self._sums / each, self._squares / each
        if average_of > 1:
            mean = expected_average(mean, wide, self._times, average_of)
        return booster.from_margins(self._objective, mean.astype(np.float32))


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
