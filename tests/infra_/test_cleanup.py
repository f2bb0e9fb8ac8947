"""What is taken from MLflow is gone, rows and files; what is beside it opens as before."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests import shop
from tests.mlflow_server import STORES, stored
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.tracking.cleanup import Cleanup
from treadle.infra.tracking.runs import client, quiet
from treadle.tasks import bundle
from treadle.tasks.search import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.infra.tracking.cleanup import RunWithTrials


NAMES = (f"shop{number}" for number in count())


@pytest.fixture(scope="module", params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with stored(request, tmp_path_factory.mktemp("cleanup") / "the home") as settings:
        shop.write(settings.state / "bundle", shop.model("binary", count=80))
        yield settings


@pytest.fixture
def opened(settings: Settings) -> Stores:
    """A pipeline with two runs of training, each with trials, a report and a registered model, and one of monitor."""
    opened = stores.open(settings, next(NAMES))
    for work in ("k1", "k2"):
        run = opened.tracking.open_run(work, "shop", {})
        trials = [
            Trial(number=number, state="complete", value=0.5, rounds=3, seconds=0.1, params={}) for number in (0, 1)
        ]
        opened.tracking.log_trials(run, "roc_auc", trials)
        logged(opened, run, "report.html", f"<p>{work}</p>")
        uri = opened.registry.log_model(run, settings.state / "bundle")
        opened.registry.register(run, uri, work, {}, "")
    logged(opened, opened.tracking.open_run("m1", "monitor", {"kind": "monitor"}), "monitor.html", "<p>page</p>")
    return opened


def logged(opened: Stores, run: str, name: str, text: str) -> None:
    folder = opened.settings.state / "logged"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / name).write_text(text)
    opened.tracking.log_folder(run, folder)


def of(cleanup: Cleanup, work: str) -> RunWithTrials:
    return next(run for run in cleanup.runs() if run.work == work)


def cached(opened: Stores) -> int:
    """Bytes of copies that were made of what is elsewhere."""
    return sum(path.stat().st_size for path in (opened.settings.state / "cache").rglob("*") if path.is_file())


def files(opened: Stores) -> int:
    """Bytes of artifacts, wherever MLflow has them."""
    places = [opened.settings.mlruns / "artifacts", opened.settings.home.with_name("the home-server") / "artifacts"]
    return sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())


def test_runs_are_known_with_their_trials(opened: Stores) -> None:
    found = Cleanup(opened.settings, opened.pipeline).runs()
    assert [(run.work, run.monitor, len(run.trials)) for run in found] == [
        ("k1", False, 2),
        ("k2", False, 2),
        ("m1", True, 0),
    ]


def test_what_is_taken_is_gone_with_the_bytes_that_were_said_and_the_rest_opens(opened: Stores) -> None:
    cleanup = Cleanup(opened.settings, opened.pipeline)
    run = of(cleanup, "k1")
    opened.registry.bundle(1)
    assert opened.tracking.report_file(run.id) is not None
    before, copies, said = files(opened), cached(opened), cleanup.size(run)
    cleanup.delete_run(run)
    served = opened.settings.tracking.startswith("http")
    assert before - files(opened) > 0
    assert (copies - cached(opened) if served else before - files(opened)) == said > 0
    assert [(one.work, len(one.trials)) for one in cleanup.runs()] == [("k2", 2), ("m1", 0)]
    page = opened.tracking.report_file(of(cleanup, "k2").id)
    assert page is not None
    assert page.read_text() == "<p>k2</p>"
    assert opened.tracking.report_file(run.id) is None
    folder = opened.registry.bundle(2)
    bundle.check_golden(bundle.load_bundle(folder, digest=None), folder)
    rows, expected = bundle.golden(folder)
    answers = opened.registry.answers(folder, rows.to_pandas())
    pd.testing.assert_series_equal(
        answers["prediction"], expected.to_pandas()["prediction"], check_dtype=False, check_index=False
    )
    with quiet():
        versions = client(opened.settings).search_model_versions(f"name = '{opened.pipeline}'")
    assert [int(one.version) for one in versions] == [2]


def test_a_run_that_an_alias_or_another_model_names_is_known(opened: Stores) -> None:
    cleanup = Cleanup(opened.settings, opened.pipeline)
    ours = {work: of(cleanup, work).id for work in ("k1", "k2", "m1")}
    assert cleanup.named().isdisjoint(ours.values())
    opened.registry.set_champion(2)
    with quiet():
        mlflow = client(opened.settings)
        mlflow.create_registered_model("somebody's")
        (model,) = mlflow.search_logged_models([opened.tracking.experiment_id], f"source_run_id = '{ours['k1']}'")
        mlflow.create_model_version("somebody's", model.artifact_location, ours["k1"], model_id=model.model_id)
    assert cleanup.named() & set(ours.values()) == {ours["k1"], ours["k2"]}


def test_a_run_that_a_person_logged_beside_ours_is_none_of_our_business(opened: Stores) -> None:
    cleanup = Cleanup(opened.settings, opened.pipeline)
    with quiet():
        theirs = client(opened.settings).create_run(opened.tracking.experiment_id, run_name="by hand").info.run_id
    assert theirs not in [run.id for run in cleanup.runs()]


def test_there_is_nothing_before_the_first_run(tmp_path: Path) -> None:
    cleanup = Cleanup(settings_.at(tmp_path), "shop")
    assert cleanup.runs() == ()
    assert not list(tmp_path.iterdir())
