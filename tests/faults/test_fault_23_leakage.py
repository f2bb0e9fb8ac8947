"""FAULTS 23: a column, or two columns together, that give the label away refuse the model, by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import project
from treadle.flows import train
from treadle.flows.champion import history
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.train import TrainResult

pytestmark = pytest.mark.usefixtures("prefect_server")


def patients() -> pd.DataFrame:
    """600 rows with some honest signal."""
    draw = np.random.default_rng(0)
    age, dose = draw.normal(50, 10, 600).round(1), draw.normal(5, 2, 600).round(2)
    sick = age / 10 + dose + draw.normal(0, 2, 600) > 10
    return pd.DataFrame({"Patient": [f"P{n}" for n in range(600)], "Age": age, "Dose": dose, "Sick": sick})


def trained(home: Path, table: pd.DataFrame) -> TrainResult:
    settings, _ = project(home, table, "Sick", quick=True)
    file = home / "pipelines" / "clinic.toml"
    # `init` has seen the copy and dropped it: somebody lets it in again
    file.write_text(re.sub(r"drop = \[.*?\n\]", 'drop = ["Patient"]', file.read_text(), flags=re.DOTALL))
    config = load_config(file)
    assert config.data.drop == ("Patient",)
    result = train.run_train(settings, config, trials=1, budget=60)
    assert (result.decision, result.promoted, result.exit_code()) == ("REFUSED", False, 4)
    assert history.run_models(settings, config).champion is None
    return result


def test_a_column_that_copies_the_target_refuses_the_model(home: Path) -> None:
    table = patients()
    noise = np.random.default_rng(1).normal(0, 0.01, 600)
    result = trained(home, table.assign(Refund=table["Sick"] * 10 + noise))
    assert "leak: column 'Refund' alone gives the target" in result.headline
    assert "data.drop" in result.headline


def test_two_columns_that_give_the_target_together_refuse_the_model(home: Path) -> None:
    table = patients()
    coin = np.random.default_rng(2).integers(0, 2, 600)
    result = trained(home, table.assign(Ward=coin, Bed=coin ^ table["Sick"].astype(int)))
    assert "together give the target" in result.headline
    assert all(name in result.headline for name in ("'Ward'", "'Bed'"))
