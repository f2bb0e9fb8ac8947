"""What is said and decided before the first trial of a search."""

from __future__ import annotations

import re

import pytest

from tests.tasks_.test_refit import parted, table
from treadle.tasks import preparation
from treadle.tasks.config.spec import PipelineConfig


def forecast(rows: int, *, trials: int = 40, budget: float = 60) -> str:
    problem, _ = parted("binary", "random", table("binary", 400, seed=1))
    raw = {"name": "shop", "data": {"source": "*.csv", "target": "y", "task": "binary"}}
    config = PipelineConfig.model_validate({**raw, "tune": {"trials": trials, "budget_seconds": budget}})
    return preparation.forecast(config, problem, rows)


def test_a_search_that_ends_before_its_budget_says_when() -> None:
    said = forecast(400, trials=2, budget=300.0)
    assert said.startswith("forecast: about 2 of 2 trials of ")
    found = re.search(r"with the fits about (\d+) s of at most 300 s$", said)
    assert found
    assert int(found[1]) < 30


@pytest.mark.parametrize("rows", [100_000, 3_000_000])
def test_a_search_that_its_budget_ends_says_how_many_trials_it_allows(rows: int) -> None:
    said = forecast(rows, trials=500, budget=60.0)
    found = re.match(
        r"forecast: about (\d+) of 500 trials of ([\d.]+) s each and the fits, in the budget of 60 s$", said
    )
    assert found
    made, each = int(found[1]), float(found[2])
    assert made == 1 or made * each <= 60


def test_more_rows_mean_fewer_trials() -> None:
    few, many = (int(forecast(rows, trials=500, budget=60.0).split()[2]) for rows in (10_000, 50_000))
    assert few > many
