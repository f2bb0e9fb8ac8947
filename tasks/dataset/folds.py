"""Rows answered for by models that were not fitted on them: in folds, or at rolling origins where they are dated.

`split` parts rows once, for the verdict; here the same kind of parting is repeated until every row, or of dated rows
each of the newest, has been left out once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset.split import canonical_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

FOLDS = 5

ORIGINS = 2
"""The holdout of a time split is answered for in so many pieces, each by what lies before it."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Positions of the rows to fit on and of those to answer for, int64, rising."""

    fitted: np.ndarray
    answered: np.ndarray


def dealt_folds(y: np.ndarray, seed: int) -> tuple[Fold, ...]:
    """Rows dealt in the order of `y` [n] (ties at random), so that each fold has its share of every class or range."""
    return _folds(deal(y, seed))


def grouped_folds(rows: pa.Table, columns: Sequence[str], repeat: int = 0) -> tuple[Fold, ...]:
    """Folds by a hash of the values in `columns`: rows that are alike there are left out together.

    Each `repeat` deals them in another way.
    """
    import numpy as np

    salt = b"fold " if not repeat else b"fold %d " % repeat
    digests = b"".join(
        hashlib.md5(salt + text, usedforsecurity=False).digest()[:4] for text in canonical_rows(rows, columns)
    )
    return _folds(np.frombuffer(digests, dtype=">u4").astype(np.int64) % FOLDS)


def rolling_folds(when: np.ndarray, starts: Sequence[float], gap: float = 0.0) -> tuple[Fold, ...]:
    """For each of `starts` (rising) the rows from there to the next one, answered for by all rows before.

    `when` [n] are times as numbers; rows of one time stay together. Rows less than `gap` before a start are not fitted.
    A start without rows before it, or between it and the next, gives no fold. See Tashman 2000, Out-of-sample tests of
    forecasting accuracy.
    """
    import numpy as np

    found = []
    for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
        before = when <= start - gap if gap else when < start
        fold = Fold(np.flatnonzero(before), np.flatnonzero((when >= start) & (when < end)))
        if len(fold.fitted) and len(fold.answered):
            found.append(fold)
    return tuple(found)


def origins(when: np.ndarray, validation_from: float, holdout_from: float) -> tuple[float, ...]:
    """Where the pieces begin that `rolling_folds` answers for: validation rows, then the holdout's `ORIGINS` pieces."""
    import numpy as np

    late = np.sort(when[when >= holdout_from])
    cuts = [float(late[len(late) * piece // ORIGINS]) for piece in range(1, ORIGINS)] if len(late) else []
    return tuple(sorted({validation_from, holdout_from, *cuts}))


def deal(y: np.ndarray, seed: int, folds: int = FOLDS) -> np.ndarray:
    """A fold for every row, int64 [n], dealt out in the order of `y`."""
    import numpy as np

    shuffled = np.random.default_rng(seed).random(len(y))
    dealt = np.empty(len(y), dtype=np.int64)
    dealt[np.lexsort((shuffled, y))] = np.arange(len(y)) % folds
    return dealt


def _folds(fold: np.ndarray) -> tuple[Fold, ...]:
    import numpy as np

    found = (Fold(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(FOLDS))
    return tuple(one for one in found if len(one.fitted) and len(one.answered))


def error_of_windows(means: Sequence[tuple[float, float]]) -> float:
    """The standard error of a mean over windows, each with its weight and its mean; 0 for fewer than two of them.

    Few windows say little of their spread. The error is as much larger as Student's quantile of one standard error is
    than the normal one: 1.84 times for two windows, 1.32 times for three.
    """
    import numpy as np
    from scipy.special import ndtr, stdtrit

    if len(means) < 2:
        return 0.0
    share, values = (np.array(column) for column in zip(*means, strict=True))
    share = share / share.sum()
    apart = share * (values - share @ values)
    freedom = len(means) - 1
    return float(stdtrit(freedom, ndtr(1.0)) * np.sqrt(apart @ apart * len(means) / freedom))
