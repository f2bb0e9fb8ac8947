"""What is minimised: as configured, or the objective whose quick models answer best for rows left out."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from treadle.tasks.lanes import lay_rows
from treadle.tasks.objective import Objective, candidate_objectives, choose_objective
from treadle.tasks.validation import affordable_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts
    from treadle.tasks.prepared import Preparation
    from treadle.tasks.search.course import Course
    from treadle.tasks.training import Problem

OBJECTIVE_SHARE = 0.08
"""The share of the budget in which objectives are compared."""

LEAST_GAIN = 0.25
"""Another objective is no larger model, so it need not be surely better."""

QUICK_PARAMETERS: dict[str, str | int | float] = {
    "learning_rate": 0.15,
    "max_depth": 6,
    "subsample": 0.9,
    "colsample_bytree": 0.8,
}
"""The booster by which objectives are compared."""

QUICK_ROUNDS, EARLY_STOPPING_ROUNDS = 300, 20
QUICK_TYPICAL = 150
"""Rounds of such a booster, with those that find out that no more help, in rounds of the calculated pace."""


def objective_for(
    config: PipelineConfig,
    problem: Problem,
    parts: OpenParts,
    prepared: Preparation,
    y: np.ndarray,
    weight: np.ndarray | None,
    loss: CustomLoss | None,
    *,
    compare: bool = True,
) -> tuple[Objective, str, bool]:
    """What is minimised (as configured, or the best candidate), a sentence on it, and whether the clock decided.

    Without `compare` nothing is measured, and the first candidate is taken.
    """
    from treadle.tasks.custom_loss import custom_objective

    model = config.model
    if loss is not None:
        found = custom_objective(
            loss, problem.task, problem.metric, model.wanted, y, target=problem.target, weight=weight
        )
        return found, f"objective: {loss.name} (as configured)", False
    if problem.task != "regression":
        return choose_objective(problem.task, problem.metric, model.wanted, y, target=problem.target), "", False
    candidates = candidate_objectives(
        problem.task, problem.metric, y, model.wanted, monotone=model.monotone, target=problem.target, weight=weight
    )
    best, measured, by_clock = candidates[0], "", False
    if len(candidates) > 1 and compare:
        best, measured, by_clock = _best_objective(config, problem, parts, prepared, candidates)
    named = best.name + (f" of {best.transform}" if best.transform else "")
    return best, f"objective: {named} ({best.why}{measured})", by_clock


def _best_objective(
    config: PipelineConfig, problem: Problem, parts: OpenParts, prepared: Preparation, candidates: Sequence[Objective]
) -> tuple[Objective, str, bool]:
    """The first of the candidates, unless another one gains more than `LEAST_GAIN` standard errors on the same rows.

    Where the time does not suffice for all folds they are compared on fewer. Also the figures in words, and whether the
    time ran out all the same.
    """
    from treadle.tasks.search.choice import difference_error, influence

    seconds = OBJECTIVE_SHARE * config.tune.budget_seconds
    deadline, rounds = time.monotonic() + seconds, QUICK_TYPICAL * len(candidates)
    folds = lay_rows(config, problem, parts, prepared).folds
    most = affordable_lanes(folds, columns=len(problem.columns), rounds=rounds, seconds=seconds)
    best, words = candidates[0], list[str]()
    value, reference = 0.0, None
    for candidate in candidates:
        started = time.monotonic()
        with_it = prepared.model_copy(update={"objective": candidate})
        course = lay_rows(config, problem, parts, with_it, most=most).course("cpu", False)
        margins, in_time = _quick_margins(course, math.inf if candidate is candidates[0] else deadline)
        if not in_time:
            return best, f"; {problem.metric} of quick models: {', '.join(words)}; no time for more", True
        answers = course.answers(margins)
        score, moved = course.score(answers), influence(course, margins)
        words.append(f"{candidate.name}{' of ' + candidate.transform if candidate.transform else ''} {score:.5g}")
        gain = course.sign * (score - value)
        if reference is None or gain > LEAST_GAIN * difference_error(course, moved, reference):
            best, value, reference = candidate, score, moved
        if candidate is not candidates[-1] and time.monotonic() + (time.monotonic() - started) > deadline:
            return best, f"; {problem.metric} of quick models: {', '.join(words)}; no time for more", True
    return best, f"; {problem.metric} of quick models: {', '.join(words)}", False


def _quick_margins(course: Course, deadline: float) -> tuple[list[np.ndarray], bool]:
    """Margins of a quick model on the measured rows, at its best round; and whether the time sufficed."""
    varied = {name: value for name, value in QUICK_PARAMETERS.items() if name not in course.settled}
    models, best, best_rounds = course.models(varied), -math.inf, 1
    for iteration in range(QUICK_ROUNDS):
        watched = course.grow(models, iteration)
        if watched > best:
            best, best_rounds = watched, iteration + 1
        if iteration + 1 - best_rounds >= EARLY_STOPPING_ROUNDS:
            break
        if time.monotonic() >= deadline:
            return [], False
    return course.margins(models, best_rounds), True
