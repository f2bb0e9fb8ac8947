"""What a search begins with: how rows are left out, what columns become, and what is minimised.

All of it is decided by measurement on training and validation rows before the first trial, and kept for the fits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.dataset.folds import FOLDS, Fold
from treadle.tasks.objective import Objective, candidate_objectives, choose_objective
from treadle.tasks.search.study import FITS_SHARE
from treadle.tasks.validation import (
    ANSWERED,
    LANES,
    TYPICAL_ROUNDS,
    Layout,
    choose_layout,
    mean_fitted,
    search_folds,
    trial_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.search.course import Course
    from treadle.tasks.training import Problem

OVERHEAD = 1.2
"""Encoding, binning and merging beside the trees of a fit."""

HURTING_SHARE, ENCODING_SHARE, OBJECTIVE_SHARE = 0.04, 0.1, 0.08
"""Shares of the budget in which columns that tell time, encodings and objectives are compared."""

MOST_TELLING = 4
"""Columns that tell time apart best, of which it is asked whether they hurt."""

LEAST_GAIN = 0.25
"""Another objective is no larger model, so it need not be surely better."""

QUICK_PARAMETERS: dict[str, str | int | float] = {
    "learning_rate": 0.15,
    "max_depth": 6,
    "subsample": 0.9,
    "colsample_bytree": 0.8,
}
"""The booster by which objectives are compared."""

FITS_AS_TRIALS = 5
"""About how many trials' seconds the fits after a search take."""

QUICK_ROUNDS, QUICK_TYPICAL, EARLY_STOPPING_ROUNDS = 300, 150, 20

LEAST_LANES = 2
"""Objectives are compared on so many folds or windows at least, where there are so many."""


class Preparation(BaseModel):
    """What is decided before the first trial.

    `dropped` columns only tell time apart, and hurt later rows. `encodings` says what columns become, `differences` of
    which pairs of dates the difference is a feature; `reasons` are sentences for people; `seconds` is what it took;
    `by_clock` says that the time ran out before all was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout = Layout()
    dropped: tuple[str, ...] = ()
    encodings: dict[str, tuple[str, ...]] = {}
    differences: tuple[tuple[str, str], ...] = ()
    objective: Objective | None = None
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    by_clock: bool = False

    def narrowed(self, problem: Problem) -> Problem:
        """The problem without the columns that are dropped."""
        return replace(problem, columns=tuple(name for name in problem.columns if name not in self.dropped))


@dataclass(frozen=True, slots=True)
class Trail:
    """The folds of a search, and how its rows are binned for a device, or in the host's memory for it."""

    folds: tuple[Fold, ...]
    course: Callable[[str, bool], Course]


def prepare(config: PipelineConfig, problem: Problem, parts: OpenParts, loss: CustomLoss | None = None) -> Preparation:
    """Decide how trials are measured, what columns become, and what is minimised.

    `loss` is the person's own, where the config names one. Raises ConfigError where it does not fit, or an objective
    that is asked for does not; TargetError where labels are outside of what that allows.
    """
    from treadle.tasks import training
    from treadle.tasks.features.choice import choose_encodings
    from treadle.tasks.features.measure import EncodingProblem
    from treadle.tasks.weights import relative, row_weights

    began, budget = time.monotonic(), config.tune.budget_seconds
    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    layout = _layout(config, problem, len(rows))
    if config.model.kind == "linear":
        return Preparation(layout=layout, seconds=round(time.monotonic() - began, 3))
    folds = search_folds(layout, problem, parts, config.split, y, config.tune.seed)
    dropped = _hurting(config, problem, rows, folds) if layout.kind == "windows" else ()
    found = Preparation(layout=layout, dropped=dropped)
    problem = found.narrowed(problem)
    chosen = choose_encodings(
        EncodingProblem(
            rows=rows,
            y=y,
            schema=problem.schema,
            columns=problem.columns,
            categories=problem.categories,
            time=problem.time or None,
            timezone=problem.timezone,
            task=problem.task,
            classes=len(problem.classes),
            folds=folds[:FOLDS],
            seed=config.tune.seed,
            groups=training.groups_of(problem, rows),
            weight=row_weights(rows, problem.weight),
            numbers=tuple(config.model.monotone),
        ),
        seconds=ENCODING_SHARE * budget,
    )
    why_dropped = (
        f"{name}: only tells early rows from late ones, and later rows are better off without" for name in dropped
    )
    found = found.model_copy(
        update={
            "encodings": chosen.encodings,
            # a difference is of two columns, which [model] may keep apart
            "differences": () if config.model.interactions else chosen.differences,
            "reasons": (*why_dropped, *(f"{name}: {reason}" for name, reason in chosen.reasons.items())),
            "by_clock": chosen.stopped_by_clock,
        }
    )
    counted = relative(row_weights(rows, problem.weight))
    objective, why, by_clock = _objective(config, problem, parts, found, y, counted, loss)
    reasons = (layout.sentence(len(folds)), *found.reasons, *([why] if why else []))
    took = round(time.monotonic() - began, 3)
    update = {"objective": objective, "reasons": reasons, "seconds": took, "by_clock": found.by_clock or by_clock}
    return found.model_copy(update=update)


