"""Rows in time order that nothing dates: trained, and trained again when more of them have come."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import inbox, project
from treadle.flows import ingest, train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.train.opponent import fitted_by
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config
from treadle.tasks.dataset.arrival import arrivals

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_server")

CONFIG = """
name = "line"
[data]
source = ["../line.csv", "data/inbox/line/*.csv"]
target = "faulty"
task = "binary"
order = "file"
[split]
strategy = "time"
"""


def pieces(rows: int, first: int) -> pd.DataFrame:
    draw = np.random.default_rng(first)
    x = draw.normal(size=rows)
    faulty = draw.random(rows) < 1 / (1 + np.exp(-2 * x))
    return pd.DataFrame({"piece": np.arange(first, first + rows), "x": x, "faulty": np.where(faulty, "yes", "no")})


def test_the_newest_arrivals_judge_and_a_second_model_meets_the_first_on_newer_ones(
    home: Path, server_home: Settings
) -> None:
    settings, _ = project(home, pieces(600, 0), "faulty", name="line")
    file = home / "pipelines" / "line.toml"
    file.write_text(CONFIG)
    config = load_config(file)
    first = train.run_train(settings, config, trials=1, budget=60)
    assert (first.decision, first.judged_rows) == ("PROMOTE", 120)
    place = open_workplace(str(home), "line")
    facts = bundle.read_facts(place.stores.bundle_folder(1))
    judged, served = fitted_by(place, 1, "judged"), fitted_by(place, 1, "serving")
    assert not isinstance(judged, str)
    assert not isinstance(served, str)
    assert judged.rows["piece"].to_pylist() == list(range(480))
    assert served.rows["piece"].to_pylist() == list(range(600))
    assert isinstance(facts.trained_until, datetime)
    assert isinstance(facts.judged_from, datetime)
    assert facts.judged_from < facts.trained_until
    # two files of one run: the names say which came first
    pieces(65, 665).to_csv(inbox(home, "line") / "b.csv", index=False)
    pieces(65, 600).to_csv(inbox(home, "line") / "a.csv", index=False)
    ingest.run_ingest(settings, config)
    second = train.run_train(settings, config, trials=1, budget=60)
    assert second.against == 1
    # the cut moves from a fifth of all rows (146) to where version 1's end
    assert second.judged_rows == 130
    assert any("version 1's serving booster" in reason for reason in second.reasons), second.reasons
    later = fitted_by(open_workplace(str(home), "line"), 2, "judged")
    assert not isinstance(later, str)
    assert later.rows["piece"].to_pylist() == list(range(600))
    assert (np.diff(arrivals(later.rows)) > 0).all()
