"""Realised performance: metrics of predictions whose labels have arrived.

Predictions are grouped, by the batch that was scored or by a window of time, for each model version by itself. A
group's label coverage says how many of its predictions have a label by now; its metrics are of those, by the same
functions that judged the model on its holdout.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks import metrics, postprocess
from treadle.tasks.coverage import IntervalCoverage, interval_coverage
from treadle.tasks.schedule import Cron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dependence import Dependence
    from treadle.tasks.postprocess import ClassLabel

MONDAY = date(1970, 1, 5)
"""Windows are counted from here, so that those of seven days are weeks and none depends on the data."""


class MonitorSpec(BaseModel):
    """How realised performance is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    window_days: int = Field(7, ge=1, description="predictions are grouped by windows of so many days")
    recent_days: int = Field(
        28,
        ge=1,
        description="the champion's recent performance is that of so many days before the newest label",
    )
    schedule: Cron = Field(default="", description="when the server monitors by itself, as cron has it; empty: never")


class MetricBounds(BaseModel):
    """A metric's value with the ends of its 95% interval; None where it is not defined."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    lower: float | None
    upper: float | None


class Realised(BaseModel):
    """What one group of a version's predictions was worth.

    `rows` were predicted, of which `labelled` have a label that counts; `young` are younger than `mature_after`, and
    their labels do not count yet. A row counts once, by its first prediction. `repeated` predictions of such rows are
    left out; a batch keeps all of its own, and so many of them count elsewhere. `coverage` is the share of labelled
    ones among those that are not young. `unknown` labels are of a class that the model cannot predict; no metric counts
    them. `metric` with its interval is what the model was judged by, `scores` are all metrics of the task that are
    defined here. `predicted` and `actual` are the means of prediction and label (binary: of the positive class;
    multiclass: None). `weighed` of the labelled rows have a weight above 0, and every figure is of these, weighted;
    None where no weights are asked for or no row has one. `intervals` says how many labels lie in the 90% interval that
    was delivered with their prediction (regression).
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    labelled: int
    unknown: int
    coverage: float
    metric: MetricBounds
    scores: dict[str, float]
    predicted: float | None
    actual: float | None
    young: int = 0
    weighed: int | None = None
    repeated: int = 0
    intervals: IntervalCoverage | None = None


class BatchOutcome(BaseModel):
    """What the predictions for one batch were worth."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    label: str
    realised: Realised


class WindowOutcome(BaseModel):
    """What the predictions for the rows of some days, the first and the last included, were worth."""

    model_config = ConfigDict(frozen=True)

    first: date
    last: date
    realised: Realised


class VersionOutcome(BaseModel):
    """What a model version's predictions were worth: all of them, by batch and by window, in order of time."""

    model_config = ConfigDict(frozen=True)

    version: int
    champion: bool
    total: Realised
    batches: tuple[BatchOutcome, ...]
    windows: tuple[WindowOutcome, ...]


def counted_once(version: VersionOutcome) -> str:
    """How many predictions a version's rows had, in one sentence; empty where each had one."""
    rows, repeated = version.total.rows, version.total.repeated
    if not repeated:
        return ""
    return (
        f"version {version.version} made {rows + repeated:,} predictions of {rows:,} rows: a batch has all of its own, "
        "and elsewhere a row counts once, by its first prediction"
    )


def realised(
    task: str,
    metric: str,
    classes: Sequence[ClassLabel],
    labels: pa.ChunkedArray,
    predictions: pa.Table,
    *,
    rows: int,
    young: int = 0,
    repeated: int = 0,
    dependence: Dependence | None = None,
    weight: pa.ChunkedArray | None = None,
) -> Realised:
    """One group: `labels` [n] (no nulls) and the prediction columns [n] of those of its `rows` that have a label.

    `young` of the rows are too young for a label to count, and `repeated` is passed on. `classes` are the model's, in
    code order (regression: none). Accuracy, F1 and their like are those of the column `prediction` as it was delivered,
    whatever the threshold is now. `dependence` says which of the n predictions depend on each other (None: none do),
    which makes the interval wider. `weight` [n] are numbers: rows whose weight is missing or 0 or less do not count, as
    they would not judge; where no row has one, all count alike.
    """
    import numpy as np

    y, p, weights, at = judged_arrays(task, classes, labels, predictions, weight)
    delivered = delivered_answers(task, classes, predictions)[at]
    known = int(np.count_nonzero(_predictable(labels, task, classes)))
    bounds, scores, intervals = MetricBounds(value=None, lower=None, upper=None), {}, None
    if len(y):
        scores = metrics.scores(task, y, p, weights, metric=metric)
        of_labels = [name for name in scores if name in metrics.OF_LABELS]
        scores |= {name: metrics.metric_value(task, name, y, delivered, weights) for name in of_labels}
        depends = dependence.of(at) if dependence else None
        judged = delivered if metric in metrics.OF_LABELS else p
        lower, upper = metrics.interval(task, metric, y, judged, dependence=depends, weight=weights)
        bounds = MetricBounds(value=scores.get(metric), lower=_number(lower), upper=_number(upper))
        if task == "regression" and {"lower", "upper"} <= set(predictions.column_names):
            ends = (predictions[name].to_numpy().astype(np.float64)[at] for name in ("lower", "upper"))
            intervals = interval_coverage(y, *ends, weight=weights, dependence=depends)
    means = len(y) and task != "multiclass"
    return Realised(
        rows=rows,
        labelled=len(labels),
        unknown=len(labels) - known,
        coverage=len(labels) / (rows - young) if rows > young else 0.0,
        metric=bounds,
        scores=scores,
        predicted=_mean(p, weights) if means else None,
        actual=_mean(y, weights) if means else None,
        young=young,
        weighed=None if weights is None else len(weights),
        repeated=repeated,
        intervals=intervals,
    )