def _layout(config: PipelineConfig, problem: Problem, rows: int) -> Layout:
    """How `rows` rows outside the holdout are left out in turn."""
    return choose_layout(
        config.split,
        rows=rows,
        columns=len(problem.columns),
        outputs=_outputs(problem),
        budget=config.tune.budget_seconds,
        folds=config.tune.folds,
        bagged=config.tune.ensemble != "never",
    )


def _outputs(problem: Problem) -> int:
    """Trees a round."""
    return len(problem.classes) if problem.task == "multiclass" else 1


def forecast(config: PipelineConfig, problem: Problem, rows: int) -> str:
    """How long search and fits will take, in words; `rows` are those outside the holdout.

    It is calculated for an ordinary machine. The budget is the most; few trials on a small table take less.
    """
    layout, spec = _layout(config, problem, rows), config.tune
    outputs, columns = _outputs(problem), len(problem.columns)
    each = trial_seconds(layout.kind, rows=rows, columns=columns, outputs=outputs, repeats=layout.repeats)
    fits = min(FITS_AS_TRIALS * each, FITS_SHARE * spec.budget_seconds)
    made = min(spec.trials, max(1, int((spec.budget_seconds - fits) / each)))
    seconds, budget = made * each + fits, f"{spec.budget_seconds:,.0f} s"
    search = f"about {made:,} of {spec.trials:,} trials of {max(each, 0.1):,.1f} s each"
    if made == spec.trials and seconds < spec.budget_seconds:
        return f"forecast: {search}, with the fits about {seconds:,.0f} s of at most {budget}"
    return f"forecast: {search} and the fits, in the budget of {budget}"


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


def _hurting(config: PipelineConfig, problem: Problem, rows: pa.Table, folds: Sequence[Fold]) -> tuple[str, ...]:
    """Columns that tell early rows from late ones and without which the windows are answered for better."""
    import numpy as np

    from treadle.tasks import training
    from treadle.tasks.dataset.split import moments
    from treadle.tasks.dataset.time_columns import hurting_columns, time_telling_columns

    spec = training.learn_features(problem, rows)
    part = training.encoded_part(problem, spec, rows)
    order = np.argsort(moments(rows, problem.time)[0], kind="stable")
    kept = {*config.model.monotone, *(name for group in config.model.interactions for name in group)}
    if _season_comes_back(problem, rows, folds):
        kept.add(problem.time)
    telling = [one.column for one in time_telling_columns(part.X[order], spec.positions) if one.column not in kept]
    place = np.argsort(order)
    in_order = [Fold(np.sort(place[fold.fitted]), np.sort(place[fold.answered])) for fold in folds]
    found = hurting_columns(
        problem.task,
        part.take(order),
        columns=spec.positions,
        candidates=telling[:MOST_TELLING],
        folds=in_order,
        until=time.monotonic() + HURTING_SHARE * config.tune.budget_seconds,
    )
    return found if len(found) < len(problem.columns) else ()


