"""A linear model of a table: ridge or logistic regression, scored beside every challenger, and served where it wins.

Its inputs are features like any others (tasks/features/linear.py), its coefficients stand in a booster file
(tasks/coefficients.py), so that a bundle, its scorer and its certificate know no second kind of model.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.booster import predict_raw
from treadle.tasks.centring import offset_of
from treadle.tasks.coefficients import Coefficients, linear_booster
from treadle.tasks.dependence import Dependence, usable_error
from treadle.tasks.objective import plain_objective
from treadle.tasks.threshold import choose_threshold
from treadle.tasks.weights import relative, row_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pyarrow as pa
    from sklearn.linear_model import LogisticRegression, Ridge
    from xgboost import Booster

    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.features import Feature, FeatureSpec
    from treadle.tasks.training import Problem

LINEAR_ROWS = 50_000
"""A line needs no more rows: of larger tables it gets a sample of so many."""

STRENGTH_ROWS = 5_000
"""Rows on which the strength of a logistic regression's penalty is chosen: on more it hardly matters."""

ONE_HOT_LEVELS = 30
"""Categories of so few levels become an input each; those of more say nothing to a line and are left out."""

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1_000.0)
"""Penalties to choose from: scikit-learn's `alpha` of a ridge regression, 1 / `C` of a logistic one."""

NUMBERS = ("number", "boolean", "date_part", "cycle", "since")
"""Kinds of features that are scaled."""

FOLDS = 3
NEWTON_WIDTH = 300
"""Up to so many inputs a binary task is fitted by Newton's method, which then is the fastest."""

NEVER = -1e30
"""The margin of a class that the fitted rows lack."""


def linear_features(spec: FeatureSpec, rows: pa.Table) -> FeatureSpec:
    """The inputs of a linear model for the columns of `spec`, the features of trees, learned from the same `rows`.

    Numbers, booleans and date parts are scaled; missing ones become the median and say so in an input of their own.
    Categories of at most `ONE_HOT_LEVELS` levels become an input per level. Others are left out.
    """
    from treadle.tasks import features

    named: dict[str, Feature] = {}
    gaps: set[tuple[str, ...]] = set()
    for feature in spec.features:
        for candidate in _inputs(feature, spec, rows):
            if candidate.kind == "missing":
                if candidate.sources in gaps:  # of another part of the same date
                    continue
                gaps.add(candidate.sources)
            name = features.xgboost_name(candidate.name, named)
            named[name] = candidate.model_copy(update={"name": name})
    return spec.model_copy(update={"features": tuple(named.values())})


