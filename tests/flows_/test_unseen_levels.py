"""Levels that the champion does not know are counted by score, by one file's score and by monitor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import inbox, project
from treadle.flows import monitor, score, train

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("prefect_server")


def visits(rows: int, seed: int, new_shops: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    shop, x = draw.integers(0, 6, rows), draw.normal(size=rows)
    bought = draw.random(rows) < 1 / (1 + np.exp(-(2 * x + shop - 3)))
    names = np.array([f"shop {one}" for one in shop], dtype=object)
    names[:new_shops] = "opened later"
    return pd.DataFrame(
        {
            "Visit": [f"{seed}-{one}" for one in range(rows)],
            "Shop": names,
            "Minutes": x.round(3),
            "Bought": np.where(bought, "yes", "no"),
        }
    )


def test_score_and_monitor_count_unseen_levels_and_warn_where_they_are_many(home: Path) -> None:
    settings, config = project(home, visits(600, 1), "Bought", "shops", trees=True)
    suite = home / "expectations" / "shops.json"
    contract = json.loads(suite.read_text())
    listed = {"expect_column_values_to_be_in_set", "expect_column_value_lengths_to_be_between"}
    contract["expectations"] = [
        one for one in contract["expectations"] if not (one["kwargs"].get("column") == "Shop" and one["type"] in listed)
    ]
    suite.write_text(json.dumps(contract))
    trained = train.run_train(settings, config, trials=1, budget=20)
    assert trained.decision == "PROMOTE"

    asked, answer = home.parent / "asked.csv", home.parent / "answer.csv"
    visits(100, 2, new_shops=40).drop(columns="Bought").to_csv(asked, index=False)
    one = score.run_score(settings, config, input=asked, output=answer)
    assert [(each.column, each.rows, each.unseen) for each in one.unseen] == [("Shop", 100, 40)]
    assert one.unseen[0].reference == 0.0
    assert any("column 'Shop': 40 of 100 rows" in warning for warning in one.warnings)

    visits(200, 3, new_shops=4).drop(columns="Bought").to_csv(inbox(home, "shops") / "few.csv", index=False)
    few = score.run_score(settings, config)
    assert few.batches[-1].unseen == {"Shop": 4}
    assert [(each.column, each.rows, each.unseen) for each in few.unseen] == [("Shop", 200, 4)]
    assert few.warnings == (), "2% are few"

    seen = monitor.run_monitor(settings, config)
    assert [(each.column, each.rows, each.unseen, each.reference) for each in seen.unseen] == [("Shop", 200, 4, 0.0)]
    assert seen.warnings == ()
