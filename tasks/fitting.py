"""A recipe followed on rows: the booster, its encoding, and answers for rows that were left out.

One function fits the judged model, the serving one and the champion's recipe that a challenger is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from xgboost import Booster

    from treadle.tasks.booster import Curve, MatrixRows
    from treadle.tasks.bundle import Model
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts, SplitSpec
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.postprocess import Post
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.search import Setting
    from treadle.tasks.training import Problem


@dataclass(frozen=True, slots=True)
class Fit:
    """A recipe on rows: `raw` is the booster's output [n] or [n, classes] for each row, NaN where it was not left out.

    The answers for a row are those of models that were not fitted on it. `offset` is what a line's target is centred by
    (of trees the objective says it). `curve` is how the first of them learned, None
    where no row was left out.
    """

    booster: Booster
    features: FeatureSpec
    y: np.ndarray
    raw: np.ndarray
    curve: Curve | None
    weight: np.ndarray | None = None
    offset: float = 0.0

    @property
    def answered(self) -> np.ndarray:
        """Which rows were left out, a mask [n]."""
        import numpy as np

        found: np.ndarray = np.isfinite(self.raw.reshape(len(self.raw), -1)).all(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The model to judge, how one of its boosters learned (no round of a line), and its answers for rows left out."""

    model: Model
    curve: Curve
    answers: Fit


def fit_recipe(
    problem: Problem,
    recipe: Recipe,
    rows: pa.Table,
    folds: Sequence[Fold],
    loss: CustomLoss | None = None,
    *,
    judged_rows: int,
) -> Fit:
    """Fit `recipe` on `rows`, leaving out each of `folds` in turn.

    With the layout 'folds' the boosters of all folds become one, which is the model: they need no further fit, and each
    brings its own target statistics. Else they only answer, and the members are fitted on all rows. `judged_rows` are
    those that the recipe's rounds were found for; a fit on more gets more. `loss` is the one that the recipe names,
    None where its objective is XGBoost's.
    """
    import numpy as np

    if recipe.kind == "linear":
        return _fit_line(problem, recipe, rows, folds)
    from treadle.tasks import booster, ensemble, training
    from treadle.tasks.features.union import unite
    from treadle.tasks.objective import plain_objective
    from treadle.tasks.recipe import serving_rounds
    from treadle.tasks.weights import row_weights

    open_spec = training.learn_features(problem, rows, recipe.encodings, recipe.differences)
    y = training.labels_as_numbers(problem, rows)
    outputs = (len(problem.classes),) if problem.task == "multiclass" else ()
    margins, times = np.zeros((len(y), *outputs), dtype=np.float64), np.zeros(len(y), dtype=np.int64)
    bagged, curve = recipe.layout.kind == "folds" and recipe.layout.bagged, None
    objective = recipe.objective or plain_objective(problem.task)
    boosters: list[tuple[Booster, float, FeatureSpec]] = []
    for fold in folds:
        fitted_rows = rows.take(fold.fitted)
        spec, part = training.fitted_part(problem, open_spec, fitted_rows, recipe.seed, masked=recipe.masked)
        apart = training.encoded_part(problem, spec, rows.take(fold.answered))
        size = len(rows) if bagged else len(part.y)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, size)
            fitted, learned = _fit(problem, recipe, setting, spec, part, rounds, None if curve else apart, loss)
            curve = curve or learned
            margins[fold.answered] += setting.share * booster.predict_margin(fitted, apart.X)
            if bagged:
                boosters.append((fitted, setting.share / len(folds), spec))
        times[fold.answered] += 1
    if not boosters:
        spec, part = training.fitted_part(problem, open_spec, rows, recipe.seed, masked=recipe.masked)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, len(rows))
            boosters.append((_fit(problem, recipe, setting, spec, part, rounds, None, loss)[0], setting.share, spec))
    united, columns = unite([spec for _, _, spec in boosters])
    members = [ensemble.Member(one, share, at) for (one, share, _), at in zip(boosters, columns, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = margins / times.reshape(-1, *(1 for _ in outputs))
    raw = booster.from_margins(objective.name, mean.astype(np.float32))
    weight = row_weights(rows, problem.weight)
    return Fit(ensemble.merge(members, united.names), united, y, raw, curve, weight)


def _fit_line(problem: Problem, recipe: Recipe, rows: pa.Table, folds: Sequence[Fold]) -> Fit:
    """A linear model of all `rows`, with answers for those that are left out."""
    from treadle.tasks import linear, training
    from treadle.tasks.centring import offset_of
    from treadle.tasks.weights import row_weights

    y, weight = training.labels_as_numbers(problem, rows), row_weights(rows, problem.weight)
    offset = offset_of(y) if problem.task == "regression" else 0.0
    centred = y - offset if offset else y
    raw = linear.linear_answers(problem, rows, centred, folds, recipe.seed, weight=weight, masked=recipe.masked)
    booster, spec = linear.fit_linear(problem, rows, centred, seed=recipe.seed, weight=weight, masked=recipe.masked)
    return Fit(booster, spec, y, raw, None, weight, offset=offset)


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

    if quantile_of(problem.metric) is not None:  # a line answers with the mean
        return trees, recipe, ""
    line = as_line(recipe)
    try:
        fitted = fit_judged(problem, line, parts, split)
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
    return (fitted, line, words) if taken else (trees, recipe, words)


def fit_judged(
    problem: Problem, recipe: Recipe, parts: OpenParts, split: SplitSpec, loss: CustomLoss | None = None
) -> FittedModel:
    """Fit the recipe on training and validation rows, and calibrate it by its answers for rows that were left out."""
    from treadle.tasks import bundle, training, validation
    from treadle.tasks.booster import Curve

    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    folds = judged_folds(problem, recipe, parts, split, y)
    if len(folds) == 1:  # the validation rows: the model is fitted on all rows besides
        recipe = recipe.model_copy(update={"layout": validation.Layout()})
    fit = fit_recipe(problem, recipe, rows, folds, loss, judged_rows=len(rows))
    model = bundle.Model(
        booster=fit.booster,
        features=fit.features,
        post=calibrated(problem, recipe, fit),
        schema=problem.schema,
        key=problem.key,
        target=problem.target,
        time=problem.time,
        timezone=problem.timezone,
        task=problem.task,
        missing=problem.missing,
    )
    return FittedModel(model=model, curve=fit.curve or Curve("", (), ()), answers=fit)


def calibrated(problem: Problem, recipe: Recipe, fit: Fit) -> Post:
    """Calibration, threshold and interval from the answers for rows that were left out."""
    import numpy as np

    from treadle.tasks import postprocess
    from treadle.tasks.objective import plain_objective

    at = fit.answered
    weight = None if fit.weight is None else fit.weight[at]
    raw = fit.raw[at].astype(np.float32)
    objective = recipe.objective
    if fit.offset:
        objective = plain_objective(problem.task).model_copy(update={"offset": fit.offset})
    return postprocess.fit_postprocess(problem.task, problem.classes, fit.y[at], raw, objective, weight)


def judged_folds(
    problem: Problem, recipe: Recipe, parts: OpenParts, split: SplitSpec, y: np.ndarray
) -> tuple[Fold, ...]:
    """How the judged model's rows are left out: as in the search where that was in folds, else the validation rows."""
    from treadle.tasks import validation

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
