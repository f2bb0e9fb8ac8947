"""Proper scores: is the linear model, or the dummy, better by a score that rewards honest predictions?

A score is proper where nobody gains by predicting anything but what they expect (Gneiting & Raftery, JASA 102, 2007).
A model can lead in ROC AUC and still give probabilities that are worse than the plain share of the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.gate import words
from treadle.tasks.gate.sure import gain_on
from treadle.tasks.influence import quantile_metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from treadle.tasks.gate.values import GateSpec, Judged

DECIDING: Mapping[str, tuple[str, ...]] = {
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss",),
    "regression": ("rmse",),
}
"""Strictly proper for probabilities, and for the mean that regression predicts (Gneiting, JASA 106, 2011)."""

NAMED: Mapping[str, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "accuracy"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("rmse", "mae"),
}
"""What is also said in words: accuracy is what people read first, and mae rewards the median."""

NAMES = {"linear": "the linear model", "dummy": "the dummy predictor"}


def worse_than_dummy(spec: GateSpec, judged: Judged) -> Iterator[str]:
    """A sentence for each proper score by which a first model is surely worse than the dummy: each refuses.

    The bounds hold for all scores of the task together (Bonferroni).
    """
    if not judged.first or not _measurable(judged):
        return
    deciding = _fitting(DECIDING, judged)
    for metric in deciding:
        found = gain_on(judged, metric)
        level = spec.alpha / len(deciding)
        if found.loses() < level:
            loss, most = words.differences(found.gain, found.upper(level))
            yield (
                f"worse than the dummy predictor by a proper score: "
                f"{words.compared(metric, found.value, found.other_value, found.gain)}"
                + (f", at most {most}" if most != loss else "")
            )


def better_beside(spec: GateSpec, judged: Judged) -> Iterator[str]:
    """A sentence for each of linear model and dummy that is better by a score of `NAMED`, with every such score."""
    if not _measurable(judged):
        return
    beside: dict[str, np.ndarray] = dict(judged.beside)
    if judged.first:
        beside.setdefault("dummy", judged.champion)
    for who in (name for name in NAMES if name in beside):
        parts = list(_better(spec, judged, beside[who], judged.beside_thresholds.get(who, 0.5)))
        if parts:
            yield f"{NAMES[who]} is better: {'; '.join(parts)}"


def _better(spec: GateSpec, judged: Judged, other: np.ndarray, threshold: float) -> Iterator[str]:
    for metric in _fitting(NAMED, judged):
        found = gain_on(judged, metric, other=other, threshold=threshold)
        if found.gain < 0:
            lead = words.compared(metric, found.other_value, found.value, -found.gain)
            yield lead + ("" if found.loses() < spec.alpha else ", which may be chance")


def _fitting(of: Mapping[str, tuple[str, ...]], judged: Judged) -> tuple[str, ...]:
    """The scores of the task, or the run's metric where it asks for a median or quantile: RMSE rewards only means."""
    return (judged.metric,) if quantile_metric(judged.metric) else of[judged.task]


def _measurable(judged: Judged) -> bool:
    """Whether there are rows, and a number for each; what is not so refuses elsewhere."""
    import numpy as np

    everyone = (judged.challenger, judged.champion)
    return bool(len(judged.y)) and all(bool(np.isfinite(p).all()) for p in everyone)
