"""A recipe followed on rows: the booster, its encoding, and answers for rows that were left out.

One function fits the judged model, the serving one and the champion's recipe that a challenger is compared with.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from xgboost import Booster

    from treadle.tasks.base_rate import BaseRate
    from treadle.tasks.booster import Curve, MatrixRows
    from treadle.tasks.bundle import Model
    from treadle.tasks.calibration import Chosen
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts, SplitSpec
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.interval import QuantileScale
    from treadle.tasks.postprocess import Post
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.search import Setting
    from treadle.tasks.training import Problem


@dataclass(frozen=True, slots=True)
class Fit:
    """A recipe on rows: `raw` is the booster's output [n] or [n, classes] for each row, NaN where it was not left out.

    The answers for a row are those of models that were not fitted on it; of overlapping windows of time the newest's,
    and `by_fold` are then each window's own. `curve` is how the first model that left rows out learned (of windows the
    newest), None where there is none. `offset` is what a line's target is centred by (of trees the objective says it).
    `times` [n] are numbers where the rows are dated and parted by time (None: they are not). `windows` [n] numbers the
    windows of time in which rows were answered for (`windows_of`), None where they were not. `interval` is the second
    booster of intervals, and `quantiles` its answers [n, 2] for rows left out with the scale of its output; None where
    none was fitted.
    """

    booster: Booster
    features: FeatureSpec
    y: np.ndarray
    raw: np.ndarray
    curve: Curve | None
    weight: np.ndarray | None = None
    offset: float = 0.0
    times: np.ndarray | None = None
    windows: np.ndarray | None = None
    interval: Booster | None = None
    quantiles: tuple[QuantileScale, np.ndarray] | None = None
    by_fold: tuple[np.ndarray, ...] = ()

    @property
    def answered(self) -> np.ndarray:
        """Which rows were left out, a mask [n]."""
        import numpy as np

        found: np.ndarray = np.isfinite(self.raw.reshape(len(self.raw), -1)).all(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The model to judge, how one of its boosters learned (no round of a line), and its answers for rows left out.

    `base_rates` are the errors of the base rate at rolling origins, of dated rows.
    """

    model: Model
    curve: Curve
    answers: Fit
    base_rates: tuple[BaseRate, ...] = ()


