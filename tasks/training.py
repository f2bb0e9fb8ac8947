"""One training run as plain functions: rows to a problem, a study's finding to a model, a model to its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset import Schema  # noqa: TC001 - a Problem is kept as JSON, which looks its types up
from treadle.tasks.dataset.arrival import arrival_moment, arrivals
from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import pyarrow as pa
    from xgboost import Booster

    from treadle.tasks.booster import Curve
    from treadle.tasks.bundle import Model
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.recipe import Recipe

TrainingLabel = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learned, fixed before anything is fitted.

    `classes` are the labels in code order (binary: negative, positive; regression: none); `columns` are the columns
    that may become features. `order` is "file" where rows are in time order although no column dates them.
    """

    task: str
    metric: str
    target: str
    schema: Schema
    key: tuple[str, ...]
    time: str
    timezone: str
    columns: tuple[str, ...]
    categories: tuple[str, ...]
    missing: tuple[str, ...]
    classes: tuple[TrainingLabel, ...]
    order: str = ""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The model to judge (fitted on training and validation rows) and how the search's one learned."""

    model: Model
    curve: Curve


def labels(rows: pa.Table, target: str) -> list[TrainingLabel]:
    """The target's distinct values, nulls left out; none where no batch has brought the column yet."""
    import pyarrow.compute as pc

    if target not in rows.column_names:
        return []
    return [value for value in pc.unique(rows[target]).to_pylist() if value is not None]


def last_time(problem: Problem, rows: pa.Table) -> datetime | date | int | float | None:
    """The newest value of the time column, None without one: a later holdout must begin after it.

    Where rows are in the order of their files, the last arrival as a moment.
    """
    import pyarrow.compute as pc

    if problem.order:
        return arrival_moment(int(arrivals(rows).max())) if len(rows) else None
    return pc.max(rows[problem.time]).as_py() if problem.time else None


def first_time(problem: Problem, rows: pa.Table) -> datetime | date | int | float | None:
    """The oldest value of the time column, None without one; in the order of files the first arrival as a moment."""
    import pyarrow.compute as pc

    if problem.order:
        return arrival_moment(int(arrivals(rows).min())) if len(rows) else None
    return pc.min(rows[problem.time]).as_py() if problem.time else None


def together(training: pa.Table, validation: pa.Table) -> pa.Table:
    """All rows that the judged model is fitted on."""
    import pyarrow as pa

    return pa.concat_tables([training, validation])


def feature_columns(config: PipelineConfig, schema: Schema) -> tuple[str, ...]:
    """The columns that may become features: all but target, drop, forbid, group and a key of one column.

    A compound key's parts stay: carrier and origin say something, although together they name the row; and so does
    the time, of which the model sees the season and never the day itself.
    """
    out = {config.data.target, *config.data.drop, *config.data.forbid, config.split.group}
    if len(config.data.key) == 1:
        out |= {*config.data.key} - {config.data.time}
    names = tuple(name for name in schema.names if name not in out)
    if not names:
        raise TargetError(
            f"pipeline '{config.name}': no column is left to learn {config.data.target!r} from",
            "take columns out of data.drop or data.forbid",
        )
    return names


def define(config: PipelineConfig, schema: Schema, labels: Sequence[TrainingLabel]) -> Problem:
    """The problem that `config` describes; `labels` are the target's distinct values.

    Raises TargetError where the labels do not make the task that the config names.
    """
    from treadle.tasks import metrics, postprocess

    data = config.data
    return Problem(
        task=data.task,
        metric=config.tune.metric or metrics.default_metric(data.task),
        target=data.target,
        schema=schema,
        key=data.key,
        time=data.time,
        timezone=data.timezone,
        columns=feature_columns(config, schema),
        categories=data.categories,
        missing=data.missing,
        classes=postprocess.classes(data.task, labels, data.positive, data.target),
        order=data.order,
    )


def learn_features(problem: Problem, training: pa.Table) -> FeatureSpec:
    """The encoding, fitted on training rows only."""
    from treadle.tasks import features

    return features.fit_features(
        training,
        problem.schema,
        columns=problem.columns,
        categories=problem.categories,
        time=problem.time or None,
        timezone=problem.timezone,
    )


def encoded_part(problem: Problem, spec: FeatureSpec, rows: pa.Table) -> MatrixRows:
    """Encode `rows`, which all carry a label."""
    from treadle.tasks import features, postprocess

    return MatrixRows(
        X=features.encode(spec, rows),
        y=postprocess.encode_target(rows[problem.target], problem.task, problem.classes),
    )


def stack(a: MatrixRows, b: MatrixRows) -> MatrixRows:
    """The rows of `a`, then those of `b`."""
    import numpy as np

    return MatrixRows(X=np.concatenate([a.X, b.X]), y=np.concatenate([a.y, b.y]))


def fit_judged(
    problem: Problem, spec: FeatureSpec, train: MatrixRows, validation: MatrixRows, recipe: Recipe
) -> FittedModel:
    """Fit the recipe twice: on training rows, to calibrate on validation; then on both, to be judged.

    The number of rounds is the search's own, fixed before: the judged model never early-stops on anything.
    """
    from treadle.tasks import booster, bundle, postprocess
    from treadle.tasks.recipe import recipe_parameters

    params = recipe_parameters(problem, recipe, spec)
    tuned, curve = booster.fit_with_curve(
        params, train, validation, rounds=recipe.rounds, names=spec.names, metric=problem.metric
    )
    post = postprocess.fit_postprocess(
        problem.task, problem.classes, validation.y, booster.predict_raw(tuned, validation.X)
    )
    final: Booster = booster.fit_booster(params, stack(train, validation), rounds=recipe.rounds, names=spec.names)
    model = bundle.Model(
        booster=final,
        features=spec,
        post=post,
        schema=problem.schema,
        key=problem.key,
        target=problem.target,
        time=problem.time,
        timezone=problem.timezone,
        task=problem.task,
        missing=problem.missing,
    )
    return FittedModel(model=model, curve=curve)
