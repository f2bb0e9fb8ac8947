from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mlflow_server import PASSWORD, STORES, USER, serving, stored
from treadle.infra import settings as settings_
from treadle.infra.tracking.runs import Tracking, client, quiet
from treadle.tasks.errors import ServiceError
from treadle.tasks.search import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster
    from treadle.infra.settings import Settings

REPOSITORY = Path(__file__).parents[2]


def trial(number: int, state: str = "complete", value: float | None = 0.7) -> Trial:
    return Trial(
        number=number, params={"eta": 0.1, "max_depth": number}, value=value, rounds=12, seconds=1.5, state=state
    )


@pytest.fixture(scope="module", params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home whose MLflow is embedded, in PostgreSQL, or somebody's server."""
    with stored(request, tmp_path_factory.mktemp("a home")) as settings:
        yield settings


@pytest.fixture
def tracking(settings: Settings) -> Tracking:
    return Tracking(settings, "shop")


def data_of(tracking: Tracking, run_id: str) -> dict[str, dict[str, object]]:
    with quiet():
        run = client(tracking.settings).get_run(run_id)
        return {"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "info": vars(run.info)}


def children(tracking: Tracking, run_id: str) -> list[dict[str, object]]:
    with quiet():
        found = client(tracking.settings).search_runs(
            [tracking.experiment_id],
            f"tags.`mlflow.parentRunId` = '{run_id}'",
            order_by=["attributes.start_time", "tags.`treadle.trial`"],
        )
    return [
        {"name": run.info.run_name, "status": run.info.status, **run.data.params, **run.data.metrics} for run in found
    ]


def test_a_run_is_found_again_by_its_key_finished_or_not(tracking: Tracking) -> None:
    first = tracking.open_run("key one", "shop one", {"seed": "1"})
    assert tracking.open_run("key one", "another name", {}) == first
    assert tracking.open_run("key two", "shop two", {}) != first
    tracking.finish(first, {"verdict": "KEEP"})
    assert Tracking(tracking.settings, "shop").open_run("key one", "shop one", {}) == first
    data = data_of(tracking, first)
    assert data["tags"].items() >= {"treadle.run_key": "key one", "seed": "1", "verdict": "KEEP"}.items()
    assert data["info"]["_status"] == "FINISHED"


def test_pipelines_have_experiments_of_their_own(tracking: Tracking) -> None:
    mine, yours = tracking.open_run("same", "x", {}), Tracking(tracking.settings, "bank").open_run("same", "x", {})
    assert mine != yours


def test_parameters_keep_their_first_values_and_may_be_many_and_long(tracking: Tracking) -> None:
    run_id = tracking.open_run("parameters", "x", {})
    tracking.log_params(run_id, {f"p{number}": number for number in range(150)})
    tracking.log_params(run_id, {"p0": "changed", "long": "x" * 10_000})
    params = data_of(tracking, run_id)["params"]
    assert len(params) == 151
    assert params["p0"] == "0"
    assert len(str(params["long"])) == 6000


def test_curves_have_a_point_for_each_step_however_often_they_are_logged(tracking: Tracking) -> None:
    run_id = tracking.open_run("curves", "x", {})
    for _ in range(2):
        tracking.log_curves(run_id, {"train": [1 / (step + 1) for step in range(700)], "validation": [0.5] * 700})
        tracking.log_metrics(run_id, {"holdout": 0.25})
    with quiet():
        train = client(tracking.settings).get_metric_history(run_id, "train")
        holdout = client(tracking.settings).get_metric_history(run_id, "holdout")
    assert [point.step for point in sorted(train, key=lambda point: point.step)] == list(range(700))
    assert [point.value for point in holdout] == [0.25]


def test_trials_are_child_runs_and_a_rerun_logs_only_the_missing_ones(tracking: Tracking) -> None:
    run_id = tracking.open_run("trials", "x", {})
    tracking.log_trials(run_id, "roc_auc", [trial(0), trial(1, "pruned"), trial(2, "failed", None)])
    tracking.log_trials(run_id, "roc_auc", [trial(0), trial(1, "pruned"), trial(2, "failed", None), trial(3)])
    assert [(child["name"], child["status"]) for child in children(tracking, run_id)] == [
        ("trial 0", "FINISHED"),
        ("trial 1", "KILLED"),
        ("trial 2", "FAILED"),
        ("trial 3", "FINISHED"),
    ]
    first = children(tracking, run_id)[0]
    assert first.items() >= {"max_depth": "0", "roc_auc": 0.7, "rounds": 12.0, "seconds": 1.5}.items()
    assert "roc_auc" not in children(tracking, run_id)[2]


def test_a_trial_whose_logging_was_killed_is_completed(tracking: Tracking) -> None:
    run_id = tracking.open_run("killed trial", "x", {})
    with quiet():
        tags = {"mlflow.parentRunId": run_id, "treadle.trial": "0"}
        client(tracking.settings).create_run(tracking.experiment_id, run_name="trial 0", tags=tags)
    tracking.log_trials(run_id, "roc_auc", [trial(0)])
    assert [(child["status"], child["roc_auc"]) for child in children(tracking, run_id)] == [("FINISHED", 0.7)]


def test_the_data_version_is_the_datasets_digest(tracking: Tracking) -> None:
    run_id = tracking.open_run("dataset", "x", {})
    for _ in range(2):
        tracking.log_dataset(run_id, "shop", "data/inbox/shop/*.csv", "rows@12")
    with quiet():
        inputs = client(tracking.settings).get_run(run_id).inputs.dataset_inputs
    assert [(one.dataset.name, one.dataset.digest) for one in inputs] == [("shop", "rows@12")]


def test_the_report_is_a_file_once_it_is_logged(tracking: Tracking, tmp_path: Path) -> None:
    run_id = tracking.open_run("report", "x", {})
    assert tracking.report_file(run_id) is None
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "roc.svg").write_text("<svg/>")
    for text in ("first", "second"):
        (tmp_path / "report.html").write_text(text)
        tracking.log_folder(run_id, tmp_path)
    report = tracking.report_file(run_id)
    assert report is not None
    assert report.read_text() == "second"
    if tracking.settings.tracking.startswith("http"):  # a copy; the page needs no other file
        assert report.is_relative_to(tracking.settings.state / "cache")
    else:
        assert (report.parent / "plots" / "roc.svg").is_file()
        assert report.is_relative_to(tracking.settings.mlruns / "artifacts" / "shop")


def test_a_run_has_an_address_in_the_ui(tracking: Tracking) -> None:
    run_id = tracking.open_run("address", "x", {})
    page = f"http://127.0.0.1:5001/#/experiments/{tracking.experiment_id}/runs/{run_id}"
    assert tracking.run_url(run_id) == page, "as docs/operation.md starts the pages"


def test_an_experiment_deleted_in_the_ui_is_restored(settings: Settings) -> None:
    tracking = Tracking(settings, "deleted")
    run_id = tracking.open_run("key", "x", {})
    with quiet():
        client(settings).delete_experiment(tracking.experiment_id)
    assert Tracking(settings, "deleted").open_run("other", "x", {}) != run_id


def test_an_unknown_run_is_one_clear_error(tracking: Tracking) -> None:
    with pytest.raises(ServiceError, match=r"MLflow: .*nosuch"):
        tracking.finish("nosuch", {})
    assert tracking.report_file("nosuch") is None


@pytest.mark.postgres
def test_a_server_that_wants_a_password_gets_it_from_the_environment(
    tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with serving(tmp_path, postgres.database(), gate=True) as url:
        guarded = settings_.Settings(home=home, tracking_uri=url)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        with pytest.raises(ServiceError, match=r"MLflow: .*401") as caught:
            Tracking(guarded, "shop").open_run("key", "x", {})
        assert "wrong" not in caught.value.message
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        run_id = Tracking(guarded, "shop").open_run("key", "x", {})
        (tmp_path / "logged").mkdir()
        (tmp_path / "logged" / "report.html").write_text("kept")
        Tracking(guarded, "shop").log_folder(run_id, tmp_path / "logged")
        report = Tracking(guarded, "shop").report_file(run_id)
    assert report is not None
    assert report.read_text() == "kept"


def in_a_process_of_its_own(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


OPEN = """
    from pathlib import Path
    from treadle.infra import settings
    from treadle.infra.tracking.runs import Tracking
    Tracking(settings.at(Path({home!r})), "shop").open_run("key", "x", {{}})
"""


def test_a_kill_while_mlflow_makes_its_database_does_no_harm(tmp_path: Path) -> None:
    dying = """
    import os, signal, sqlalchemy
    statements = []
    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
    def count(*_):
        statements.append(1)
        if len(statements) == 150:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    open_ = OPEN.format(home=str(tmp_path))
    assert in_a_process_of_its_own(textwrap.dedent(dying) + textwrap.dedent(open_)).returncode == -signal.SIGKILL
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()
    assert (tmp_path / "mlruns" / ".mlflow.db.new").exists()
    again = in_a_process_of_its_own(open_)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert not (tmp_path / "mlruns" / ".mlflow.db.new").exists()