def fit_linear(
    problem: Problem,
    rows: pa.Table,
    y: np.ndarray,
    *,
    seed: int,
    weight: np.ndarray | None = None,
    strength: float | None = None,
    masked: bool = False,
) -> tuple[Booster, FeatureSpec]:
    """A linear model fitted on (a sample of) typed `rows` with labels `y` [n], codes or (centred) values.

    `weight` [n] weighs rows (default: 1). `strength` is the penalty; without it the one of `STRENGTHS` with the least
    squared error or log loss on rows that were left out is taken. With `masked` some known levels are masked
    (`features.masking`), so that the intercept is the answer for an unseen one. Raises TargetError where no column can
    be an input, or all labels are the same.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from treadle.tasks.errors import TargetError
    from treadle.tasks.features.masking import mask_known_levels

    if len(np.unique(y)) < 2:
        raise TargetError(
            f"all {len(y):,} rows have the same {problem.target!r}: there is no line", "train on more rows"
        )
    rows, y, weight = _sample(rows, y, weight, LINEAR_ROWS, seed)
    weight = relative(weight)  # a penalty means the same whatever the unit of weights
    spec, X = _encoded(problem, rows)
    X = mask_known_levels(spec, rows, X, y, seed=seed) if masked else X
    with threadpool_limits(1):  # a second thread saves little, and costs tenfold where another process wants the core
        chosen = _best_strength(problem.task, X, y, weight, seed) if strength is None else strength
        line = _fit(problem, X, y, weight, chosen)
    return linear_booster(line, objective=plain_objective(problem.task).name, names=spec.names), spec


def penalty(problem: Problem, rows: pa.Table, y: np.ndarray, *, seed: int, weight: np.ndarray | None = None) -> float:
    """The penalty of `STRENGTHS` that `fit_linear` takes on these rows."""
    from threadpoolctl import threadpool_limits

    rows, y, weight = _sample(rows, y, weight, STRENGTH_ROWS, seed)
    with threadpool_limits(1):
        return _best_strength(problem.task, _encoded(problem, rows)[1], y, relative(weight), seed)


def linear_answers(
    problem: Problem,
    rows: pa.Table,
    y: np.ndarray,
    folds: Sequence[Fold],
    seed: int,
    *,
    weight: np.ndarray | None = None,
    masked: bool = False,
    by_fold: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Raw out-of-fold answers for `rows`, float64 [n] or [n, classes]; NaN for rows that no fold answers for.

    Scales, medians, levels and coefficients are learned from each fold's rows, the penalty from those of the first. A
    fold whose fitted rows have one label only is left out. `by_fold` takes the folds' own answers: folds may overlap.
    """
    import numpy as np

    from treadle.tasks import features

    shape = (len(y), len(problem.classes)) if problem.task == "multiclass" else (len(y),)
    raw, strength = np.full(shape, np.nan), None
    for fold in folds:
        own_answers = np.full((len(fold.answered), *shape[1:]), np.nan)
        if by_fold is not None:
            by_fold.append(own_answers)
        if len(np.unique(y[fold.fitted])) < 2:
            continue
        part = None if weight is None else weight[fold.fitted]
        fitted, own = rows.take(fold.fitted), y[fold.fitted]
        if strength is None:
            strength = penalty(problem, fitted, own, seed=seed, weight=part)
        booster, spec = fit_linear(problem, fitted, own, seed=seed, weight=part, strength=strength, masked=masked)
        own_answers[:] = predict_raw(booster, features.encode(spec, rows.take(fold.answered)))
        raw[fold.answered] = own_answers
    return raw


@dataclass(frozen=True, slots=True)
class LineBeside:
    """A linear model's answers `p` float64 [n] or [n, classes], and the least that it calls positive (binary)."""

    p: np.ndarray
    threshold: float = 0.5


def linear_beside(problem: Problem, fitted: pa.Table, y: np.ndarray, rows: pa.Table, *, seed: int) -> LineBeside | None:
    """Answers for `rows` of a linear model fitted on `fitted`, by its weights.

    Its threshold follows the problem's rule, on (a sample of) the rows that it was fitted on: a penalised line with few
    coefficients answers for these hardly better than for others. None where there is no such model: no column can be an
    input, or all labels are the same.
    """
    from treadle.tasks import features
    from treadle.tasks.errors import TargetError

    weight = row_weights(fitted, problem.weight)
    offset = offset_of(y) if problem.task == "regression" else 0.0
    centred = y - offset if offset else y
    try:
        booster, spec = fit_linear(problem, fitted, centred, seed=seed, weight=weight)
    except TargetError:
        return None
    p = predict_raw(booster, features.encode(spec, rows)).astype("float64") + offset
    if problem.task != "binary":
        return LineBeside(p)
    known, labels, weight = _sample(fitted, y, weight, LINEAR_ROWS, seed)
    own = predict_raw(booster, features.encode(spec, known)).astype("float64")
    return LineBeside(p, choose_threshold(problem.threshold_rule, own, labels, relative(weight)))


