"""What a search begins with: how rows are left out, what columns become, and what is minimised.

All of it is decided by measurement on training and validation rows before the first trial, and kept for the fits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from treadle.tasks.dataset.folds import FOLDS, Fold
from treadle.tasks.dataset.time_columns import Hurting
from treadle.tasks.objective_choice import objective_for
from treadle.tasks.prepared import Preparation
from treadle.tasks.search.study import FITS_SHARE
from treadle.tasks.validation import (
    Layout,
    choose_layout,
    search_folds,
    trial_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts
    from treadle.tasks.training import Problem

HURTING_SHARE, ENCODING_SHARE = 0.04, 0.1
"""Shares of the budget in which columns that tell time, and encodings, are compared."""

MOST_TELLING = 4
"""Columns that tell time apart best, of which it is asked whether they hurt."""

FITS_AS_TRIALS = 5
"""About how many trials' seconds the fits after a search take."""


def prepare(
    config: PipelineConfig,
    problem: Problem,
    parts: OpenParts,
    loss: CustomLoss | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Preparation:
    """Decide how trials are measured, what columns become, and what is minimised.

    `loss` is the person's own, where the config names one. `stop` is asked before columns that hurt, encodings and
    objectives are measured: once it is true, what is left stays at its default. Raises ConfigError where it does not
    fit, or an objective that is asked for does not; TargetError where labels are outside of what that allows.
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
    hurting = _hurting(config, problem, rows, folds) if layout.kind == "windows" and not stop() else Hurting()
    dropped = hurting.columns
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
        seconds=0.0 if stop() else ENCODING_SHARE * budget,
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
            "by_clock": chosen.stopped_by_clock or hurting.by_clock,
        }
    )
    counted = relative(row_weights(rows, problem.weight))
    objective, why, by_clock = objective_for(config, problem, parts, found, y, counted, loss, compare=not stop())
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
        quantiles=_second_booster(config),
    )


def _second_booster(config: PipelineConfig) -> bool:
    """Whether intervals may have a booster of their own: not where model size and speed are limited.

    XGBoost keeps no direction of `monotone` in it, so not there either.
    """
    limited = config.gate.max_model_mb or config.gate.max_ms_per_1000_rows
    return config.data.task == "regression" and not limited and not any(config.model.monotone.values())


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


def _hurting(config: PipelineConfig, problem: Problem, rows: pa.Table, folds: Sequence[Fold]) -> Hurting:
    """Columns that tell early rows from late ones and without which the windows are answered for better."""
    import numpy as np

    from treadle.tasks import training
    from treadle.tasks.dataset.split import moments
    from treadle.tasks.dataset.time_columns import hurting_columns, rising_columns, time_telling_columns

    spec = training.learn_features(problem, rows)
    part = training.encoded_part(problem, spec, rows)
    order = np.argsort(moments(rows, problem.time)[0], kind="stable")
    kept = {*config.model.monotone, *(name for group in config.model.interactions for name in group)}
    if _season_comes_back(problem, rows, folds):
        kept.add(problem.time)
    telling = [one.column for one in time_telling_columns(part.X[order], spec.positions) if one.column not in kept]
    place = np.argsort(order)
    in_order = [Fold(np.sort(place[fold.fitted]), np.sort(place[fold.answered])) for fold in folds]
    until = time.monotonic() + HURTING_SHARE * config.tune.budget_seconds
    found = hurting_columns(
        problem.task,
        part.take(order),
        columns=spec.positions,
        candidates=telling[:MOST_TELLING],
        folds=in_order,
        until=until,
        rising=rising_columns(part.X[order], spec.positions),
    )
    return found if len(found.columns) < len(problem.columns) else Hurting(by_clock=found.by_clock)


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
