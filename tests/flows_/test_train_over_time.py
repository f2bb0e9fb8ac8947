"""A dated table of customers that come again: gap, maturity and known entities, in a run of `treadle train`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import inbox, project
from treadle.flows import train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.train.opponent import fitted_by
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from treadle.flows.train import TrainResult
    from treadle.infra.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_server")


CONFIG = """
name = "clinic"
[data]
source = ["../clinic.csv", "data/inbox/clinic/*.csv"]
target = "y"
task = "binary"
key = ["visit"]
time = "when"
[labels]
mature_after = "20d"
[split]
strategy = "time"
group = "customer"
gap = "5d"
holdout = 0.3
"""


def visits(days: int, until: datetime, first: int = 0) -> pd.DataFrame:
    """Ten visits a day; a tenth of the customers of each day are new and come back for a month."""
    draw = np.random.default_rng(days)
    day = np.repeat(np.arange(days), 10)
    customer = np.maximum(0, day - draw.integers(0, 30, len(day))) * 5 + draw.integers(0, 5, len(day)) + 5 * first
    x = draw.normal(size=len(day))
    when = [until - timedelta(days=int(days - 1 - one)) for one in day]
    bought = np.where(draw.random(len(day)) < 1 / (1 + np.exp(-2 * x)), "yes", "no")
    visit = np.arange(len(day)) + 10 * first
    return pd.DataFrame(
        {"visit": visit, "when": when, "customer": [f"c{one}" for one in customer], "x": x, "y": bought}
    )


def test_known_customers_young_rows_and_the_gap_stay_out_of_the_verdict_and_are_said(
    home: Path, server_home: Settings
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    table = visits(300, now)
    settings, _ = project(home, table, "y")
    file = home / "pipelines" / "clinic.toml"
    file.write_text(CONFIG)
    config = load_config(file)
    first = train.run_train(settings, config, trials=1, budget=60)
    check(first, young=200)
    facts = bundle.read_facts(open_workplace(str(home), "clinic").stores.bundle_folder(1))
    assert (facts.mature_after, facts.split) == ("20d", config.split)
    fitted = fitted_by(open_workplace(str(home), "clinic"), 1, "judged")
    assert not isinstance(fitted, str)
    assert max(fitted.rows["when"].to_pylist()) <= facts.judged_from - timedelta(days=5)
    served = fitted_by(open_workplace(str(home), "clinic"), 1, "serving")
    assert not isinstance(served, str)
    assert facts.trained_until == max(served.rows["when"].to_pylist()) == now - timedelta(days=20)
    page = Path(first.report).read_text()
    assert "200 rows younger than mature_after" in page
    assert "of a new &#39;customer&#39;" in page or "of a new 'customer'" in page
    visits(100, now, first=300).to_csv(inbox(home) / "more.csv", index=False)
    second = train.run_train(settings, config, trials=1, budget=60)
    check(second, young=400)
    assert (second.against is not None) == first.promoted


def check(result: TrainResult, *, young: int) -> None:
    assert (result.left_out.young, result.left_out.versions, result.left_out.orphans) == (young, 0, 0)
    assert result.left_out.gap > 50
    assert f"{young} rows younger than mature_after" in result.left_out.sentence()
    (said,) = [reason for reason in result.reasons if "of a new 'customer'" in reason]
    found = re.fullmatch(
        r"the verdict is on ([\d,]+) holdout rows of a new 'customer'; not in it are ([\d,]+) rows of one that "
        r"training knows \(roc_auc on [\d,]+ of them: (not defined|challenger 0\.\d+(, champion 0\.\d+)?)\)",
        said,
    )
    assert found is not None, said
    assert int(found[1]) == result.judged_rows
    assert int(found[2]) > 0
