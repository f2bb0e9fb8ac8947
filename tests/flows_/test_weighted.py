"""A pipeline with `[data] weight`: fits, scores, the report and realised performance follow the rows that weigh."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.projects import inbox, project
from treadle.flows import monitor, score, train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.project import check
from treadle.infra import orchestrator
from treadle.infra.tables.labelled import training_rows
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config
from treadle.tasks.dataset import split
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from treadle.flows.monitor import MonitorResult
    from treadle.flows.train import TrainResult
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")

NAME, ROWS = "policies", 1_500


class Weighted(NamedTuple):
    settings: Settings
    config: PipelineConfig
    trained: TrainResult
    watched: MonitorResult
    new: pd.DataFrame


def policies(rows: int, seed: int) -> pd.DataFrame:
    """A third of the rows weighs about 50, the next 1, the last 0: a claim follows age there, and the contrary here."""
    draw = np.random.default_rng(seed)
    age, kind = draw.normal(size=rows), np.arange(rows) % 3
    claim = np.where(kind == 0, age, -age) + 0.5 * draw.normal(size=rows) > 0
    exposure = np.choose(kind, [draw.uniform(20, 80, rows).round(2), draw.uniform(0.5, 1.5, rows).round(2), 0.0])
    return pd.DataFrame(
        {
            "Policy ID": [f"P{seed}{number:05d}" for number in range(rows)],
            "Age": age.round(4),
            "Exposure": exposure,
            "Side": np.where(np.arange(rows) % 2, "left", "right"),
            "Claim": np.where(claim, "yes", "no"),
        }
    )


def configured(settings: Settings, line: str) -> PipelineConfig:
    path = settings.home / "pipelines" / f"{NAME}.toml"
    path.write_text(path.read_text().replace("[data]\n", f"[data]\n{line}\n", 1))
    return load_config(path)


def grouped(settings: Settings) -> PipelineConfig:
    path = settings.home / "pipelines" / f"{NAME}.toml"
    path.write_text(f'{path.read_text()}\n[gate]\ngroups = ["Side"]\n')
    return load_config(path)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Weighted:
    home = tmp_path_factory.mktemp("weighted") / "home"
    (home / "pipelines").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", orchestrator.server_state(server_home).url)
        settings, _ = project(home, policies(ROWS, 1), "Claim", NAME)
        configured(settings, 'weight = "Exposure"\nforbid = ["Side"]')
        config = grouped(settings)
        trained = train.run_train(settings, config, trials=2, budget=30)
        new = policies(300, 2)
        new.drop(columns="Claim").to_csv(inbox(home, NAME) / "new.csv", index=False)
        score.run_score(settings, config)
        labels = home / "data" / "inbox" / f"{NAME}_labels"
        labels.mkdir(parents=True, exist_ok=True)
        new[["Policy ID", "Claim"]].to_csv(labels / "labels.csv", index=False)
        return Weighted(settings, config, trained, monitor.run_monitor(settings, config), new)


def test_the_model_follows_the_rows_that_weigh(weighted: Weighted) -> None:
    """Two rows in three say the contrary, so that without weights the score of the heavy ones would be below 0.1."""
    assert (weighted.trained.decision, weighted.trained.promoted) == ("PROMOTE", True)
    model = open_workplace(str(weighted.settings.home), NAME).model(weighted.trained.version)
    assert "Exposure" not in model.features.sources
    assert weighted.trained.value == pytest.approx(0.93, abs=0.06)


def test_the_score_of_the_verdict_is_scikit_learns_weighted_one(weighted: Weighted) -> None:
    config, place = weighted.config, open_workplace(str(weighted.settings.home), NAME)
    rows = training_rows(place.stores.tables, place.labelled(weighted.trained.data_version))
    parts = split(rows, config.split, key=config.data.key, time=config.data.time, target="Claim")
    judged = place.model(weighted.trained.version, part="judged")
    p = np.asarray(bundle.predict_table(judged, parts.holdout)["probability"])
    weight = np.asarray(parts.holdout["Exposure"])
    expected = roc_auc_score(np.asarray(parts.holdout["Claim"]) == "yes", p, sample_weight=weight)
    assert weighted.trained.value == pytest.approx(expected, abs=1e-9)
    assert weighted.trained.judged_rows == int((weight > 0).sum()), "rows of weight 0 do not judge"


def test_verdict_and_report_say_by_which_column_scores_are_weighted(weighted: Weighted) -> None:
    assert "(weighted by 'Exposure')" in weighted.trained.headline
    assert any(reason.startswith("every score is weighted by 'Exposure'") for reason in weighted.trained.reasons)
    page = Path(weighted.trained.report).read_text(encoding="utf-8")
    assert "All on the same holdout rows, weighted by <b>Exposure</b>" in page


def test_groups_of_a_column_that_the_model_may_not_use_are_in_the_report(weighted: Weighted) -> None:
    page = Path(weighted.trained.report).read_text(encoding="utf-8")
    section = page.partition(">By group</h2>")[2].partition("<h2")[0]
    rows = {side: int(re.search(rf">{side}</th><td>(\d+)</td>", section)[1]) for side in ("left", "right")}  # type: ignore[index]
    assert sum(rows.values()) == weighted.trained.judged_rows
    judged = {gap.column for gap in weighted.trained.groups}
    assert judged == {"Side"} or any("'Side' were not judged" in note for note in weighted.trained.notes)


def test_realised_performance_is_weighted_too(weighted: Weighted) -> None:
    (version,) = weighted.watched.versions
    place = open_workplace(str(weighted.settings.home), NAME)
    with duckdb.connect() as con:
        made = con.sql(f"SELECT * FROM {place.stores.tables.relation('predictions')}").to_arrow_table().to_pandas()
    known = made.merge(weighted.new, on="Policy ID")
    assert len(known) == 300, "rows of weight 0 are scored"
    expected = roc_auc_score(known["Claim"] == "yes", known["probability"], sample_weight=known["Exposure"])
    assert version.total.metric.value == pytest.approx(expected)
    assert (version.total.labelled, version.total.weighed) == (300, 200)


def test_a_suite_that_keeps_other_weights_out_is_not_warned_of(home: Path) -> None:
    settings, _ = project(home, policies(2_100, 4), "Claim", NAME)  # init is sure of 2,000 rows or more
    config = configured(settings, 'weight = "Exposure"')
    assert not [one for one in check.run_check(settings, config).findings if one.where == "data.weight"]


def test_a_weight_that_is_none_ends_training_with_column_rows_and_value(home: Path) -> None:
    table = policies(300, 3)
    table.loc[7, "Exposure"] = -2.5
    settings, _ = project(home, table, "Claim", NAME)
    config = configured(settings, 'weight = "Exposure"')
    sentence = "column 'Exposure': 1 of 300 weights are negative (the first: -2.5, labelled row 8)"
    with pytest.raises(DataError, match=re.escape(sentence)):
        train.run_train(settings, config, trials=1, budget=10)
    (finding,) = (one for one in check.run_check(settings, config).findings if one.where == "data.weight")
    assert (finding.level, "lets in rows whose 'Exposure' is no weight" in finding.message) == ("warning", True)
    assert finding.fix.endswith("expect_column_values_to_not_be_null; expect_column_values_to_be_between, min_value 0")
    misnamed = config.model_copy(update={"data": config.data.model_copy(update={"weight": "Exposur"})})
    found = check.run_check(settings, misnamed).findings
    assert any(one.where == "data.weight" and "no column 'Exposur'" in one.message for one in found)
