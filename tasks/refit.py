"""The serving model: the recipe of a judged one, fitted on all labelled rows.

What the judged model's holdout teaches would otherwise be lost: on dated rows it is the newest that there is. Nothing
is left to judge such a model by, so rows are answered for by models of the same recipe that were not fitted on them:
these answers calibrate it, and on the holdout rows they are compared with the judged model's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import Model
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import Parts, SplitSpec
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.fitting import Fit
    from treadle.tasks.gate import GateSpec
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.training import Problem


ALPHA = 0.001
"""How often a refit that is as good would be refused: seldom, for every version is refitted."""


@dataclass(frozen=True, slots=True)
class Refit:
    """The serving model, and what its recipe's answers were worth on rows that it was not fitted on.

    `holdout` [m] are positions among the judged model's holdout rows, `p` [m] or [m, classes] the calibrated answers
    for them; both are empty where no fold could be fitted.
    """

    model: Model
    holdout: np.ndarray
    p: np.ndarray


@dataclass(frozen=True, slots=True)
class RefitFinding:
    """What a run keeps of its refit: rows and rounds, and why the version is refused (empty: it is not)."""

    rows: int
    rounds: int
    refused: str = ""


def refit(
    problem: Problem, recipe: Recipe, judged: Model, parts: Parts, split: SplitSpec, loss: CustomLoss | None = None
) -> Refit:
    """Fit the recipe on all rows of `parts`, with calibration, threshold and interval from out-of-fold answers.

    Random splits leave out a fifth of the rows five times (without a key all rows of one content together), group
    splits a fifth of the groups; time splits answer for windows as long as a month, or (where the search measured the
    validation rows alone) for the validation rows and the two halves of the holdout, from what lies before each. Where
    a recipe does not average its folds, `ANSWERED` rows are enough. Of dear fits
    none is left out: the judged model answers for the holdout. Where no fold has two labels to fit on, the judged
    model's calibration stays.
    """
    import dataclasses

    import numpy as np

    from treadle.tasks import fitting, postprocess, training, validation
    from treadle.tasks.dependence import dependence_of
    from treadle.tasks.rolling import chosen_calibration, rolling_windows

    rows, first = parts.every_row(), len(parts.train) + len(parts.validation)
    y, rolling = training.labels_as_numbers(problem, rows), False
    if recipe.layout.dear:
        left_out: tuple[Fold, ...] = ()
    elif recipe.layout.kind == "folds":
        dealt = validation.dealt(problem, rows, split, y, recipe.seed, recipe.layout.repeats)
        left_out = tuple(fold for fold in dealt if len(np.unique(y[fold.fitted])) >= 2)
    elif rolling := recipe.layout.kind == "windows" and problem.task != "regression":
        left_out = rolling_windows(rows, problem, split, y)
    else:
        left_out = tuple(validation.usable_folds(y, folds(problem, parts, split, y, recipe.seed)))
    second = judged.interval is not None
    fit = fitting.fit_recipe(
        problem, recipe, rows, left_out, loss, judged_rows=first, intervals=second, rolling=rolling
    )
    if recipe.layout.dear:
        fit = _answered_by(judged, problem, parts.holdout, fit, first, rows)
    fit = dataclasses.replace(fit, times=dependence_of(rows, split, problem.time).times)
    answered = fit.answered
    chosen = chosen_calibration(problem, fit, rows, split, left_out if rolling else ())
    post = judged.post if recipe.kind == "trees" else judged.post.model_copy(update={"offset": fit.offset})
    post = fitting.calibrated(problem, recipe, fit, chosen) if answered.any() else post
    interval = fitting.interval_booster(post, fit)
    held = np.flatnonzero(answered[first : first + len(parts.holdout)])
    return Refit(
        model=dataclasses.replace(judged, booster=fit.booster, features=fit.features, post=post, interval=interval),
        holdout=held,
        p=postprocess.apply_postprocess(post, fit.raw[first:][held]).p,
    )


def _answered_by(judged: Model, problem: Problem, holdout: pa.Table, fit: Fit, first: int, rows: pa.Table) -> Fit:
    """The fit with the judged model's answers for the holdout, which is `first` rows after the first one of `rows`."""
    import dataclasses

    import numpy as np

    from treadle.tasks import booster, features, fitting
    from treadle.tasks.coefficients import line_of
    from treadle.tasks.dataset.folds import Fold

    raw = fit.raw.copy()
    answers = booster.predict_raw(judged.booster, features.encode(judged.features, holdout))
    if line_of(judged.booster):  # lines of other rows have another offset; that of trees is the recipe's
        answers = answers.astype(np.float64) + (judged.post.offset - fit.offset)
    raw[first : first + len(holdout)] = answers
    held = Fold(np.arange(first), np.arange(first, first + len(holdout)))
    return dataclasses.replace(fit, raw=raw, windows=fitting.windows_of(problem, rows, [held]))


