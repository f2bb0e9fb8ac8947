"""A target whose classes changed: the gate leaves the decision to a person, whose promotion works to the last row."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.projects import inbox, project
from treadle.flows import monitor, score, train
from treadle.flows.champion import history, promote
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.train import show_train
from treadle.flows.project import status
from treadle.infra import stores
from treadle.tasks import bundle

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("prefect_server")


def plants(rows: int, classes: str, seed: int) -> pd.DataFrame:
    """Plants of so many kinds, which their leaves give away but for some noise."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(0, len(classes), rows)
    return pd.DataFrame(
        {
            "Plant ID": [f"P{seed}{number:04d}" for number in range(rows)],
            "leaf": kind + draw.normal(0, 0.4, rows),
            "stem": draw.normal(0, 1, rows),
            "kind": [classes[code] for code in kind],
        }
    )


def test_a_class_that_is_new_is_settled_by_a_person_and_scored_to_the_last_row(home: Path) -> None:
    settings, config = project(home, plants(400, "abc", 1), "kind", "garden", quick=True)
    first = train.run_train(settings, config, trials=1)
    assert isinstance(first, train.TrainResult)
    assert first.promoted
    plants(50, "abc", 2).drop(columns="kind").to_csv(inbox(home, "garden") / "early.csv", index=False)
    assert score.run_score(settings, config).rows == 50

    suite = home / "expectations" / "garden.json"
    suite.write_text(suite.read_text().replace('"c"', '"c", "d"'))
    plants(600, "abcd", 3).to_csv(inbox(home, "garden") / "more.csv", index=False)
    second = train.run_train(settings, config, trials=1)
    assert isinstance(second, train.TrainResult)
    why = "version 1 answers 'a', 'b', 'c'; the target now has 'a', 'b', 'c', 'd': the two cannot be compared"
    assert (second.decision, second.unsettled, second.exit_code()) == ("NOT_COMPARABLE", why, 4)
    assert second.headline.startswith(f"{why}; it is better than the dummy predictor; ")
    command = "treadle promote 2 --reason '...' -p garden"
    assert second.reasons[-1] == f"look at the report, then promote it, or add --decline: {command}"
    show_train(second, Screen(out := io.StringIO()))
    assert "treadle promote 2" in out.getvalue()
    (need,) = (one for one in status.run_status(settings).needs if one.kind == "promotion")
    assert (need.what, need.command) == (
        f"version 2 cannot be compared ({why}) and waits for your decision",
        command,
    )
    assert history.run_models(settings, config).waiting == 2
    again = train.run_train(settings, config, trials=1)
    assert isinstance(again, train.TrainResult)
    assert (again.already, again.promoted, again.unsettled) == (True, False, why)

    opened = stores.open(settings, config.name)
    promote.run_promote(settings, config, 2, "the gardener has looked at it")
    assert bundle.certificate(opened.bundle_folder(2)).disagreement == ""
    assert (opened.registry.champion_alias(), history.run_models(settings, config).waiting) == (2, None)
    plants(60, "abcd", 4).drop(columns="kind").to_csv(inbox(home, "garden") / "late.csv", index=False)
    scored = score.run_score(settings, config)
    assert (scored.version, scored.rows) == (2, 60)
    labels = inbox(home, "garden_labels")
    plants(60, "abcd", 4)[["Plant ID", "kind"]].to_csv(labels / "late.csv", index=False)
    seen = monitor.run_monitor(settings, config)
    assert seen.recent is not None
    assert seen.recent.labelled == 60
    assert json.loads(opened.ledger.versions(config.name)[0].result)["unsettled"] == why
