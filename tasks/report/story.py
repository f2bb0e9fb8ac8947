"""A report's content: the results of one training run, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from treadle.tasks.booster import Curve
    from treadle.tasks.explain import Explanation
    from treadle.tasks.gate import Verdict
    from treadle.tasks.leakage import Leak
    from treadle.tasks.search import Trial
    from treadle.tasks.suspects import Suspect
    from treadle.tasks.training import TrainingLabel


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reader of the report must know about one subject: `sentences` in plain words under a `title`.

    `caution` marks what limits the use of the model.
    """

    title: str
    sentences: tuple[str, ...]
    caution: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """One run, ready to be reported; `y`, `p`, `lower` and `upper` are of the same n holdout rows, in order.

    `scores` maps who ('challenger', 'champion', 'linear', 'dummy'; any but the first may be absent) to metric
    values on the holdout, `train_scores` are the challenger's on its training rows; NaN is shown as "n/a".
    `y` holds class codes or values; `p` the calibrated probability of the positive class [n] (binary) or of
    each class [n, classes], or the prediction [n] (regression). `lower` and `upper` [n] are regression's 90%
    interval, `threshold` is binary's, on `p`. `importance` maps source columns to their share of the gain.
    `facts` are shown as they are, in order. `weight` [n] weighs the holdout rows in scores, curves and calibration;
    other pictures count each row once (None: all do). `findings` stand on the first screen, below the verdict.
    `explanation` says what the predictions are made of (None: not measured). `span` says in words of when the rows are
    that judged (empty: they are not dated).
    """

    pipeline: str
    version: int | None
    verdict: Verdict
    task: str
    metric: str
    target: str
    classes: tuple[TrainingLabel, ...]
    scores: Mapping[str, Mapping[str, float]]
    train_scores: Mapping[str, float]
    curve: Curve
    y: np.ndarray
    p: np.ndarray
    threshold: float | None
    importance: Mapping[str, float]
    trials: Sequence[Trial]
    facts: Mapping[str, str]
    holdout_reads: int
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    leaks: Sequence[Leak] = ()
    suspects: Sequence[Suspect] = ()
    weight: np.ndarray | None = None
    findings: Sequence[Finding] = ()
    explanation: Explanation | None = None
    span: str = ""
