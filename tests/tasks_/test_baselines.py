from __future__ import annotations

import numpy as np
import pytest

from treadle.tasks import baselines


def test_the_dummy_answers_with_shares_and_means() -> None:
    assert baselines.dummy("binary", np.array([0, 1, 1, 1], dtype=np.float32), 2, classes=2).tolist() == [0.75, 0.75]
    shares = baselines.dummy("multiclass", np.array([0, 2], dtype=np.float32), 1, classes=3)
    assert shares.tolist() == [[0.5, 0.0, 0.5]]
    assert baselines.dummy("regression", np.array([1, 4], dtype=np.float32), 1, classes=0).tolist() == [2.5]


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
