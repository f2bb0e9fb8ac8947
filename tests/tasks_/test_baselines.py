from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from treadle.tasks import baselines
from treadle.tasks.booster import MatrixRows

KINDS = {"a": "number", "b": "number", "shop": "code", "zip": "code"}


def rows(count: int = 2_000) -> np.ndarray:
    draw = np.random.default_rng(0)
    X = np.column_stack(
        [
            draw.normal(1e4, 10, count),
            draw.normal(size=count),
            draw.integers(-1, 5, count),
            draw.integers(0, 900, count),
        ]
    ).astype(np.float32)
    X[::7, 1] = np.nan
    X[::11, 2] = np.nan
    return X


def signal(X: np.ndarray) -> np.ndarray:
    return (X[:, 0] - 1e4) / 10 + np.nan_to_num(X[:, 1]) + 2 * (X[:, 2] == 3)


def test_a_line_is_found_through_gaps_offsets_and_codes() -> None:
    X = rows()
    y = signal(X).astype(np.float32)
    p = baselines.linear("regression", MatrixRows(X[:1500], y[:1500]), X[1500:], kinds=KINDS, classes=0, seed=0)
    assert r2_score(y[1500:], p) > 0.95


def test_a_border_is_found_between_classes() -> None:
    X = rows()
    y = (signal(X) > 0).astype(np.float32)
    p = baselines.linear("binary", MatrixRows(X[:1500], y[:1500]), X[1500:], kinds=KINDS, classes=2, seed=0)
    assert roc_auc_score(y[1500:], p) > 0.97


def test_a_class_that_training_lacks_has_no_chance() -> None:
    X = rows()
    y = np.where(signal(X) > 0, 2, 0).astype(np.float32)
    p = baselines.linear("multiclass", MatrixRows(X, y), X[:5], kinds=KINDS, classes=3, seed=0)
    assert p[:, 1].tolist() == [0] * 5
    assert p.sum(axis=1) == pytest.approx(np.ones(5))


def test_the_dummy_answers_with_shares_and_means() -> None:
    assert baselines.dummy("binary", np.array([0, 1, 1, 1], dtype=np.float32), 2, classes=2).tolist() == [0.75, 0.75]
    shares = baselines.dummy("multiclass", np.array([0, 2], dtype=np.float32), 1, classes=3)
    assert shares.tolist() == [[0.5, 0.0, 0.5]]
    assert baselines.dummy("regression", np.array([1, 4], dtype=np.float32), 1, classes=0).tolist() == [2.5]


def test_many_rows_are_sampled_and_many_levels_left_out() -> None:
    draw = np.random.default_rng(1)
    X = draw.normal(size=(120_000, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.float32)
    p = baselines.linear(
        "binary", MatrixRows(X, y), X[:1000], kinds={"a": "number", "b": "number", "c": "code"}, classes=2, seed=0
    )
    assert roc_auc_score(y[:1000], p) > 0.99


@pytest.mark.parametrize(
    ("metric", "model", "line", "chance", "as_good"),
    [
        ("roc_auc", 0.9, 0.95, 0.5, True),
        ("roc_auc", 0.9, 0.895, 0.5, True),
        ("roc_auc", 0.9, 0.88, 0.5, False),
        ("rmse", 2.0, 2.01, 5.0, True),
        ("rmse", 2.0, 3.0, 5.0, False),
        ("rmse", 6.0, 6.0, 5.0, True),
        ("rmse", 2.0, float("nan"), 5.0, False),
    ],
)
def test_a_line_is_as_good_within_a_fiftieth_of_the_way_from_the_dummy(
    metric: str, model: float, line: float, chance: float, as_good: bool
) -> None:
    assert baselines.as_good(metric, model, line, chance) is as_good
