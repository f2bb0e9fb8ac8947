"""How well an encoding predicts: the losses of a quick booster on the rows that folds answer for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from treadle.tasks.centring import centred_target
from treadle.tasks.dataset.folds import error_of_windows
from treadle.tasks.features.encoding import encode
from treadle.tasks.features.fitting import fit_features
from treadle.tasks.features.statistics import cross_fitted
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import Schema
    from treadle.tasks.dataset.folds import Fold

MEASURED_ROWS = 20_000
"""More rows than this are sampled."""

MEASURED_FOLDS = 3
ROUNDS, PATIENCE = 200, 10
QUICK = {"eta": 0.15, "max_depth": 6, "min_child_weight": 3, "subsample": 0.9, "colsample_bytree": 0.9}
DEEPER = {**QUICK, "max_depth": 10}


@dataclass(frozen=True, slots=True)
class EncodingProblem:
    """The rows to measure on, and all that it takes to encode them and to fit a booster on them.

    `rows` are typed and all have a label; `y` float32 [rows] are values or class codes; `groups` and `weight` [rows];
    `time` is the column by which the rows are dated, if any; `numbers` are columns that must stay numbers. `logarithm`:
    `y` is the logarithm of 1 + the target. See `fit_features` for the other fields.
    """

    rows: pa.Table
    y: np.ndarray
    schema: Schema
    columns: tuple[str, ...]
    categories: tuple[str, ...]
    time: str | None
    timezone: str
    task: str
    classes: int
    folds: tuple[Fold, ...]
    seed: int
    nthread: int = 1
    groups: np.ndarray | None = None
    weight: np.ndarray | None = None
    numbers: tuple[str, ...] = ()
    logarithm: bool = False

    @property
    def loss(self) -> str:
        """What `held_losses` gives, in words."""
        if self.task != "regression":
            return "log loss"
        return "squared error of the logarithm" if self.logarithm else "squared error"


@dataclass(frozen=True, slots=True)
class EncodingPlan:
    """An encoding of all columns: see `encodings` and `differences` of `fit_features`.

    `deep` says that it is measured by deeper trees.
    """

    encodings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    differences: tuple[tuple[str, str], ...] = ()
    deep: bool = False

    def using(self, encodings: Mapping[str, tuple[str, ...]]) -> EncodingPlan:
        """The plan with other encodings of some columns."""
        return replace(self, encodings={**self.encodings, **encodings})


def on_steady_scale(problem: EncodingProblem) -> EncodingProblem:
    """The problem with the logarithm of a target of skewed amounts or counts, where its few largest rows would decide.

    An encoding that tells levels apart does so on both scales. On the logarithm its gain is the surer one: for prices
    of houses, statistics instead of codes gain 2 standard errors there, and 1 on the target's own scale.
    """
    from treadle.tasks.objective import target_shape
    from treadle.tasks.target_scale import to_training_target

    if problem.task != "regression" or target_shape(problem.y, problem.weight) not in ("counts", "positive"):
        return problem
    return replace(problem, y=to_training_target("log1p", problem.y), logarithm=True)


def sampled(problem: EncodingProblem) -> EncodingProblem:
    """The problem on at most `MEASURED_ROWS` rows, and the last folds."""
    import numpy as np

    from treadle.tasks.dataset.folds import Fold

    folds = problem.folds[-MEASURED_FOLDS:]
    count = problem.rows.num_rows
    if count <= MEASURED_ROWS:
        return replace(problem, folds=folds)
    chosen = np.sort(np.random.default_rng(problem.seed).choice(count, MEASURED_ROWS, replace=False))
    place: np.ndarray = np.full(count, -1)
    place[chosen] = np.arange(len(chosen))

    def among(positions: np.ndarray) -> np.ndarray:
        found: np.ndarray = place[positions]
        return np.asarray(found[found >= 0])

    there = (Fold(among(fold.fitted), among(fold.answered)) for fold in folds)
    return replace(
        problem,
        rows=problem.rows.take(chosen),
        y=problem.y[chosen],
        groups=None if problem.groups is None else problem.groups[chosen],
        weight=None if problem.weight is None else problem.weight[chosen],
        folds=tuple(fold for fold in there if len(fold.fitted) and len(fold.answered)),
    )


def held_losses(problem: EncodingProblem, plan: EncodingPlan, fold: Fold) -> np.ndarray:
    """The loss of each row that the fold answers for, float64, of a booster that stops where it is best on them."""
    import numpy as np
    import xgboost

    from treadle.tasks.booster import complete_parameters
    from treadle.tasks.influence import row_losses

    labels = centred_target(problem.task, problem.y)
    rows, y = problem.rows.take(fold.fitted), labels[fold.fitted]
    weight = _part(problem.weight, fold)
    spec = fit_features(
        rows,
        problem.schema,
        columns=problem.columns,
        categories=problem.categories,
        time=problem.time,
        timezone=problem.timezone,
        encodings=plan.encodings,
        differences=plan.differences,
    )
    spec, X = cross_fitted(
        spec,
        rows,
        y,
        task=problem.task,
        classes=problem.classes,
        seed=problem.seed,
        groups=_part(problem.groups, fold),
        weight=weight,
    )
    held, truth = encode(spec, problem.rows.take(fold.answered)), labels[fold.answered]
    quick = DEEPER if plan.deep else QUICK
    params = complete_parameters(problem.task, quick, classes=problem.classes, device="cpu", seed=problem.seed)
    fitted = xgboost.QuantileDMatrix(X, y, weight=relative(weight), nthread=problem.nthread)
    booster = xgboost.train(
        {**params, "nthread": problem.nthread},
        fitted,
        num_boost_round=ROUNDS,
        evals=[(xgboost.QuantileDMatrix(held, truth, ref=fitted, nthread=problem.nthread), "held")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    raw = booster.inplace_predict(held, iteration_range=(0, booster.best_iteration + 1)).astype(np.float64)
    if problem.task == "regression":
        return np.asarray((raw - truth) ** 2)
    return row_losses("log_loss", truth, raw)


def _part(values: np.ndarray | None, fold: Fold) -> np.ndarray | None:
    return None if values is None else values[fold.fitted]


def paired_gain(
    problem: EncodingProblem, before: Sequence[np.ndarray], after: Sequence[np.ndarray]
) -> tuple[float, float, float, float]:
    """The mean loss before, how much it falls, and the standard error of that: over rows, and over windows of time.

    `before` and `after` are what `held_losses` gives for the first folds. Rows are weighted, those of a group are one.
    The error over windows is 0 where rows are not dated.
    """
    import numpy as np

    answered = np.concatenate([fold.answered for fold in problem.folds[: len(before)]])
    weight = np.ones(len(answered)) if problem.weight is None else problem.weight[answered].astype(np.float64)
    weight = weight / weight.sum()
    old, new = np.concatenate(before), np.concatenate(after)
    gain = float(weight @ (old - new))
    apart = weight * (old - new - gain)
    if problem.groups is not None:
        _, group = np.unique(problem.groups[answered], return_inverse=True)
        apart = np.bincount(group, weights=apart)
    over_windows = 0.0
    if problem.time:
        ends = np.cumsum([len(fold.answered) for fold in problem.folds[: len(before)]])[:-1]
        parts = zip(np.split(weight, ends), np.split(old - new, ends), strict=True)
        over_windows = error_of_windows(
            [(float(part.sum()), float(part @ gains / part.sum())) for part, gains in parts]
        )
    return float(weight @ old), gain, math.sqrt(float(apart @ apart)), over_windows
