"""The rows of a search's trials: left out in turn, and binned once for all trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import FOLDS, Fold
from treadle.tasks.rolling import MOST_FITTED, MOST_OF_DEAR, MOST_WINDOWS
from treadle.tasks.validation import ANSWERED, mean_fitted, search_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.prepared import Preparation
    from treadle.tasks.search.course import Course
    from treadle.tasks.training import Problem
    from treadle.tasks.validation import Layout

OVERHEAD = 1.2
"""Encoding, binning and merging beside the trees of a fit."""


@dataclass(frozen=True, slots=True)
class Trail:
    """The folds of a search, and how its rows are binned for a device, or in the host's memory for it."""

    folds: tuple[Fold, ...]
    course: Callable[[str, bool], Course]


def lay_rows(
    config: PipelineConfig,
    problem: Problem,
    parts: OpenParts,
    prepared: Preparation,
    loss: CustomLoss | None = None,
    *,
    most: int | None = None,
) -> Trail:
    """The folds (the last `most` of them, if given), and the rows of each lane binned, once for all trials."""
    from treadle.tasks import booster, training
    from treadle.tasks.search.course import lay_out

    problem = prepared.narrowed(problem)
    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    folds = search_folds(prepared.layout, problem, parts, config.split, y, config.tune.seed)[-(most or 0) :]
    spec = training.learn_features(problem, rows, prepared.encodings, prepared.differences)

    def course(device: str, external: bool) -> Course:
        # statistics become columns for each class where they are fitted: the names are those of a closed spec
        laid = training.lane_rows(problem, spec, rows, folds, config.tune.seed)
        closed = training.closed_features(problem, spec, rows)
        fixed = booster.complete_parameters(
            problem.task,
            {},
            classes=len(problem.classes),
            device=device,
            seed=config.tune.seed,
            objective=prepared.objective,
            fixed=config.model.fixed,
            monotone=config.model.monotone,
            interactions=config.model.interactions,
            names=closed.names,
            owners=closed.owners,
        )
        return lay_out(
            laid,
            fixed,
            task=problem.task,
            metric=problem.metric,
            names=closed.names,
            objective=prepared.objective,
            custom=loss,
            settled=tuple(config.model.fixed),
            dependence=_dependence(config, problem, rows, folds, prepared.layout),
            repeats=prepared.layout.repeats,
            external=external,
            threshold_rule=problem.threshold_rule,
        )

    return Trail(folds, course)


def _dependence(
    config: PipelineConfig, problem: Problem, rows: pa.Table, folds: Sequence[Fold], layout: Layout
) -> Dependence:
    """Which of the answered rows, fold after fold, depend on each other; one that is answered for twice is a group."""
    import numpy as np

    from treadle.tasks.dependence import Dependence, dependence_of

    answered = np.concatenate([fold.answered for fold in folds])
    found = dependence_of(rows, config.split, problem.time).of(answered)
    if layout.repeats > 1 and found.groups is None:
        return Dependence(groups=answered)
    return found


def effort_of_fits(
    layout: Layout,
    parts: OpenParts,
    folds: Sequence[Fold],
    *,
    refit: bool,
    classes: bool = False,
    opponent: bool = False,
    dated: bool = False,
) -> float:
    """How often the work of one trial's fit on all lanes comes again after the search, for both models.

    `classes` says that classes are predicted, which of windows of time need more (`rolling.rolling_windows`);
    `opponent` that the champion's recipe is fitted like the judged model, too; `dated` that rows are parted by time.
    The work of a fit is its rows times its rounds, and rounds grow by the root of the rows (`recipe.serving_rounds`).
    """
    lanes = sum(len(fold.fitted) for fold in folds)
    judged, every = len(parts.train) + len(parts.validation), parts.all_rows
    more = math.sqrt(every / judged) if refit else 0.0
    if layout.kind == "folds":
        alone = 0.0 if layout.bagged else judged / lanes
        return OVERHEAD * (1.0 + alone) * (1.0 + opponent + every / judged * more)
    rounds = math.sqrt(judged / max(1, mean_fitted(folds))) if layout.kind == "windows" else 1.0
    own = len(parts.train) + judged
    if layout.dear:
        again = 0
        own += MOST_WINDOWS * min(judged, MOST_OF_DEAR) if classes and dated else 0
    elif layout.kind == "windows" and classes:
        own = judged + MOST_WINDOWS * min(judged, MOST_FITTED)
        again = MOST_WINDOWS * min(every, MOST_FITTED)
    elif layout.kind == "windows":
        again = len(parts.train) + 2 * judged + parts.holdout_rows // 2
    else:
        left_out = min(FOLDS, math.ceil(ANSWERED * FOLDS / every))
        again = left_out * every * (FOLDS - 1) // FOLDS
    return OVERHEAD * rounds * ((1 + opponent) * own + more * (again + every)) / lanes
