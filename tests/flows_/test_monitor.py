"""Predictions, then their labels, then the question whether to train again: with every real component."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from tests.projects import inbox, project, tumours
from treadle.flows import ingest, monitor, score, train
from treadle.flows.champion import promote
from treadle.flows.project import status
from treadle.flows.train import NotDue
from treadle.infra import orchestrator, stores
from treadle.tasks.errors import NothingPromoted

if TYPE_CHECKING:
    from treadle.flows.monitor import MonitorResult
    from treadle.flows.train import TrainResult
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = pytest.mark.usefixtures("prefect_server")
KEY, TARGET = "Tumour ID", "Malignant"


class Watched(NamedTuple):
    settings: Settings
    config: PipelineConfig
    trained: TrainResult
    unscored: MonitorResult
    before: MonitorResult
    idle: TrainResult | NotDue
    after: MonitorResult


def labelled_by(home: Path, name: str, rows: pd.DataFrame) -> None:
    folder = home / "data" / "inbox" / "clinic_labels"
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / name, index=False)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Watched:
    """369 rows trained on, 200 scored; the labels of 160 come, and the first of them are wrong until corrected."""
    home = tmp_path_factory.mktemp("watched") / "home"
    (home / "pipelines").mkdir(parents=True)
    table = tumours()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", orchestrator.server_state(server_home).url)
        settings, config = project(home, table[:369], TARGET, quick=True)
        trained = train.run_train(settings, config, trials=1, budget=60)
        unscored = monitor.run_monitor(settings, config)
        new = table[369:].drop(columns=TARGET)
        new.iloc[:100].assign(**{"mean radius": np.nan}).to_csv(inbox(home) / "first.csv", index=False)
        new.iloc[100:].to_csv(inbox(home) / "second.csv", index=False)
        score.run_score(settings, config)
        before = monitor.run_monitor(settings, config)
        idle = train.run_train(settings, config, trials=1, budget=60, if_due=True)
        truth = table[369:529][[KEY, TARGET]]
        wrong = truth[:40].assign(**{TARGET: np.where(truth[TARGET][:40] == "yes", "no", "yes")})
        labelled_by(home, "1-wrong.csv", wrong)
        ingest.run_ingest(settings, config)
        labelled_by(home, "2-right.csv", pd.concat([truth, truth[:30]]).sample(frac=1, random_state=0))
        return Watched(settings, config, trained, unscored, before, idle, monitor.run_monitor(settings, config))


def test_before_anything_was_predicted_there_is_nothing_to_compare(watched: Watched) -> None:
    found = watched.unscored
    assert (found.versions, found.recent, found.rise, found.due) == ((), None, None, False)


def test_before_the_labels_come_everything_waits(watched: Watched) -> None:
    (champion,) = watched.before.versions
    assert (champion.version, champion.champion, champion.total.rows, champion.total.labelled) == (1, True, 200, 0)
    assert [one.realised.rows for one in champion.batches] == [100, 100]
    assert watched.before.recent is None
    assert not watched.before.due
    assert watched.before.exit_code() == 0


def test_status_tells_what_was_found_last(watched: Watched) -> None:
    (one,) = status.run_status(watched.settings).pipelines
    assert one.champion is not None
    assert watched.after.recent is not None
    assert (one.champion.realised, one.champion.labels) == (watched.after.recent.metric, watched.after.recent.labelled)
    assert one.champion.due == watched.after.reason
    assert one.champion.performance in [finding.sentence for finding in watched.after.findings]


def test_training_that_is_not_due_does_nothing_and_says_so(watched: Watched) -> None:
    assert isinstance(watched.idle, NotDue)
    assert (watched.idle.decision, watched.idle.against, watched.idle.exit_code()) == ("NOT_DUE", 1, 0)
    assert any("0 new labelled rows" in reason for reason in watched.idle.reasons)
    assert len(stores.open(watched.settings, "clinic").ledger.versions("clinic")) == 1


def test_realised_performance_is_that_of_the_newest_labels(watched: Watched) -> None:
    from mlflow import MlflowClient

    (champion,) = watched.after.versions
    assert (champion.total.rows, champion.total.labelled, champion.total.coverage) == (200, 160, 0.8)
    relation = stores.open(watched.settings, "clinic").tables.relation("predictions")
    with duckdb.connect() as con:
        made = con.sql(f"SELECT * FROM {relation}").to_arrow_table().to_pandas()
    known = made.merge(tumours()[369:529][[KEY, TARGET]], on=KEY)
    assert champion.total.metric.value == pytest.approx(roc_auc_score(known[TARGET] == "yes", known["probability"]))
    for metric, of_labels in (("accuracy", accuracy_score), ("f1", partial(f1_score, pos_label="yes"))):
        delivered = of_labels(known[TARGET], known["prediction"])
        assert champion.total.scores[metric] == pytest.approx(delivered), "labels are scored as they were delivered"
        run = MlflowClient(watched.settings.tracking).get_run(watched.after.run_id)
        assert run.data.metrics[f"realised_{metric}"] == pytest.approx(delivered)
    assert sum(one.realised.labelled for one in champion.windows) == 160
    assert {one.label: one.realised.labelled for one in champion.batches} == {"first.csv": 100, "second.csv": 60}


def test_what_the_threshold_means_stands_in_result_and_mlflow(watched: Watched) -> None:
    from mlflow import MlflowClient

    flag = watched.trained.flag
    assert flag is not None
    stored = MlflowClient(watched.settings.tracking).get_run(watched.trained.run_id).data.metrics
    assert stored["flag_precision"] == flag.precision.value
    assert stored["flag_accuracy"] == pytest.approx(stored["holdout_accuracy"])
    page = Path(watched.trained.report).read_text()
    assert "What the prediction &#39;yes&#39; means" in page
    assert f"{flag.precision.value:.1%}" in page


def test_columns_are_seen_beside_the_rows_that_the_champion_learned_from(watched: Watched) -> None:
    assert [batch.label for batch in watched.after.batches] == ["clinic.csv", "first.csv", "second.csv"]
    radius = [
        next(one.missing for one in batch.columns if one.column == "mean radius") for batch in watched.after.batches
    ]
    assert radius == [0.0, 1.0, 0.0]
    assert watched.after.freshness.newest_label is not None


def test_new_labels_make_retraining_due_with_the_champions_interval_kept(watched: Watched) -> None:
    assert watched.after.due
    assert "160 new labelled rows since version 1 was trained, 43.4% of the 369 before" in watched.after.reason
    expected = watched.after.expected
    assert expected is not None
    assert expected.value == pytest.approx(watched.trained.value)
    assert (expected.lower, expected.upper) == (watched.trained.value_lower, watched.trained.value_upper)
    assert expected.lower <= expected.value <= expected.upper
    assert watched.after.rise is not None
    assert (watched.after.rise.labelled, watched.after.rise.expected) == (160, pytest.approx(1 - expected.value))
    assert any(
        "mean loss (1 - roc_auc) of 160 labels since version 1" in one.sentence for one in watched.after.findings
    )


def test_the_same_state_is_one_run_in_mlflow_with_page_and_metrics(watched: Watched) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(watched.settings.tracking)
    again = monitor.run_monitor(watched.settings, watched.config)
    assert again.run_id == watched.after.run_id != watched.before.run_id
    run = client.get_run(again.run_id)
    assert (run.data.tags["kind"], run.data.tags["due"], run.info.status) == ("monitor", again.reason, "FINISHED")
    assert run.data.metrics["realised_roc_auc"] == pytest.approx(watched.after.versions[0].total.metric.value)
    assert run.data.metrics["share_missing mean radius"] == 0.0
    assert len(client.get_metric_history(again.run_id, "realised_roc_auc")) == 1
    assert [file.path for file in client.list_artifacts(again.run_id)] == ["monitor.html"]
    assert "RETRAINING IS DUE" in Path(again.page).read_text()


def test_training_that_is_due_carries_its_reason_and_is_not_due_again(watched: Watched) -> None:
    from mlflow import MlflowClient

    trained = train.run_train(watched.settings, watched.config, trials=1, budget=60, if_due=True)
    assert not isinstance(trained, NotDue)
    assert "160 new labelled rows" in trained.reason
    run = MlflowClient(watched.settings.tracking).get_run(trained.run_id)
    assert run.data.tags["reason"] == trained.reason
    assert isinstance(train.run_train(watched.settings, watched.config, trials=1, budget=60, if_due=True), NotDue)
    if not trained.promoted:
        promote.run_promote(watched.settings, watched.config, trained.version, "to see how it does")
    assert monitor.run_monitor(watched.settings, watched.config).champion == trained.version


def test_there_is_nothing_to_watch_without_a_champion(home: Path) -> None:
    settings, config = project(home, tumours()[:50], TARGET)
    with pytest.raises(NothingPromoted, match="no champion yet"):
        monitor.run_monitor(settings, config)