def fit_recipe(
    problem: Problem,
    recipe: Recipe,
    rows: pa.Table,
    folds: Sequence[Fold],
    loss: CustomLoss | None = None,
    *,
    judged_rows: int,
    intervals: bool = False,
    rolling: bool = False,
    answers_only: bool = False,
) -> Fit:
    """Fit `recipe` on `rows`, leaving out each of `folds` in turn.

    With the layout 'folds' the boosters of all folds become one, which is the model: they need no further fit, and each
    brings its own target statistics. Else they only answer, and the members are fitted on all rows. `judged_rows` are
    those that the recipe's rounds were found for; a fit on more gets more. `loss` is the one that the recipe names,
    None where its objective is XGBoost's. With `intervals` regression gets a second booster. `rolling` folds are
    windows of time, the oldest first, whose fitted rows are fewer than the model's: they get fewer rounds. With
    `answers_only` nothing is fitted on all rows, and the booster is that of the last fold.
    """
    if recipe.kind == "linear":
        return _fit_line(problem, recipe, rows, folds)
    from treadle.tasks import booster, ensemble, training
    from treadle.tasks.averaged import Answers
    from treadle.tasks.features.union import unite
    from treadle.tasks.objective import plain_objective
    from treadle.tasks.quantiles import QuantileFits
    from treadle.tasks.recipe import serving_rounds
    from treadle.tasks.weights import row_weights

    open_spec = training.learn_features(problem, rows, recipe.encodings, recipe.differences)
    y = training.labels_as_numbers(problem, rows)
    bagged, curve = recipe.layout.kind == "folds" and recipe.layout.bagged, None
    objective = recipe.objective or plain_objective(problem.task)
    classes = len(problem.classes) if problem.task == "multiclass" else None
    answers = Answers(objective.name, len(y), classes, rolling=rolling)
    boosters: list[tuple[Booster, float, FeatureSpec]] = []
    quantiles_too = intervals and problem.task == "regression" and not objective.offset  # it does not centre its labels
    second = QuantileFits(problem, recipe, y) if quantiles_too else None
    for fold in folds:
        fitted_rows = rows.take(fold.fitted)
        spec, part = training.fitted_part(problem, open_spec, fitted_rows, recipe.seed, masked=recipe.masked)
        apart = training.encoded_part(problem, spec, rows.take(fold.answered))
        size = len(rows) if bagged else len(part.y)
        answers.begin(fold)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, size, fewer=rolling)
            unseen = apart if (not rolling or fold is folds[-1]) and not curve else None
            fitted, learned = _fit(problem, recipe, setting, spec, part, rounds, unseen, loss)
            curve = curve or learned
            answers.add(setting.share * booster.predict_margin(fitted, apart.X))
            if bagged:
                boosters.append((fitted, setting.share / len(folds), spec))
            elif answers_only and fold is folds[-1]:
                boosters.append((fitted, setting.share, spec))
        answers.end()
        if second:
            second.leave_out(spec, part, apart, fold.answered, keep=bagged)
    if not boosters:
        spec, part = training.fitted_part(problem, open_spec, rows, recipe.seed, masked=recipe.masked)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, len(rows))
            boosters.append((_fit(problem, recipe, setting, spec, part, rounds, None, loss)[0], setting.share, spec))
        if second:
            second.kept.append((second.fit(spec, part), spec))
    kept = second.kept if second else []
    united, columns = unite([*(spec for _, _, spec in boosters), *(spec for _, spec in kept)])
    own, columns = columns[len(boosters) :], columns[: len(boosters)]
    members = [ensemble.Member(one, share, at) for (one, share, _), at in zip(boosters, columns, strict=True)]
    raw = answers.raw(average_of=len(folds) if bagged and problem.task != "regression" else 1)
    fit = Fit(
        ensemble.merge(members, united.names),
        united,
        y,
        raw,
        curve,
        row_weights(rows, problem.weight),
        windows=windows_of(problem, rows, folds),
        by_fold=tuple(answers.by_fold),
    )
    if not second or not kept:
        return fit
    quantiles = second.named_scale, second.answers()
    return dataclasses.replace(fit, interval=second.merged(own, united.names), quantiles=quantiles)


def _fit_line(problem: Problem, recipe: Recipe, rows: pa.Table, folds: Sequence[Fold]) -> Fit:
    """A linear model of all `rows`, with answers for those that are left out."""
    from treadle.tasks import linear, training
    from treadle.tasks.centring import offset_of
    from treadle.tasks.weights import row_weights

    y, weight = training.labels_as_numbers(problem, rows), row_weights(rows, problem.weight)
    offset = offset_of(y) if problem.task == "regression" else 0.0
    centred = y - offset if offset else y
    by_fold: list[np.ndarray] = []
    raw = linear.linear_answers(
        problem, rows, centred, folds, recipe.seed, weight=weight, masked=recipe.masked, by_fold=by_fold
    )
    booster, spec = linear.fit_linear(problem, rows, centred, seed=recipe.seed, weight=weight, masked=recipe.masked)
    windows = windows_of(problem, rows, folds)
    own = tuple(by_fold)
    return Fit(booster, spec, y, raw, None, weight=weight, offset=offset, windows=windows, by_fold=own)


def windows_of(problem: Problem, rows: pa.Table, folds: Sequence[Fold]) -> np.ndarray | None:
    """The number of the piece of time in which each row was answered for, int64 [n], 0 where it was not.

    None where some fold was fitted on rows that are no older than those it answers for, as no future is like that.
    """
    import numpy as np

    from treadle.tasks.dataset.split import moments
    from treadle.tasks.errors import DataError
    from treadle.tasks.interval import time_pieces

    if not folds or not (problem.time or "_ingested_at" in rows.column_names):
        return None
    try:
        found, has_time = moments(rows, problem.time)
    except DataError:  # a column without an order in time parts no rows by time either
        return None
    when = np.where(has_time, found.astype(np.float64), -np.inf)
    if any(when[fold.fitted].max() > when[fold.answered].min() for fold in folds):
        return None
    return time_pieces(when, folds)


def as_line(recipe: Recipe) -> Recipe:
    """The recipe of a linear model on the same columns, with rows left out in the same way."""
    nothing: dict[str, object] = {
        "encodings": {},
        "differences": (),
        "interactions": (),
        "fixed": {},
        "objective": None,
        "members": (),
    }
    return recipe.model_copy(update={**nothing, "kind": "linear", "params": {}, "rounds": 1, "serving_rounds": 1})


