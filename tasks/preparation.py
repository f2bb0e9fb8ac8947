"""What a search begins with: how rows are left out, and how much time the fits after it will take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dataset.folds import FOLDS
from treadle.tasks.validation import Layout, choose_layout, mean_fitted, search_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset import Parts
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.training import Problem


OVERHEAD = 1.2
"""Encoding, binning and merging beside the trees of a fit."""


class Preparation(BaseModel):
    """What is decided before the first trial, from the rows and the config alone.

    `encodings` says what columns become; `reasons` are sentences for people; `seconds` is what it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout = Layout()
    encodings: dict[str, tuple[str, ...]] = {}
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


def prepare(config: PipelineConfig, problem: Problem, parts: Parts) -> Preparation:
    """Decide how trials are measured, and what columns become."""
    from treadle.tasks import training

    rows = training.together(parts.train, parts.validation)
    layout = choose_layout(
        config.split,
        rows=len(rows),
        columns=len(problem.columns),
        outputs=len(problem.classes) if problem.task == "multiclass" else 1,
        budget=config.tune.budget_seconds,
        folds=config.tune.folds,
    )
    return Preparation(layout=layout)


def folds_to_measure(
    config: PipelineConfig, problem: Problem, parts: Parts, preparation: Preparation
) -> tuple[Fold, ...]:
    """The folds of the search, as positions among training and validation rows in this order."""
    from treadle.tasks import training

    y = training.labels_as_numbers(problem, training.together(parts.train, parts.validation))
    return search_folds(preparation.layout, problem, parts, config.split, y, config.tune.seed)


def effort_of_fits(layout: Layout, parts: Parts, folds: Sequence[Fold], *, refit: bool) -> float:
    """How often the work of one trial's fit on all lanes comes again after the search, for both models.

    The work of a fit is its rows times its rounds, and rounds grow by the root of the rows (`recipe.serving_rounds`).
    """
    from treadle.tasks.refit import ANSWERED

    lanes = sum(len(fold.fitted) for fold in folds)
    judged, every = len(parts.train) + len(parts.validation), len(parts.every_row())
    more = math.sqrt(every / judged)
    if layout.kind == "folds":
        return OVERHEAD * (1.0 + (every / judged * more if refit else 0.0))
    rounds = math.sqrt(judged / max(1, mean_fitted(folds))) if layout.kind == "windows" else 1.0
    own = len(parts.train) + judged
    if layout.kind == "windows":
        again = len(parts.train) + 2 * judged + len(parts.holdout) // 2
    else:
        left_out = min(FOLDS, math.ceil(ANSWERED * FOLDS / every))
        again = left_out * every * (FOLDS - 1) // FOLDS
    return OVERHEAD * rounds * (own + (more * (again + every) if refit else 0.0)) / lanes