def folds(problem: Problem, parts: Parts, split: SplitSpec, y: np.ndarray, seed: int) -> tuple[Fold, ...]:
    """How the rows of `parts`, in the order of `every_row`, are left out; `y` [n] are their labels as numbers."""
    import numpy as np

    from treadle.tasks import validation
    from treadle.tasks.dataset import folds as folds_
    from treadle.tasks.dataset.split import gap_units, moments

    rows = parts.every_row()
    if split.strategy == "time":
        when, has_time = moments(rows, problem.time)
        when = np.where(has_time, when.astype(np.float64), -np.inf)  # rows without a time count as the oldest
        first, held = len(parts.train), len(parts.train) + len(parts.validation)
        holdout = slice(held, held + len(parts.holdout))
        starts = folds_.origins(when, float(when[first:held].min()), float(when[holdout].min()))
        return folds_.rolling_folds(when, starts, gap_units(rows, split.gap, problem.time))
    return validation.dealt(problem, rows, split, y, seed)


def refusal(
    spec: GateSpec, split: SplitSpec, problem: Problem, judged: Model, holdout: pa.Table, refitted: Refit
) -> str:
    """Why the refit is refused, or empty: the recipe's answers for the holdout are worse than the judged model's.

    The two are compared on the same rows of `holdout` as the gate compares two models, and worse means: with confidence
    1 - `ALPHA`, by more than the gate's margin for a gain. On fewer rows than the gate compares two models on nothing
    is refused. Where a time split has groups, the recipe may know some of them from the holdout's first half.
    """
    import dataclasses
    import math

    import numpy as np

    from treadle.tasks import booster, gate, postprocess, training
    from treadle.tasks.dependence import dependence_of

    at = refitted.holdout
    rows = holdout.take(at)
    part = training.encoded_part(problem, judged.features, rows)
    one_label = problem.task != "regression" and len(np.unique(part.y)) < 2
    if one_label or not gate.enough(problem.task, part.y, part.weight):
        return ""
    depends = dependence_of(rows, split, problem.time)
    both = gate.Judged(
        task=problem.task,
        metric=problem.metric,
        y=part.y,
        challenger=refitted.p,
        champion=postprocess.apply_postprocess(judged.post, booster.predict_raw(judged.booster, part.X)).p,
        champion_name="the judged booster",
        groups=depends.groups,
        times=depends.times,
        challenger_threshold=refitted.model.post.threshold,
        champion_threshold=judged.post.threshold,
        weight=part.weight,
    )
    stricter = spec.model_copy(update={"alpha": ALPHA})
    bounds = gate.measure_gain(stricter, both)
    if not math.isfinite(bounds.upper):  # one group or two blocks say nothing of the others: row by row instead
        bounds = gate.measure_gain(stricter, dataclasses.replace(both, groups=None, times=None))
    if not bounds.upper < -bounds.margin:
        return ""
    return (
        f"fitted on all rows it gets worse: {problem.metric} {bounds.value:.4g} on holdout rows that it was not fitted "
        f"on, the judged booster {bounds.champion_value:.4g}; look for holdout rows that contradict the others, or set "
        'model.refit = "none"'
    )
