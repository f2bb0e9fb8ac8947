from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import metrics
from treadle.tasks.performance import MetricBounds
from treadle.tasks.sequential import ExpectedLoss
from treadle.tasks.watched import expected_loss, is_mean, loss_name, watched_losses, watched_sums

ANY = ExpectedLoss(0.3, 0.01)
METRICS = [(task, metric) for task, names in metrics.METRICS.items() for metric in names] + [
    ("regression", "pinball_0.9")
]


def judged(task: str, rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    if task == "regression":
        p = draw.normal(3, 1, rows)
        return p + draw.normal(0, 0.5, rows), p
    if task == "binary":
        p = draw.random(rows)
        return (draw.random(rows) < p).astype(float), p
    p = draw.dirichlet([1, 1, 1], rows)
    return np.array([draw.choice(3, p=one) for one in p], dtype=float), p


@pytest.mark.parametrize(("task", "metric"), METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_the_losses_is_that_of_the_metric(task: str, metric: str, weighted: bool) -> None:
    y, p = judged(task)
    weight = np.random.default_rng(1).integers(1, 5, len(y)).astype(float) if weighted else None
    losses = watched_losses(metric, y, p, ANY, weight=weight)
    assert losses is not None
    value = metrics.metric_value(task, metric, y, p, weight)
    expected = 1 - value if metrics.greater_is_better(metric) else value**2 if metric == "rmse" else value
    assert np.average(losses, weights=weight) == pytest.approx(expected)
    assert not is_mean(metric) or losses.min() >= 0


CASES = [
    # metric, value, interval, mean loss, standard error of its logarithm
    ("log_loss", (0.5, 0.45, 0.55), 0.5, math.log(0.55 / 0.5) / 1.96),
    ("roc_auc", (0.8, 0.75, 0.84), 0.2, math.log(0.25 / 0.2) / 1.96),
    ("accuracy", (0.9, 0.88, 0.92), 0.1, math.log(0.12 / 0.1) / 1.96),
    ("roc_auc", (0.996, 0.99, 0.999), 0.004, math.log(0.01 / 0.004) / 1.96),
    ("rmse", (2.0, 1.8, 2.2), 4.0, math.log(2.2**2 / 4) / 1.96),
]


@pytest.mark.parametrize(("metric", "bounds", "loss", "error"), CASES)
def test_the_expected_loss_and_its_error_are_those_of_the_holdouts_interval(
    metric: str, bounds: tuple[float, float, float], loss: float, error: float
) -> None:
    value, lower, upper = bounds
    found = expected_loss(metric, MetricBounds(value=value, lower=lower, upper=upper), 1000)
    assert found is not None
    assert (found.value, found.error / found.value) == (pytest.approx(loss), pytest.approx(error))
    assert math.isinf(found.largest) == (metric != "rmse")


def test_a_holdout_without_an_error_counts_as_one_with_one_error() -> None:
    found = expected_loss("accuracy", MetricBounds(value=1.0, lower=1.0, upper=1.0), 500)
    assert found is not None
    assert (found.value, found.error) == (1 / 500, 1 / 500)


@pytest.mark.parametrize("bounds", [None, MetricBounds(value=0.5, lower=None, upper=None)])
def test_without_an_interval_no_loss_is_expected(bounds: MetricBounds | None) -> None:
    assert expected_loss("log_loss", bounds, 500) is None


def test_an_error_of_a_regression_is_clipped_far_outside_what_the_holdout_had() -> None:
    expected = expected_loss("mae", MetricBounds(value=1.0, lower=0.95, upper=1.05), 1000)
    assert expected is not None
    losses = watched_losses("mae", np.array([0.0, 5.0, 1e12]), np.zeros(3), expected)
    assert losses is not None
    assert losses.tolist() == [0.0, 5.0, expected.largest]
    assert 5 < expected.largest < 20


def test_predictions_are_summed_by_window_and_part_of_it() -> None:
    monday = datetime(2024, 3, 4)
    table = pa.table(
        {
            "_label": pa.chunked_array([["yes", "no", "yes", "no", "maybe"]]),
            "probability": [0.9, 0.2, 0.4, 0.1, 0.5],
            "_moment": [monday + timedelta(days=days, hours=3) for days in (0, 0, 6, 7, 8)],
            "_weight": [1.0, 1.0, 1.0, 1.0, 1.0],
            "_group": ["a", "a", "b", None, "b"],
        }
    )

    def summed(rows: pa.Table, **more: bool) -> object:
        options = {"dated": False, "grouped": True, "weighted": True} | more
        return watched_sums("binary", "brier", ("no", "yes"), rows, ANY, window_days=7, **options)  # type: ignore[arg-type]

    found = summed(table)
    assert found.window.tolist() == [0, 0, 1]  # type: ignore[attr-defined]
    assert found.count.tolist() == [2, 1, 1]  # type: ignore[attr-defined]
    assert found.total.tolist() == pytest.approx([0.01 + 0.04 - 0.6, 0.36 - 0.3, 0.01 - 0.3])  # type: ignore[attr-defined]
    assert summed(table.filter(pa.array([False, False, False, False, True]))) is None


@pytest.mark.parametrize(
    ("metric", "name"), [("log_loss", "log_loss"), ("roc_auc", "1 - roc_auc"), ("rmse", "squared error")]
)
def test_a_loss_says_what_it_is(metric: str, name: str) -> None:
    assert loss_name(metric) == name