def prefer_linear(
    task: str,
    metric: str,
    y: np.ndarray,
    trees: np.ndarray,
    linear: np.ndarray,
    *,
    errors: float = 0.5,
    weight: np.ndarray | None = None,
    dependence: Dependence | None = None,
) -> bool:
    """Whether the linear model is taken: trees are not better by more than `errors` standard errors of the difference.

    `trees` and `linear` are answers for rows that neither was fitted on, [n] or [n, classes]; rows that only one
    answers for are left out. The rows, of which each has its `weight` [n] (default: 1), are paired (influence functions
    of `metric`), and depend on each other by `dependence` (None: not at all). A difference that is not defined prefers
    trees. It is the rule of one standard error (Breiman et al. 1984, Classification and Regression Trees) with half of
    one: on few rows a whole one gives much away.
    """
    import numpy as np

    from treadle.tasks import metrics
    from treadle.tasks.influence import influences

    both = np.isfinite(trees.reshape(len(y), -1)).all(axis=1) & np.isfinite(linear.reshape(len(y), -1)).all(axis=1)
    if both.sum() < 2:
        return False
    y, trees, linear = y[both], trees[both], linear[both]
    weight = None if weight is None else weight[both]
    lead = metrics.gain(metric, *(metrics.metric_value(task, metric, y, p, weight) for p in (trees, linear)))
    moved = influences(metric, y, trees, weight=weight) - influences(metric, y, linear, weight=weight)
    known = (dependence or Dependence()).of(np.flatnonzero(both))
    return lead <= errors * usable_error(moved, known, weight)


def levels_alike(level: str, levels: Sequence[str]) -> tuple[str, ...]:
    """`level`, then all others of `levels` that pandas may read as the same number, or as the same word but for case.

    An indicator needs to know them: a number stands for a level only where no other level has the same value.
    """

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return math.nan

    def alike(other: str) -> bool:
        return level.strip().casefold() == other.strip().casefold() or number(level) == number(other)

    return (level, *(other for other in levels if other != level and alike(other)))


def _inputs(feature: Feature, spec: FeatureSpec, rows: pa.Table) -> Iterator[Feature]:
    """What a linear model makes of one feature of the trees."""
    import numpy as np

    from treadle.tasks import features
    from treadle.tasks.features import Scale

    if feature.kind == "code":
        if len(feature.levels) > ONE_HOT_LEVELS:
            return
        for level in feature.levels:
            known = levels_alike(level, feature.levels)
            yield feature.model_copy(update={"name": f"{feature.name} = {level}", "kind": "indicator", "levels": known})
    elif feature.kind not in NUMBERS:
        return
    values = features.encode(spec.model_copy(update={"features": (feature,)}), rows)[:, 0].astype(np.float64)
    missing = np.isnan(values)
    present = values[~missing]
    if feature.kind != "code" and len(present) and (std := float(present.std())) > 0:
        scale = Scale(fill=float(np.median(present)), mean=float(present.mean()), std=std)
        yield feature.model_copy(update={"scale": scale})
    if missing.any() and not missing.all():
        yield feature.model_copy(
            update={"name": f"{' since '.join(feature.sources)} missing", "kind": "missing", "levels": ()}
        )


def _encoded(problem: Problem, rows: pa.Table) -> tuple[FeatureSpec, np.ndarray]:
    from treadle.tasks import features
    from treadle.tasks.errors import TargetError

    of_trees = features.fit_features(
        rows,
        problem.schema,
        columns=problem.columns,
        categories=problem.categories,
        time=problem.time or None,
        timezone=problem.timezone,
    )
    spec = linear_features(of_trees, rows)
    if not spec.features:
        raise TargetError(
            f"no column can be an input of a linear model (looked at: {', '.join(problem.columns)})",
            'set model.kind = "trees"',
        )
    return spec, features.encode(spec, rows)


def _sample(
    rows: pa.Table, y: np.ndarray, weight: np.ndarray | None, count: int, seed: int
) -> tuple[pa.Table, np.ndarray, np.ndarray | None]:
    import numpy as np

    if len(y) <= count:
        return rows, y, weight
    at = np.sort(np.random.default_rng(seed).choice(len(y), count, replace=False))
    return rows.take(at), y[at], None if weight is None else weight[at]


