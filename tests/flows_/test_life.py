"""One model's birth and work, on a small real table, with every real component."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import pandas as pd
import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import ingest, score, train
from treadle.flows.champion import history, promote
from treadle.flows.project import report
from treadle.infra import orchestrator, stores
from treadle.tasks import bundle
from treadle.tasks.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.score import ScoreResult
    from treadle.flows.train import TrainResult
    from treadle.flows.train.run import RunRef
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

TRIALS = 2
WITHOUT_TREADLE = """
import sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
model.predict(pd.read_csv(sys.argv[2])).to_parquet(sys.argv[3])
assert "treadle" not in sys.modules
"""


class Life(NamedTuple):
    settings: Settings
    config: PipelineConfig
    trained: TrainResult
    scored: ScoreResult


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Life:
    """469 labelled rows trained on, 100 without a label scored."""
    home = tmp_path_factory.mktemp("life") / "home"
    (home / "pipelines").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", orchestrator.server_state(server_home).url)
        settings, config = project(home, tumours()[:469], "Malignant", trees=True, quick=True)
        trained = train.run_train(settings, config, trials=TRIALS, budget=60)
        tumours()[469:].drop(columns="Malignant").to_csv(inbox(home) / "new.csv", index=False)
        return Life(settings, config, trained, score.run_score(settings, config))


pytestmark = pytest.mark.usefixtures("prefect_server")


def predictions(settings: Settings) -> pd.DataFrame:
    relation = stores.open(settings, "clinic").tables.relation("predictions")
    with duckdb.connect() as con:
        return con.sql(f"SELECT * FROM {relation} ORDER BY ALL").to_arrow_table().to_pandas()


def test_the_first_model_is_promoted_over_the_dummy(life: Life) -> None:
    trained = life.trained
    assert (trained.decision, trained.promoted, trained.version) == ("PROMOTE", True, 1)
    assert trained.value > 0.9
    assert (trained.trials, trained.resumed, trained.already) == (TRIALS, 0, False)
    assert trained.exit_code() == 0


def test_ledger_alias_and_models_agree_on_the_champion(life: Life) -> None:
    shown = history.run_models(life.settings, life.config)
    assert (shown.champion, shown.alias) == (1, "")
    assert [(move.from_version, move.to, move.verdict) for move in shown.history] == [(None, 1, "PROMOTE")]


def test_the_finished_run_is_not_made_twice_unless_asked(life: Life) -> None:
    same = train.run_train(life.settings, life.config, trials=TRIALS, budget=60)
    # new.csv has moved the data on since; so this run is another, and the first one of its key
    assert same.already is False
    again = train.run_train(life.settings, life.config, trials=TRIALS, budget=60)
    assert (again.already, again.version, again.run_key) == (True, same.version, same.run_key)


def test_mlflow_holds_the_run_with_its_trials_and_report(life: Life) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(life.settings.tracking, life.settings.registry)
    run = client.get_run(life.trained.run_id)
    children = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{life.trained.run_id}'", max_results=100
    )
    assert len(children) == TRIALS
    assert run.data.metrics["holdout_roc_auc"] == pytest.approx(life.trained.value)
    assert run.data.params["data.target"] == "Malignant"
    assert len(client.get_metric_history(life.trained.run_id, "validation_log_loss")) == int(run.data.params["rounds"])
    assert len(client.get_metric_history(life.trained.run_id, "train_roc_auc")) == 1  # the report's, not the curve
    version = client.get_model_version_by_alias("clinic", "champion")
    assert int(version.version) == 1
    assert version.tags["verdict"] == "PROMOTE"
    assert "better than the dummy" in version.description
    names = {entry.path for entry in client.list_artifacts(life.trained.run_id)}
    assert {"report.html", "plots", "contract", "explanation"} <= names


def test_the_report_opens_with_the_verdict(life: Life) -> None:
    shown = report.run_report(life.settings, life.config, str(life.trained.version))
    page = stores.open(life.settings, "clinic").tracking.report_file(life.trained.run_id)
    assert page is not None
    assert shown.path == str(page)
    text = page.read_text()
    assert life.trained.headline.split(":")[0].capitalize() in text
    assert len(text) < 2_000_000


def test_every_unlabelled_row_has_one_prediction_with_its_origin(life: Life) -> None:
    made = predictions(life.settings)
    assert life.scored.rows == len(made) == 100
    assert made["Tumour ID"].is_unique
    assert set(made["model_version"]) == {1}
    assert set(made["purpose"]) == {"champion"}
    assert set(made["data_version"]) == {"rows@2"}
    assert made["probability"].between(0, 1).all()
    assert set(made["prediction"]) <= {"yes", "no"}


def test_scoring_again_changes_nothing(life: Life) -> None:
    before = predictions(life.settings)
    again = score.run_score(life.settings, life.config)
    assert (again.rows, again.skipped) == (0, 1)
    pd.testing.assert_frame_equal(predictions(life.settings), before)


def test_a_file_gets_a_row_for_every_row_equal_to_mlflow_without_treadle(life: Life, tmp_path: Path) -> None:
    asked = tumours().sample(120, random_state=1)
    asked.iloc[3, 2] = None
    asked.to_csv(tmp_path / "asked.csv", index=False)
    champion = history.run_models(life.settings, life.config).champion
    answered = score.run_score(
        life.settings, life.config, input=tmp_path / "asked.csv", output=tmp_path / "answered.csv"
    )
    assert (answered.rows, answered.version) == (120, champion)
    ours = pd.read_csv(tmp_path / "answered.csv")
    assert ours["Tumour ID"].tolist() == asked["Tumour ID"].tolist()
    subprocess.run(
        [
            sys.executable,
            *("-I", "-W", "ignore", "-c", WITHOUT_TREADLE),
            str(stores.open(life.settings, "clinic").bundle_folder(champion).parents[1]),
            str(tmp_path / "asked.csv"),
            str(tmp_path / "theirs.parquet"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    theirs = pd.read_parquet(tmp_path / "theirs.parquet")
    assert ours["probability"].tolist() == theirs["probability"].tolist()
    assert ours["prediction"].tolist() == theirs["prediction"].tolist()


def test_rows_that_break_the_contract_are_answered_with_a_warning(life: Life, tmp_path: Path) -> None:
    asked = tumours()[:5].drop(columns="Malignant")
    asked["mean radius"] = asked["mean radius"].astype(object)
    asked.iloc[1, 1] = "big"
    asked.iloc[2, 1] = -1
    asked.to_csv(tmp_path / "asked.csv", index=False)
    answered = score.run_score(life.settings, life.config, input=tmp_path / "asked.csv", output=tmp_path / "a.parquet")
    warnings = pd.read_parquet(tmp_path / "a.parquet")["_warning"]
    assert warnings.notna().tolist() == [False, True, True, False, False]
    assert "mean radius" in warnings[1]
    assert answered.warnings


def test_an_answer_never_replaces_what_people_brought(life: Life, tmp_path: Path) -> None:
    asked = tmp_path / "asked.csv"
    tumours()[:5].to_csv(asked, index=False)
    before = asked.read_bytes()
    among = inbox(life.settings.home) / "answer.csv"
    for output in (asked, among):
        with pytest.raises(UsageError, match="--output"):
            score.run_score(life.settings, life.config, input=asked, output=output)
    for name, what in (("gone.csv", "no such file"), ("", "is a folder")):
        with pytest.raises(UsageError, match=what):
            score.run_score(life.settings, life.config, input=tmp_path / name, output=tmp_path / "a.csv")
    assert asked.read_bytes() == before
    assert not among.exists()


def test_a_file_without_a_needed_column_is_refused_by_name(life: Life, tmp_path: Path) -> None:
    tumours()[:5].rename(columns={"worst area": "Worst Area"}).to_csv(tmp_path / "asked.csv", index=False)
    with pytest.raises(DataError, match="worst area"):
        score.run_score(life.settings, life.config, input=tmp_path / "asked.csv", output=tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_person_promotes_with_a_reason_and_is_audited(life: Life) -> None:
    challenger = train.run_train(life.settings, life.config, trials=1, budget=60)
    champion = history.run_models(life.settings, life.config).champion
    target = challenger.version if challenger.version != champion else 1
    with pytest.raises(UsageError, match="reason"):
        promote.run_promote(life.settings, life.config, target, " ")
    with pytest.raises(UsageError, match="no version 99"):
        promote.run_promote(life.settings, life.config, 99, "why not")
    moved = promote.run_promote(life.settings, life.config, target, "the branch asked for it")
    shown = history.run_models(life.settings, life.config)
    assert (shown.champion, shown.alias) == (target, "")
    newest = max(shown.history, key=lambda move: move.seq)
    assert (newest.from_version, newest.verdict, newest.reason) == (champion, "BY HAND", "the branch asked for it")
    assert moved.who == newest.who != ""


def another(life: Life) -> tuple[int, int]:
    """The champion, and a version that is not."""
    shown = history.run_models(life.settings, life.config)
    return shown.champion, next(one.version for one in shown.versions if not one.champion)


def test_an_alias_that_a_person_moved_is_told_and_put_back_by_a_person(life: Life) -> None:
    champion, other = another(life)
    opened = stores.open(life.settings, "clinic")
    opened.registry.set_champion(other)
    assert f"points at version {other}" in history.run_models(life.settings, life.config).alias
    assert score.run_score(life.settings, life.config).version == champion
    assert opened.registry.champion_alias() == other
    promote.run_promote(life.settings, life.config, champion, "the alias was moved by hand")
    assert history.run_models(life.settings, life.config).alias == ""
    with pytest.raises(UsageError, match="champion already"):
        promote.run_promote(life.settings, life.config, champion, "once more")


def test_a_move_that_was_cut_off_before_the_alias_is_completed_by_the_next_command(life: Life) -> None:
    champion, other = another(life)
    opened = stores.open(life.settings, "clinic")
    version = opened.ledger.version("clinic", other)
    opened.ledger.promote(
        "clinic",
        expected=champion,
        to=other,
        verdict="BY HAND",
        reason="cut off",
        who="me",
        bundle=version.bundle,
        digest=version.digest,
    )
    assert opened.registry.champion_alias() == champion
    assert score.run_score(life.settings, life.config).version == other
    assert opened.registry.champion_alias() == other
    assert opened.ledger.pending("clinic") == ()


def test_a_run_cut_off_before_the_ledger_begins_anew_where_the_chair_was_taken_since(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = life.settings, life.config
    other = train.run_train(settings, config, trials=1, budget=60).version

    def cut_off(*_: object) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("treadle.infra.databases.ledger.Ledger.add_version", cut_off)
        with pytest.raises(RuntimeError, match="the power went"):
            train.run_train(settings, config, trials=2, budget=50)
    champion = history.run_models(settings, config).champion
    chair = other if champion != other else 1
    promote.run_promote(settings, config, chair, "moved in between")
    trained = train.run_train(settings, config, trials=2, budget=50)
    opened = stores.open(settings, "clinic")
    assert trained.against == chair
    assert (
        bundle.digest(opened.bundle_folder(trained.version)) == opened.ledger.version("clinic", trained.version).digest
    )
    assert not list((settings.state / "runs" / "clinic").iterdir())


def test_the_holdout_is_out_of_reach_while_the_model_is_made(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, judge = train.split_rows, train.judge

    def hide(ref: RunRef) -> None:
        prepare(ref)
        for file in ref.bench.folder.glob("*.arrow"):
            if file.stem not in ("train", "validation"):
                file.rename(tmp_path / file.name)

    def show(ref: RunRef) -> None:
        assert (tmp_path / "holdout.arrow").exists()
        for file in tmp_path.glob("*.arrow"):
            file.rename(ref.bench.folder / file.name)
        judge(ref)

    with monkeypatch.context() as patch:
        patch.setattr(train, "split_rows", hide)
        patch.setattr(train, "judge", show)
        assert not train.run_train(life.settings, life.config, trials=1, budget=30).already


def test_a_config_changed_under_a_run_ends_it(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    file = life.settings.home / "pipelines" / "clinic.toml"
    before = file.read_text()

    def edit(_ref: object) -> None:
        file.write_text(before + "\n[gate]\nmin_gain = 0.5\n")

    with monkeypatch.context() as patch:
        patch.setattr(train, "split_rows", edit)
        with pytest.raises(UsageError, match="changed during the run"):
            train.run_train(life.settings, life.config, trials=2, budget=40)
    file.write_text(before)


def test_a_month_that_was_scored_is_trained_on_when_its_labels_come_and_known_labels_wait_for_no_prediction(
    life: Life,
) -> None:
    settings, config, inboxes = life.settings, life.config, life.settings.home / "data" / "inbox"
    late = tumours()[469:][["Tumour ID", "Malignant"]]
    known = pd.DataFrame({"Tumour ID": [f"N{number}" for number in range(10)], "Malignant": "no"})
    pd.concat([late, known]).to_csv(inboxes / "clinic_labels" / "late.csv", index=False)
    arrived = ingest.run_ingest(settings, config).labels
    assert (arrived.labels_in, arrived.new, arrived.orphan) == (110, 100, 10)
    trained = train.run_train(settings, config, trials=1, budget=60)
    assert trained.data_version == "rows@2,labels@1"
    opened = stores.open(settings, "clinic")
    assert len(opened.tables.training(2, "Malignant", config.data.key, 1)) == 569
    assert len(opened.tables.training(2, "Malignant", config.data.key, -1)) == 469
    more = tumours()[:15].drop(columns="Malignant")
    more["Tumour ID"] = [f"N{number}" for number in range(15)]
    more.to_csv(inboxes / "clinic" / "more.csv", index=False)
    scored = score.run_score(settings, config)
    assert (scored.ingest.batches[0].joined, scored.rows) == (10, 5)
    assert set(predictions(settings).query("`Tumour ID` in @more['Tumour ID']")["Tumour ID"]) == {
        f"N{number}" for number in range(10, 15)
    }
    assert score.run_score(settings, config, rescore=True).rows <= 5