def plainer_kind(
    problem: Problem, recipe: Recipe, trees: FittedModel, parts: OpenParts, split: SplitSpec
) -> tuple[FittedModel, Recipe, str]:
    """The linear model with its recipe where trees are not surely better, else the trees; and a sentence on it.

    The two are compared on the rows that were left out, by the metric (`linear.prefer_linear`).
    """
    import numpy as np

    from treadle.tasks import metrics, training
    from treadle.tasks.dependence import dependence_of
    from treadle.tasks.errors import TargetError
    from treadle.tasks.influence import quantile_of
    from treadle.tasks.linear import prefer_linear
    from treadle.tasks.postprocess import apply_postprocess
    from treadle.tasks.validation import Layout

    if quantile_of(problem.metric) is not None:  # a line answers with the mean
        return trees, recipe, ""
    line = as_line(recipe)
    dated, dear = recipe.layout.kind == "windows", recipe.layout.dear
    tried = line.model_copy(update={"layout": Layout()}) if dated or dear else line
    try:  # of dated rows the validation rows decide: windows of a month are for the model that is taken
        fitted = fit_judged(problem, tried, parts, split)
    except TargetError:  # no column can be an input of a line
        return trees, recipe, ""
    at = trees.answers.answered & fitted.answers.answered
    y = trees.answers.y[at]
    weight = None if trees.answers.weight is None else trees.answers.weight[at]
    p = [apply_postprocess(one.model.post, one.answers.raw[at].astype("float32")).p for one in (trees, fitted)]
    if problem.task == "binary" and problem.metric in metrics.AT_THRESHOLD:
        p = [one >= of.model.post.threshold for one, of in zip(p, (trees, fitted), strict=True)]
    ours, theirs = (metrics.metric_value(problem.task, problem.metric, y, one, weight) for one in p)
    rows = training.together(parts.train, parts.validation)
    depends = dependence_of(rows, split, problem.time).of(np.flatnonzero(at))
    taken = prefer_linear(problem.task, problem.metric, y, *p, weight=weight, dependence=depends)
    why = "trees are not surely better" if taken else "trees are better"
    words = f"a linear model scores {problem.metric} {theirs:.4g} on rows left out, trees {ours:.4g}: {why}"
    if not taken:
        return trees, recipe, words
    if dear:
        labels = training.labels_as_numbers(problem, rows)
        fitted = dataclasses.replace(fitted, base_rates=_rates_of_samples(problem, line, rows, split, labels, None))
    return fit_judged(problem, line, parts, split) if dated else fitted, line, words


def fit_judged(
    problem: Problem, recipe: Recipe, parts: OpenParts, split: SplitSpec, loss: CustomLoss | None = None
) -> FittedModel:
    """Fit the recipe on training and validation rows, and calibrate it by its answers for rows that were left out."""
    from treadle.tasks import bundle, training, validation
    from treadle.tasks import rolling as rolling_
    from treadle.tasks.booster import Curve
    from treadle.tasks.dependence import dependence_of

    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    folds = judged_folds(problem, recipe, parts, split, y)
    second, dear = recipe.layout.quantiles, recipe.layout.dear
    rolling = recipe.layout.kind == "windows" and problem.task != "regression" and len(folds) > 1
    if len(folds) == 1:  # the validation rows: the model is fitted on all rows besides
        recipe = recipe.model_copy(update={"layout": validation.Layout()})
    fit = fit_recipe(problem, recipe, rows, folds, loss, judged_rows=len(rows), intervals=second, rolling=rolling)
    fit = dataclasses.replace(fit, times=dependence_of(rows, split, problem.time).times)
    chosen = rolling_.chosen_calibration(problem, fit, rows, split, folds if rolling else ())
    post = calibrated(problem, recipe, fit, chosen)
    model = bundle.Model(
        booster=fit.booster,
        features=fit.features,
        post=post,
        schema=problem.schema,
        key=problem.key,
        target=problem.target,
        time=problem.time,
        timezone=problem.timezone,
        task=problem.task,
        missing=problem.missing,
        interval=interval_booster(post, fit),
    )
    rates = rolling_.rolling_rates(problem, fit, rows, folds, chosen) if rolling and chosen else ()
    if dear:
        rates = _rates_of_samples(problem, recipe, rows, split, y, loss)
    return FittedModel(model=model, curve=fit.curve or Curve("", (), ()), answers=fit, base_rates=rates)


