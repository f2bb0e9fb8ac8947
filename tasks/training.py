"""What is to be learned, and its rows as the booster takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset import Schema  # noqa: TC001 - a Problem is kept as JSON, which looks its types up
from treadle.tasks.dataset.arrival import arrival_moment, arrivals
from treadle.tasks.errors import TargetError
from treadle.tasks.threshold import DEFAULT_RULE, ThresholdRule, threshold_rule
from treadle.tasks.weights import row_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset.folds import Fold
    from treadle.tasks.features import FeatureSpec
    from treadle.tasks.search.course import LaneRows

TrainingLabel = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learned, fixed before anything is fitted.

    `classes` are the labels in code order (binary: negative, positive; regression: none); `columns` are the columns
    that may become features; `weight` is the column of row weights (empty: all rows count alike). `order` is "file"
    where rows are in time order although no column dates them; `group` is the column whose rows stay together.
    `threshold_rule` says how a binary task's threshold is chosen.
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
    weight: str = ""
    order: str = ""
    group: str = ""
    threshold_rule: ThresholdRule = DEFAULT_RULE


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
    """The columns that may become features: all but target, weight, drop, forbid, group and a key of one column.

    A compound key's parts stay: carrier and origin say something, although together they name the row; and so does
    the time, of which the model sees the season and never the day itself.
    """
    out = {config.data.target, *config.data.drop, *config.data.forbid, config.split.group, config.data.weight}
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
    metric = config.tune.metric or config.model.wanted.metric or metrics.default_metric(data.task)
    return Problem(
        task=data.task,
        metric=metric,
        target=data.target,
        schema=schema,
        key=data.key,
        time=data.time,
        timezone=data.timezone,
        columns=feature_columns(config, schema),
        categories=data.categories,
        missing=data.missing,
        classes=postprocess.classes(data.task, labels, data.positive, data.target),
        weight=data.weight,
        group=config.split.group,
        order=data.order,
        threshold_rule=threshold_rule(config.score, metric),
    )


def learn_features(
    problem: Problem,
    training: pa.Table,
    encodings: Mapping[str, tuple[str, ...]] | None = None,
    differences: Sequence[tuple[str, str]] = (),
) -> FeatureSpec:
    """The encoding as far as it needs no label, fitted on the rows `training`; `fitted_part` adds what needs them.

    `encodings` says what each column becomes; a column that is not in it becomes what its kind does by default.
    `differences` are pairs of dates.
    """
    from treadle.tasks import features

    return features.fit_features(
        training,
        problem.schema,
        columns=problem.columns,
        categories=problem.categories,
        time=problem.time or None,
        timezone=problem.timezone,
        encodings=encodings,
        differences=differences,
    )


def closed_features(problem: Problem, spec: FeatureSpec, rows: pa.Table) -> FeatureSpec:
    """The spec with target statistics of `rows`."""
    from treadle.tasks.features import statistics

    if not statistics.has_statistics(spec):
        return spec
    y, weight = labels_as_numbers(problem, rows), row_weights(rows, problem.weight)
    return statistics.fit_statistics(spec, rows, y, task=problem.task, classes=len(problem.classes), weight=weight)


def fitted_part(
    problem: Problem, spec: FeatureSpec, rows: pa.Table, seed: int, *, masked: bool = True
) -> tuple[FeatureSpec, MatrixRows]:
    """Encode `rows` to fit on them; the spec that comes back encodes all other rows.

    A row's target statistics here are those of other rows (`features.statistics.cross_fitted`). With `masked` some
    known levels are masked (`features.masking`); recipes of earlier versions mask none.
    """
    from treadle.tasks.features import statistics

    y, weight = labels_as_numbers(problem, rows), row_weights(rows, problem.weight)
    closed, X = statistics.cross_fitted(
        spec,
        rows,
        y,
        task=problem.task,
        classes=len(problem.classes),
        seed=seed,
        groups=groups_of(problem, rows),
        weight=weight,
        masked=masked,
    )
    return closed, MatrixRows(X=X, y=y, weight=weight)


def groups_of(problem: Problem, rows: pa.Table) -> np.ndarray | None:
    """The group of each row as a number [n]: rows of one stay together; None where the problem has no groups."""
    import numpy as np

    if not problem.group or problem.group not in rows.column_names:
        return None
    codes = rows[problem.group].combine_chunks().dictionary_encode().indices.fill_null(-1)
    return np.asarray(codes, dtype=np.int64)


def labels_as_numbers(problem: Problem, rows: pa.Table) -> np.ndarray:
    """The labels of `rows`, which all carry one, [n]: class codes, float32, or values, float64."""
    from treadle.tasks import postprocess

    return postprocess.encode_target(rows[problem.target], problem.task, problem.classes, problem.target)


def encoded_part(problem: Problem, spec: FeatureSpec, rows: pa.Table) -> MatrixRows:
    """Encode `rows`, which all carry a label."""
    from treadle.tasks import features

    return MatrixRows(
        X=features.encode(spec, rows),
        y=labels_as_numbers(problem, rows),
        weight=row_weights(rows, problem.weight),
    )


def lane_rows(
    problem: Problem, spec: FeatureSpec, rows: pa.Table, folds: Sequence[Fold], seed: int
) -> Iterator[LaneRows]:
    """The rows of each fold as a search takes them, encoded one after the other."""
    from treadle.tasks.search.course import LaneRows

    for fold in folds:
        closed, part = fitted_part(problem, spec, rows.take(fold.fitted), seed)
        yield LaneRows(part, encoded_part(problem, closed, rows.take(fold.answered)))
