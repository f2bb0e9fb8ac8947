"""A recipe followed on rows: the booster, its encoding, and answers for rows that were left out.

One function fits the judged model, the serving one and the champion's recipe that a challenger is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from xgboost import Booster

    from treadle.tasks.booster import Curve, MatrixRows
    from treadle.tasks.bundle import Model
    from treadle.tasks.dataset import Parts, SplitSpec
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.search import Setting
    from treadle.tasks.training import Problem


@dataclass(frozen=True, slots=True)
class Fit:
    """A recipe on rows: `raw` is the booster's output [n] or [n, classes] for each row, NaN where it was not left out.

    The answers for a row are those of models that were not fitted on it. `curve` is how the first of them learned, None
    where no row was left out.
    """

    booster: Booster
    features: FeatureSpec
    y: np.ndarray
    raw: np.ndarray
    curve: Curve | None

    @property
    def answered(self) -> np.ndarray:
        """Which rows were left out, a mask [n]."""
        import numpy as np

        found: np.ndarray = np.isfinite(self.raw.reshape(len(self.raw), -1)).all(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The model to judge, how one of its boosters learned, and of which kind it is."""

    model: Model
    curve: Curve
    kind: Literal["trees", "linear"] = "trees"


def fit_recipe(problem: Problem, recipe: Recipe, rows: pa.Table, folds: Sequence[Fold], *, judged_rows: int) -> Fit:
    """Fit `recipe` on `rows`, leaving out each of `folds` in turn.

    With the layout 'folds' the boosters of all folds become one, which is the model: they need no further fit, and each
    brings its own target statistics. Else they only answer, and the members are fitted on all rows. `judged_rows` are
    those that the recipe's rounds were found for; a fit on more gets more. A linear model is fitted on all rows.
    """
    import numpy as np

    from treadle.tasks import booster, ensemble, linear, training
    from treadle.tasks.features.union import unite
    from treadle.tasks.recipe import serving_rounds

    y = training.labels_as_numbers(problem, rows)
    if recipe.kind == "linear":
        return _fit_line(problem, recipe, rows, y, linear.linear_answers(problem, rows, y, folds, recipe.seed))
    open_spec = training.learn_features(problem, rows, recipe.encodings)
    outputs = (len(problem.classes),) if problem.task == "multiclass" else ()
    margins, times = np.zeros((len(y), *outputs), dtype=np.float64), np.zeros(len(y), dtype=np.int64)
    bagged, curve, objective = recipe.layout.kind == "folds", None, ""
    boosters: list[tuple[Booster, float, FeatureSpec]] = []
    for fold in folds:
        spec, part = training.fitted_part(problem, open_spec, rows.take(fold.fitted), recipe.seed)
        apart = training.encoded_part(problem, spec, rows.take(fold.answered))
        size = len(rows) if bagged else len(part.y)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, size)
            fitted, learned = _fit(problem, recipe, setting, spec, part, rounds, None if curve else apart)
            curve, objective = curve or learned, objective or booster.objective_of(fitted)
            margins[fold.answered] += setting.share * booster.predict_margin(fitted, apart.X)
            if bagged:
                boosters.append((fitted, setting.share / len(folds), spec))
        times[fold.answered] += 1
    if not boosters:
        spec, part = training.fitted_part(problem, open_spec, rows, recipe.seed)
        for setting in recipe.settings:
            rounds = serving_rounds(setting.rounds, judged_rows, len(rows))
            boosters.append((_fit(problem, recipe, setting, spec, part, rounds, None)[0], setting.share, spec))
    united, columns = unite([spec for _, _, spec in boosters])
    members = [ensemble.Member(one, share, at) for (one, share, _), at in zip(boosters, columns, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = margins / times.reshape(-1, *(1 for _ in outputs))
    raw = booster.from_margins(objective, mean.astype(np.float32)) if objective else mean
    return Fit(ensemble.merge(members, united.names), united, y, raw, curve)


def fit_judged(problem: Problem, recipe: Recipe, parts: Parts, split: SplitSpec) -> FittedModel:
    """Fit the recipe on training and validation rows, and calibrate it by its answers for rows that were left out.

    Where it leaves the kind open, a linear model takes the trees' place unless their answers are surely better.
    """
    from treadle.tasks import bundle, linear, postprocess, training, validation
    from treadle.tasks.booster import Curve

    rows = training.together(parts.train, parts.validation)
    y = training.labels_as_numbers(problem, rows)
    folds = judged_folds(problem, recipe, parts, split, y)
    fit = fit_recipe(problem, recipe, rows, folds, judged_rows=len(rows))
    if not fit.answered.any():
        folds = validation.single_fold(parts)
        fit = fit_recipe(problem, recipe, rows, folds, judged_rows=len(rows))
    kind: Literal["trees", "linear"] = "linear" if recipe.kind == "linear" else "trees"
    if recipe.kind == "auto":
        line = linear.linear_answers(problem, rows, y, folds, recipe.seed)
        if linear.prefer_linear(problem.task, problem.metric, y, fit.raw, line):
            kind, fit = "linear", _fit_line(problem, recipe, rows, y, line)
    post = postprocess.fit_postprocess(
        problem.task, problem.classes, fit.y[fit.answered], fit.raw[fit.answered].astype("float32")
    )
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
    )
    return FittedModel(model=model, curve=fit.curve or Curve(problem.metric, (), ()), kind=kind)


def _fit_line(problem: Problem, recipe: Recipe, rows: pa.Table, y: np.ndarray, raw: np.ndarray) -> Fit:
    """A linear model on all `rows`; `raw` are its kind's answers for those that were left out."""
    from treadle.tasks import linear

    booster, spec = linear.fit_linear(problem, rows, y, seed=recipe.seed)
    return Fit(booster, spec, y, raw, None)


def judged_folds(problem: Problem, recipe: Recipe, parts: Parts, split: SplitSpec, y: np.ndarray) -> tuple[Fold, ...]:
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
) -> tuple[Booster, Curve | None]:
    """A member's booster; measured on the rows `apart` after each round where they are given."""
    from treadle.tasks import booster
    from treadle.tasks.recipe import recipe_parameters

    params = recipe_parameters(problem, recipe, spec, setting.params)
    if apart is None:
        return booster.fit_booster(params, part, rounds=rounds, names=spec.names), None
    return booster.fit_with_curve(params, part, apart, rounds=rounds, names=spec.names)
