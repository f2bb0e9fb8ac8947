"""The choice of a calibration: which map (tasks/calibration_maps.py), if any, makes probabilities come true.

All of it is decided and fitted on answers for rows that the model was not fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.calibration_maps import Calibration, Method, fit_map
from treadle.tasks.influence import row_losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from treadle.tasks.influence import Floats

METHODS: dict[str, tuple[Method, ...]] = {
    "binary": ("temperature", "beta", "isotonic"),
    "multiclass": ("temperature", "vector"),
}
"""What is tried, from few numbers to many."""

FOLDS = 5

WINDOWS = 4
"""With fewer windows of time than this, rows in order of time are cut into so many."""

FEWEST_OF_A_CLASS = 50
"""Binary answers are calibrated where each class has so many rows."""

AGES = (1.0, 0.5)
"""A window of time counts so many times as much as the one after it: all alike, or the newest most."""

SURELY = 0.9
"""One-sided confidence of a gain that is measured on windows of time: they are few."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The map fitted on all rows, and `p`: each row's probability by a map of the same method made without it.

    Of rows in windows of time that map is made of older windows; the oldest window's rows are as they came. `age` is
    how much a window counts beside the one after it (1: all count alike).
    """

    calibration: Calibration
    p: Floats
    age: float = 1.0


def choose_calibration(
    task: str,
    raw: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    windows: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Chosen:
    """The map with the lowest log loss on rows that it was not fitted on; of two the simpler, unless by chance only.

    `raw` [n] or [n, classes] are probabilities for rows that the model was not fitted on, `y` [n] class codes, `weight`
    [n] relative weights (None: all alike). Rows are dealt to `FOLDS` folds in order, whole `groups` [n] (codes)
    together; a gain must exceed its standard error. With `windows` [n] (codes that rise with time) a map is made of
    older windows and measured on the next one, each window counting once (Dawid 1984, prequential forecasting): what
    the newest rows seem to need often does not last. The gain's bound is Student's, one-sided at `SURELY`. Fewer than
    `FEWEST_OF_A_CLASS` rows of one of two classes are not calibrated.
    """
    import numpy as np

    raw64, labels = raw.astype(np.float64), y.astype(np.int64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    rows = _Rows(task, raw64, labels, weights, _codes(groups, labels) if windows is None else windows, windows is None)
    best = Chosen(Calibration(), raw64)
    if not rows.enough():
        return best
    ages = (1.0,) if windows is None else AGES
    loss = _log_loss(labels, best.p)
    for method in METHODS[task]:
        for age in ages:
            p = rows.left_out(method, age)
            gain = loss - _log_loss(labels, p)
            if rows.sure(gain):
                best, loss = Chosen(Calibration(method), p, age), loss - gain
    if best.calibration.method == "none":
        return best
    weighed = weights * rows.by_age(best.age, int(rows.units.max()) + 1)
    return Chosen(fit_map(task, best.calibration.method, raw64, labels, weighed), best.p, best.age)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Answers for rows in units: what is left out together, or (not `exchangeable`) windows in order of time."""

    task: str
    raw: Floats
    y: np.ndarray
    weight: Floats
    units: np.ndarray
    exchangeable: bool

    def enough(self) -> bool:
        """Whether there are rows enough to fit maps and to compare them."""
        import numpy as np

        counts = np.bincount(self.y[self.weight > 0], minlength=2)
        if self.task == "binary":
            return int(counts.min()) >= FEWEST_OF_A_CLASS and len(np.unique(self.units)) >= WINDOWS
        return int(counts.sum()) >= FEWEST_OF_A_CLASS * 2 and len(np.unique(self.units)) >= WINDOWS

    def by_age(self, age: float, now: int) -> Floats:
        """What each row counts at the window `now`, by how many windows its own is older than the last before that."""
        return age ** (now - 1.0 - self.units) if age < 1 else self.units * 0.0 + 1.0

    def lanes(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each unit its number, the rows to fit on, and its own rows: masks [n]."""
        import numpy as np

        if self.exchangeable:
            for fold in range(FOLDS):
                yield fold, self.units % FOLDS != fold, self.units % FOLDS == fold
            return
        for one in np.unique(self.units)[1:]:
            yield int(one), self.units < one, self.units == one

    def left_out(self, method: Method, age: float) -> Floats:
        """The rows' probabilities by maps that were made without them; as they came where there is none."""
        import numpy as np

        p = self.raw.copy()
        for unit, fitted, answered in self.lanes():
            known = self.y[fitted & (self.weight > 0)]
            if len(known) and len(np.unique(known)) > 1:
                weight = (self.weight * self.by_age(age, unit))[fitted]
                p[answered] = fit_map(self.task, method, self.raw[fitted], self.y[fitted], weight).of(
                    self.raw[answered]
                )
        return p

    def sure(self, gain: Floats) -> bool:
        """Whether the mean of `gain` [n] is above 0 by more than chance."""
        import numpy as np
        from scipy.special import stdtrit

        if self.exchangeable:
            mean = float(self.weight @ gain / self.weight.sum())
            errors = np.bincount(self.units, self.weight * (gain - mean))
            return mean > math.sqrt(float(errors @ errors)) / float(self.weight.sum())
        _, unit = np.unique(self.units, return_inverse=True)
        whole = np.bincount(unit, self.weight)
        means = (np.bincount(unit, self.weight * gain) / np.maximum(whole, 1e-12))[1:]
        if len(means) < 2:
            return False
        error = float(means.std(ddof=1)) / math.sqrt(len(means))
        return float(means.mean()) > float(stdtrit(len(means) - 1, SURELY)) * error


def _codes(groups: np.ndarray | None, y: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]


def cut_by_time(times: np.ndarray, length: float = 0.0) -> np.ndarray:
    """A window for each of the `times` [n], int [n] that rises with time: each `length` long, counted from the newest.

    Where that gives fewer than `WINDOWS`, or without a length, they are `WINDOWS` with as many rows each, as far as
    equal times, which stay together, allow. A first window of less than a tenth of a mean one joins the next.
    """
    import numpy as np

    if length > 0:
        since = np.floor((times.max() - times) / length).astype(np.int64)
        counts = np.bincount(since)
        if counts[-1] * 10 < len(times) / len(counts):
            since = np.minimum(since, np.flatnonzero(counts)[-2:][0])
        found = np.unique(since.max() - since, return_inverse=True)[1]
        if found.max() + 1 >= WINDOWS:
            return np.asarray(found)
    ordered = np.sort(times)
    cuts = [ordered[len(ordered) * piece // WINDOWS] for piece in range(1, WINDOWS)]
    return np.asarray(np.unique(np.searchsorted(cuts, times, side="right"), return_inverse=True)[1])


def _log_loss(y: np.ndarray, p: Floats) -> Floats:
    """The log loss of each row [n]; `p` [n] of the class 1, or [n, classes]."""
    return row_losses("log_loss", y, p)