def _best_strength(task: str, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, seed: int) -> float:
    """The penalty of `STRENGTHS` whose models err least on rows that were left out; of equals the stronger."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold

    at = np.arange(len(y))
    if len(at) > STRENGTH_ROWS:
        at = np.random.default_rng(seed).choice(len(y), STRENGTH_ROWS, replace=False)
    X, y, w = X[at], y[at], np.ones(len(at)) if weight is None else weight[at]
    if len(at) < 2 * FOLDS or (task != "regression" and np.bincount(y.astype(np.int64)).max() < FOLDS):
        return 1.0
    deal = KFold if task == "regression" else StratifiedKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer rows than folds
        parts = list(deal(FOLDS, shuffle=True, random_state=seed).split(X, y))
    losses = dict.fromkeys(sorted(STRENGTHS, reverse=True), 0.0)
    for strength in losses:
        for fitted, held in parts:
            if task != "regression" and len(np.unique(y[fitted])) < 2:
                continue
            model = _estimator(task, X.shape[1], len(np.unique(y[fitted])), strength)
            _settle(model, task, X[fitted], y[fitted], w[fitted])
            losses[strength] += float((w[held] * _losses(task, model, X[held], y[held])).sum())
    return min(losses, key=lambda strength: losses[strength])


def _losses(task: str, model: LogisticRegression | Ridge, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared errors, or log losses, of rows [n]."""
    import numpy as np

    from treadle.tasks.influence import PROBABILITY_FLOOR

    if task == "regression":
        return np.asarray((model.predict(X) - y) ** 2)
    answered = model.predict_proba(X)
    place = np.searchsorted(model.classes_, y)
    known = np.isin(y, model.classes_)
    chance = np.where(known, answered[np.arange(len(y)), np.minimum(place, answered.shape[1] - 1)], 0.0)
    return np.asarray(-np.log(np.maximum(chance, PROBABILITY_FLOOR)))


def _estimator(task: str, width: int, classes: int, strength: float) -> LogisticRegression | Ridge:
    from sklearn.linear_model import LogisticRegression, Ridge

    if task == "regression":
        return Ridge(alpha=strength)
    solver = "newton-cholesky" if classes == 2 and width <= NEWTON_WIDTH else "lbfgs"
    return LogisticRegression(C=1 / strength, solver=solver, max_iter=200)


def _settle(
    model: LogisticRegression | Ridge, task: str, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> None:
    """Fit; a line that has not quite settled is a fair one still."""
    import numpy as np
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        model.fit(X.astype(np.float64), y.astype(np.float64 if task == "regression" else np.int64), weight)


def _fit(problem: Problem, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, strength: float) -> Coefficients:
    """The coefficients of a penalised regression; a class that `y` lacks is never predicted."""
    import numpy as np

    model = _estimator(problem.task, X.shape[1], len(np.unique(y)), strength)
    _settle(model, problem.task, X, y, weight)
    slopes, intercept = np.atleast_2d(model.coef_), np.atleast_1d(np.asarray(model.intercept_))
    if problem.task == "multiclass":
        if len(model.classes_) == 2:  # one margin: that of the second class against the first
            slopes, intercept = np.vstack([0 * slopes, slopes]), np.r_[0.0, intercept]
        weights, start = np.zeros((len(problem.classes), X.shape[1])), np.full(len(problem.classes), NEVER)
        weights[model.classes_], start[model.classes_] = slopes, intercept
        slopes, intercept = weights, start
    return Coefficients(
        weights=tuple(map(tuple, slopes.T.tolist())),
        intercept=tuple(intercept.tolist()),
        spread=tuple(X.std(axis=0, dtype=np.float64).tolist()),
    )