def _rates_of_samples(
    problem: Problem, recipe: Recipe, rows: pa.Table, split: SplitSpec, y: np.ndarray, loss: CustomLoss | None
) -> tuple[BaseRate, ...]:
    """The errors of the base rate at rolling origins, where fits are dear: of models of the recipe on fewer rows.

    They calibrate nothing but their own answers. Without a time split, and for regression, there are none.
    """
    from treadle.tasks import rolling

    if split.strategy != "time" or problem.task == "regression":
        return ()
    windows = rolling.rolling_windows(rows, problem, split, y, most=rolling.MOST_OF_DEAR)
    if len(windows) < 2:
        return ()
    fit = fit_recipe(problem, recipe, rows, windows, loss, judged_rows=len(rows), rolling=True, answers_only=True)
    chosen = rolling.chosen_calibration(problem, fit, rows, split, windows)
    return rolling.rolling_rates(problem, fit, rows, windows, chosen) if chosen else ()


def interval_booster(post: Post, fit: Fit) -> Booster | None:
    """The second booster of a fit, where the intervals of `post` are made of it."""
    return fit.interval if post.bands is not None and post.bands.quantiles else None


def calibrated(problem: Problem, recipe: Recipe, fit: Fit, chosen: Chosen | None = None) -> Post:
    """Calibration (`chosen`), threshold and interval from the answers for rows that were left out."""
    import numpy as np

    from treadle.tasks import postprocess
    from treadle.tasks.objective import plain_objective
    from treadle.tasks.threshold import newest_half

    at = fit.answered
    weight = None if fit.weight is None else fit.weight[at]
    raw = fit.raw[at].astype(np.float32)
    objective = recipe.objective
    if fit.offset:
        objective = plain_objective(problem.task).model_copy(update={"offset": fit.offset})
    windows = None if fit.windows is None else fit.windows[at]
    quantiles = None if fit.quantiles is None else (fit.quantiles[0], fit.quantiles[1][at])
    return postprocess.fit_postprocess(
        problem.task,
        problem.classes,
        fit.y[at],
        raw,
        objective,
        weight,
        chosen.calibration if chosen else None,
        rule=problem.threshold_rule,
        newest=newest_half(None if fit.times is None else fit.times[at]),
        windows=windows,
        quantiles=quantiles,
    )


def judged_folds(
    problem: Problem, recipe: Recipe, parts: OpenParts, split: SplitSpec, y: np.ndarray
) -> tuple[Fold, ...]:
    """How the judged model's rows are left out: as in the search where that was in folds, else the validation rows.

    Where the search measured windows of time, classes get windows as long as a month, the oldest first, which show how
    far a month's base rate may be off.
    """
    from treadle.tasks import training, validation
    from treadle.tasks.rolling import rolling_windows

    if recipe.layout.kind == "windows" and problem.task != "regression":
        found = rolling_windows(training.together(parts.train, parts.validation), problem, split, y)
        return found if len(found) > 1 else validation.single_fold(parts)
    if recipe.layout.kind != "folds":
        return validation.single_fold(parts)
    return validation.search_folds(recipe.layout, problem, parts, split, y, recipe.seed)


def _fit(
    problem: Problem,
    recipe: Recipe,
    setting: Setting,
    spec: FeatureSpec,
    part: MatrixRows,
    rounds: int,
    apart: MatrixRows | None,
    loss: CustomLoss | None,
) -> tuple[Booster, Curve | None]:
    """A member's booster; measured on the rows `apart` after each round where they are given."""
    from treadle.tasks import booster
    from treadle.tasks.recipe import recipe_parameters

    params, objective = recipe_parameters(problem, recipe, spec, setting.params), recipe.objective
    if objective is not None:
        part = booster.on_scale(part, objective)
    if apart is None:
        return booster.fit_booster(params, part, rounds=rounds, names=spec.names, custom=loss), None
    if objective is not None:
        apart = booster.on_scale(apart, objective)
    return booster.fit_with_curve(params, part, apart, rounds=rounds, names=spec.names, custom=loss)
