from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from treadle.tasks import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCES: dict[tuple[str, str], Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    ("binary", "roc_auc"): lambda y, p, w: reference.roc_auc_score(y, p, sample_weight=w),
    ("binary", "average_precision"): lambda y, p, w: reference.average_precision_score(y, p, sample_weight=w),
    ("binary", "log_loss"): lambda y, p, w: reference.log_loss(y, p, sample_weight=w),
    ("binary", "brier"): lambda y, p, w: reference.brier_score_loss(y, p, sample_weight=w),
    ("binary", "accuracy"): lambda y, p, w: reference.accuracy_score(y, p >= 0.5, sample_weight=w),
    ("binary", "f1"): lambda y, p, w: reference.f1_score(y, p >= 0.5, sample_weight=w),
    ("multiclass", "log_loss"): lambda y, p, w: reference.log_loss(y, p, sample_weight=w, labels=range(4)),
    ("multiclass", "accuracy"): lambda y, p, w: reference.accuracy_score(y, p.argmax(1), sample_weight=w),
    ("multiclass", "balanced_accuracy"): lambda y, p, w: reference.balanced_accuracy_score(
        y, p.argmax(1), sample_weight=w
    ),
    ("multiclass", "f1_macro"): lambda y, p, w: reference.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
    ("regression", "rmse"): lambda y, p, w: reference.root_mean_squared_error(y, p, sample_weight=w),
    ("regression", "mae"): lambda y, p, w: reference.mean_absolute_error(y, p, sample_weight=w),
    ("regression", "r2"): lambda y, p, w: reference.r2_score(y, p, sample_weight=w),
}


def world(task: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    if task == "regression":
        y = draw.normal(1e6, 10, rows)
        return y, y + draw.normal(0, 5, rows)
    if task == "multiclass":
        return draw.integers(0, 4, rows).astype(np.float32), draw.dirichlet(np.ones(4), rows)
    y = (np.arange(rows) % 3 == 0).astype(np.float32)
    # two decimals: ties between and within the classes
    return y, np.round(np.clip(draw.normal(0.4 + 0.2 * y, 0.2), 0.01, 0.99), 2)


def test_every_metric_has_a_reference_and_each_task_a_default_first() -> None:
    assert set(REFERENCES) == {(task, name) for task, names in metrics.METRICS.items() for name in names}
    assert [metrics.default_metric(task) for task in metrics.METRICS] == ["roc_auc", "log_loss", "rmse"]


@pytest.mark.parametrize(("task", "metric"), REFERENCES)
def test_scores_equal_scikit_learns_with_weights_and_ties(task: str, metric: str) -> None:
    y, p = world(task, 500, 1)
    weight = np.random.default_rng(2).integers(0, 4, 500).astype(np.float64)
    expected = REFERENCES[task, metric](y, p, weight)
    assert metrics.metric_value(task, metric, y, p, weight) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("task", "metric"), REFERENCES)
def test_a_resample_is_the_same_as_scoring_the_drawn_rows(task: str, metric: str) -> None:
    y, p = world(task, 200, 3)
    _, q = world(task, 200, 4)
    q = p[::-1] if task == "regression" else q
    drawn = np.random.default_rng(5).integers(0, 200, (1, 200))[0]
    gain = metrics.bootstrap_gain(metric, task, y, p, q, resamples=1, seed=5)[0]
    scores = [metrics.metric_value(task, metric, y[drawn], who[drawn]) for who in (p, q)]
    assert gain == pytest.approx(metrics.gain(metric, *scores), abs=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(sorted(REFERENCES)))
@settings(max_examples=25, deadline=None)
def test_swapping_the_models_turns_every_gain_around(seed: int, which: tuple[str, str]) -> None:
    task, metric = which
    y, p = world(task, 60, seed)
    q = p[::-1]
    there = metrics.bootstrap_gain(metric, task, y, p, q, resamples=20, seed=seed)
    back = metrics.bootstrap_gain(metric, task, y, q, p, resamples=20, seed=seed)
    assert np.allclose(there, -back, equal_nan=True)


def test_the_better_model_gains_whichever_way_the_metric_runs() -> None:
    for task, names in metrics.METRICS.items():
        y, _ = world(task, 400, 6)
        perfect = np.eye(4)[y.astype(int)] if task == "multiclass" else y
        poor = np.full_like(perfect, 0.25) if task == "multiclass" else np.full(400, y.mean())
        for metric in names:
            gains = metrics.bootstrap_gain(metric, task, y, perfect, poor, resamples=50)
            assert np.nanmin(gains) > 0, metric


def test_what_is_not_defined_is_nan_and_left_out() -> None:
    y, p = np.zeros(50, dtype=np.float32), np.linspace(0, 1, 50)
    assert np.isnan(metrics.metric_value("binary", "roc_auc", y, p))
    assert set(metrics.scores("binary", y, p)) == {"log_loss", "brier", "accuracy"}
    assert np.isnan(metrics.bootstrap_gain("roc_auc", "binary", y, p, p, resamples=5)).all()


def test_certainty_that_was_wrong_costs_much_but_not_infinitely() -> None:
    assert metrics.metric_value("binary", "log_loss", np.array([1.0]), np.array([0.0])) == pytest.approx(
        16.118, abs=1e-3
    )


@pytest.mark.parametrize(
    ("metric", "rows", "sentence"),
    [("rmse", 5, "'rmse' does not fit task 'binary'"), ("roc_auc", 0, "0 predictions for 0 labels")],
)
def test_a_score_of_nothing_is_an_error(metric: str, rows: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        metrics.metric_value("binary", metric, np.ones(rows), np.ones(rows))


def test_the_bootstrap_of_sixty_thousand_rows_takes_seconds() -> None:
    y, p = world("binary", 60_000, 8)
    began = time.process_time()
    gains = metrics.bootstrap_gain("roc_auc", "binary", y, p, p[::-1], resamples=200)
    assert time.process_time() - began < 2.5
    assert gains.shape == (200,)
