from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, r2_score, root_mean_squared_error

from tests.tasks_.stories import draw
from treadle.tasks import metrics, performance

BINARY = ("no", "yes")


def binary(labels: list[str], p: list[float], *, rows: int | None = None) -> performance.Realised:
    said = ["yes" if one >= 0.5 else "no" for one in p]
    table = pa.table({"prediction": said, "probability": p, "other": ["x"] * len(p)})
    return performance.realised(
        "binary", "roc_auc", BINARY, pa.chunked_array([labels]), table, rows=rows or len(labels)
    )


def test_coverage_counts_what_has_no_label_yet() -> None:
    told = binary(["yes", "no", "yes"], [0.9, 0.2, 0.8], rows=12)
    assert (told.rows, told.labelled, told.coverage) == (12, 3, 0.25)
    assert (told.metric.value, told.predicted, told.actual) == (1.0, pytest.approx(1.9 / 3), pytest.approx(2 / 3))


def test_a_label_that_the_model_does_not_know_is_counted_and_not_scored() -> None:
    told = binary(["yes", "no", "maybe"], [0.9, 0.2, 0.8])
    assert (told.labelled, told.unknown, told.actual) == (3, 1, 0.5)


def test_one_class_leaves_the_metric_open_and_the_others_told() -> None:
    told = binary(["yes", "yes"], [0.9, 0.2])
    assert (told.metric.value, told.metric.lower) == (None, None)
    assert "roc_auc" not in told.scores
    assert told.scores["accuracy"] == 0.5


@pytest.mark.parametrize("kind", [pa.string(), pa.int32(), pa.null()])
def test_no_label_is_no_performance(kind: pa.DataType) -> None:
    table = pa.table({"prediction": pa.array([], pa.string()), "probability": pa.array([], pa.float64())})
    told = performance.realised("binary", "roc_auc", BINARY, pa.chunked_array([[]], kind), table, rows=5)
    assert (told.rows, told.labelled, told.coverage, told.metric.value, told.actual) == (5, 0, 0.0, None, None)


def test_classes_and_values_are_scored_as_scikit_learn_scores_them() -> None:
    y, p = draw("multiclass", 200, 3, seed=1)
    names = ("a", "b", 3)
    texts = ["a", "b", "3"]
    columns: dict[str, object] = {"prediction": [texts[code] for code in p.argmax(axis=1)]}
    columns |= {f"probability_{text}": p[:, code] for code, text in enumerate(texts)}
    labels = pa.chunked_array([[texts[int(code)] for code in y]])
    told = performance.realised("multiclass", "log_loss", ("a", "b", "3"), labels, pa.table(columns), rows=200)
    assert told.metric.value == pytest.approx(log_loss(y, p, labels=[0, 1, 2]), rel=1e-5)
    assert told.predicted is None
    assert performance.columns("multiclass", names) == tuple(columns)

    y, p = draw("regression", 200, 0, seed=2)
    values, predicted = pa.chunked_array([y.astype(float)]), pa.table({"prediction": p})
    told = performance.realised("regression", "rmse", (), values, predicted, rows=200)
    assert told.metric.value == pytest.approx(root_mean_squared_error(y.astype(float), p))
    assert told.scores["r2"] == pytest.approx(r2_score(y.astype(float), p))


@given(st.dates(date(1960, 1, 1), date(2040, 1, 1)), st.integers(1, 400))
def test_windows_part_the_calendar(day: date, days: int) -> None:
    first, last = performance.window(day, days)
    assert first <= day <= last
    assert (last - first).days == days - 1
    assert performance.window(first, days) == performance.window(last, days) == (first, last)
    assert performance.window(last + timedelta(days=1), days)[0] == last + timedelta(days=1)
    assert days != 7 or first.weekday() == 0


@pytest.mark.parametrize("rows", [400, 30_000])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(rows: int) -> None:
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = (rng.random(rows) < 0.4).astype(np.float64)
        p = np.where(rng.random(rows) < 0.75, y, 1 - y) * 0.8 + 0.1
        lower, upper = metrics.interval("binary", "accuracy", y, p)
        held += lower <= 0.75 <= upper
    assert held >= 33


def test_an_interval_shrinks_with_the_rows_that_it_does_not_draw() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=80_000)
    p = y + rng.normal(size=80_000)
    widths = []
    for rows in (20_000, 80_000):
        lower, upper = metrics.interval("regression", "mae", y[:rows], p[:rows])
        widths.append(upper - lower)
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.25)
    assert np.isnan(metrics.interval("regression", "mae", y[:0], p[:0])).all()