def judged_arrays(
    task: str,
    classes: Sequence[ClassLabel],
    labels: pa.ChunkedArray,
    predictions: pa.Table,
    weight: pa.ChunkedArray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Of the rows that judge: labels [k] and predictions [k] or [k, classes] as metrics want them, weights, positions.

    Left out are labels that the model cannot predict, and rows without a weight above 0 where a row has one.
    """
    import numpy as np

    usable = _predictable(labels, task, classes)
    at = np.flatnonzero(usable)
    y, p = _y(task, classes, labels.filter(usable)), _p(task, classes, predictions.filter(usable))
    weights = None if weight is None else _weights(weight.filter(usable))
    if weights is None:
        return y, p, None, at
    counts = weights > 0
    return y[counts], p[counts], weights[counts], at[counts]


def columns(task: str, classes: Sequence[ClassLabel]) -> tuple[str, ...]:
    """The prediction columns that `realised` reads."""
    if task == "multiclass":
        return ("prediction", *(f"probability_{postprocess.label_text(one)}" for one in classes))
    return ("prediction", "probability") if task == "binary" else ("prediction", "lower", "upper")


def window(day: date, days: int) -> tuple[date, date]:
    """The window of `days` days that holds `day`: its first day and its last."""
    first = MONDAY + timedelta(days=(day - MONDAY).days // days * days)
    return first, first + timedelta(days=days - 1)


def _predictable(labels: pa.ChunkedArray, task: str, classes: Sequence[ClassLabel]) -> pa.ChunkedArray:
    """Mask of the labels that the model can predict; an empty column of labels may have no type yet."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(labels):
        return pa.chunked_array([], pa.bool_())
    if task == "regression":
        return pc.is_finite(labels.cast(pa.float64()))
    return pc.is_in(labels, value_set=pa.array(list(classes)).cast(labels.type))


def _y(task: str, classes: Sequence[ClassLabel], labels: pa.ChunkedArray) -> np.ndarray:
    """Class codes or, as precise as they came, values: float64 [n]."""
    import numpy as np
    import pyarrow as pa

    if not len(labels):
        return np.empty(0)
    if task == "regression":
        values: np.ndarray = labels.cast(pa.float64()).to_numpy()
        return values
    return postprocess.encode_target(labels, task, classes).astype(np.float64)


def _p(task: str, classes: Sequence[ClassLabel], predictions: pa.Table) -> np.ndarray:
    """Calibrated probabilities or values as the metrics want them, float64 [n] or [n, classes]."""
    import numpy as np

    named = (
        ["prediction"] if task == "regression" else [name for name in columns(task, classes) if name != "prediction"]
    )
    parts = [predictions[name].to_numpy().astype(np.float64) for name in named]
    return np.column_stack(parts) if task == "multiclass" else parts[0]


def delivered_answers(task: str, classes: Sequence[ClassLabel], predictions: pa.Table) -> np.ndarray:
    """The delivered predictions as the metrics want them: values, or 1 for the predicted class and 0 for others.

    Float64 [n], of several classes [n, classes].
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = predictions["prediction"]
    if task == "regression" or not len(column):
        return _p(task, classes, predictions)
    codes = np.asarray(pc.index_in(column, value_set=pa.array(list(classes)).cast(column.type)))
    return np.eye(len(classes))[codes] if task == "multiclass" else codes.astype(np.float64)


def _weights(weight: pa.ChunkedArray) -> np.ndarray | None:
    """Float64 [n], 0 where a row has no usable weight; None where no row has one."""
    import numpy as np
    import pyarrow as pa

    values = weight.cast(pa.float64()).to_numpy()
    usable = np.isfinite(values) & (values > 0)
    return np.where(usable, values, 0.0) if usable.any() else None


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    import numpy as np

    return float(values.mean() if weights is None else np.average(values, weights=weights))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