def _season_comes_back(problem: Problem, rows: pa.Table, folds: Sequence[Fold]) -> bool:
    """Whether the calendar of the time column may help later rows although no window of `folds` can show it."""
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset.time_columns import season_comes_back

    if not problem.time or not pa.types.is_temporal(rows[problem.time].type):
        return False
    dates = rows[problem.time].cast(pa.timestamp("us")).cast(pa.date32()).cast(pa.int32())
    days = dates.to_numpy(zero_copy_only=False).astype(np.float64)
    first, newest = (days[fold.answered] for fold in (folds[0], folds[-1]))
    horizon = float(np.nanmax(newest) - np.nanmin(newest))
    return season_comes_back(days[np.isfinite(days)], float(np.nanmin(first)), horizon)


def lay_rows(
    config: PipelineConfig,
    problem: Problem,
    parts: OpenParts,
    prepared: Preparation,
    loss: CustomLoss | None = None,
    *,
    lanes: int | None = None,
) -> Trail:
    """The folds, and the rows of each lane binned, once for all trials; the last `lanes` of them (None: all)."""
    from treadle.tasks import booster, training
    from treadle.tasks.search.course import lay_out

    problem = prepared.narrowed(problem)
    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    folds = search_folds(prepared.layout, problem, parts, config.split, y, config.tune.seed)[-(lanes or 0) :]
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
        )

    return Trail(folds, course)


def _objective(
    config: PipelineConfig,
    problem: Problem,
    parts: OpenParts,
    prepared: Preparation,
    y: np.ndarray,
    weight: np.ndarray | None,
    loss: CustomLoss | None,
) -> tuple[Objective, str, bool]:
    """What is minimised (as configured, or the best candidate), a sentence on it, and whether the clock decided."""
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
    if len(candidates) > 1:
        best, measured, by_clock = _best_objective(config, problem, parts, prepared, candidates)
    named = best.name + (f" of {best.transform}" if best.transform else "")
    return best, f"objective: {named} ({best.why}{measured})", by_clock


def _best_objective(
    config: PipelineConfig, problem: Problem, parts: OpenParts, prepared: Preparation, candidates: Sequence[Objective]
) -> tuple[Objective, str, bool]:
    """The first of the candidates, unless another one gains more than `LEAST_GAIN` standard errors on the same rows.

    Where rows are many, fewer folds are compared, of windows the newest. Also the figures in words, and whether the
    time ran out.
    """
    from treadle.tasks.search.choice import difference_error, influence

    seconds = OBJECTIVE_SHARE * config.tune.budget_seconds
    kind, judged = prepared.layout.kind, len(parts.train) + len(parts.validation)
    trial = trial_seconds(kind, rows=judged, columns=len(problem.columns), outputs=1)
    lane = trial / LANES[kind] * QUICK_TYPICAL / TYPICAL_ROUNDS
    lanes = max(LEAST_LANES, int(seconds / (lane * len(candidates))))
    deadline = time.monotonic() + seconds
    best, words = candidates[0], list[str]()
    value, reference = 0.0, None
    for candidate in candidates:
        started = time.monotonic()
        with_it = prepared.model_copy(update={"objective": candidate})
        course = lay_rows(config, problem, parts, with_it, lanes=lanes).course("cpu", False)
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


def effort_of_fits(layout: Layout, parts: OpenParts, folds: Sequence[Fold], *, refit: bool) -> float:
    """How often the work of one trial's fit on all lanes comes again after the search, for both models.

    The work of a fit is its rows times its rounds, and rounds grow by the root of the rows (`recipe.serving_rounds`).
    """
    lanes = sum(len(fold.fitted) for fold in folds)
    judged, every = len(parts.train) + len(parts.validation), parts.all_rows
    more = math.sqrt(every / judged) if refit else 0.0
    if layout.kind == "folds":
        alone = 0.0 if layout.bagged else judged / lanes
        return OVERHEAD * (1.0 + alone) * (1.0 + every / judged * more)
    rounds = math.sqrt(judged / max(1, mean_fitted(folds))) if layout.kind == "windows" else 1.0
    own = len(parts.train) + judged
    if layout.dear:
        again = 0
    elif layout.kind == "windows":
        again = len(parts.train) + 2 * judged + parts.holdout_rows // 2
    else:
        left_out = min(FOLDS, math.ceil(ANSWERED * FOLDS / every))
        again = left_out * every * (FOLDS - 1) // FOLDS
    return OVERHEAD * rounds * (own + more * (again + every)) / lanes
