"""FAULTS 22: a single class refuses training; a label that cannot be parsed sends its row to quarantine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import ingest, train
from treadle.flows.champion import history
from treadle.infra import stores
from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_single_class_is_refused_before_any_trial(home: Path) -> None:
    settings, config = project(home, tumours()[:200], "Malignant")
    (home.parent / "clinic.csv").unlink()
    only = tumours()
    only[only["Malignant"] == "no"].to_csv(inbox(home) / "only.csv", index=False)
    with pytest.raises(TargetError, match="target 'Malignant' has a single class, 'no'") as caught:
        train.run_train(settings, config, trials=1)
    assert caught.value.exit_code == 2
    assert not history.run_models(settings, config).versions


def test_a_label_that_cannot_be_parsed_is_quarantined_with_its_row(home: Path) -> None:
    table = tumours().drop(columns="Malignant")[:300]
    settings, config = project(home, table, "mean area")
    sent = table.copy()
    sent["Tumour ID"] = [f"N{number:04d}" for number in range(300)]
    sent["mean area"] = sent["mean area"].astype(object)
    sent.loc[[3, 7], "mean area"] = ["about 900", "1,001"]
    sent.to_csv(inbox(home) / "sent.csv", index=False)
    done = ingest.run_ingest(settings, config, [inbox(home)])
    assert (done.rows_in, done.accepted, done.quarantined, done.exit_code()) == (300, 298, 2, 0)
    with duckdb.connect() as con:
        relation = stores.open(settings, "clinic").tables.relation("quarantine")
        rows = con.sql(f"SELECT columns, values, row FROM {relation} ORDER BY _ordinal").fetchall()
    assert [columns for columns, _, _ in rows] == [["mean area"], ["mean area"]]
    assert [values for _, values, _ in rows] == [["about 900"], ["1,001"]]
    assert json.loads(rows[0][2])["mean area"] == "about 900"
