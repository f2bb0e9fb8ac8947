"""MLflow's pages as a person sees them."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Home, Seen

    Browser = Callable[..., Seen]


def ask(home: Home, path: str, question: dict[str, Any]) -> dict[str, Any]:
    """MLflow's answer."""
    request = urllib.request.Request(
        f"{home.mlflow}/api/2.0/mlflow/{path}", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return dict(json.loads(answer.read()))


@pytest.fixture(scope="session")
def runs(home: Home) -> dict[str, Any]:
    """The first training's run, and its trials."""
    experiments = ask(home, "experiments/search", {"max_results": 10})["experiments"]
    experiment = next(one["experiment_id"] for one in experiments if one["name"] == "clinic")
    found = ask(home, "runs/search", {"experiment_ids": [experiment], "max_results": 100})["runs"]
    tags = {run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in found}
    parent = next(name for name, tag in tags.items() if tag.get("version") == "1")
    trials = [name for name, tag in tags.items() if tag.get("mlflow.parentRunId") == parent]
    return {"experiment": experiment, "parent": parent, "trials": trials}


def test_the_first_page_opens_at_models_and_sells_nothing(home: Home, browser: Browser) -> None:
    seen = browser(home.mlflow)
    seen.page.get_by_text("Model registry").first.wait_for()
    seen.page.get_by_text("clinic", exact=True).first.wait_for()
    assert not seen.page.get_by_text("MLflow collects usage data").count()
    assert not seen.page.get_by_text("Ask a question").count()
    seen.picture("mlflow-home")


def test_an_experiment_shows_a_training_with_its_trials_beneath(
    home: Home, browser: Browser, runs: dict[str, Any]
) -> None:
    assert len(runs["trials"]) == 6
    seen = browser(f"{home.mlflow}/#/experiments/{runs['experiment']}")
    page = seen.page
    page.locator(f'.ag-row[row-id="{runs["parent"]}"] [col-id*="Run Name"] button').click()  # its trials, beneath
    page.get_by_text("trial 0", exact=True).first.wait_for()
    page.get_by_text("trial 5", exact=True).first.wait_for()
    seen.picture("mlflow-experiment")


def test_charts_compare_the_trials(home: Home, browser: Browser, runs: dict[str, Any]) -> None:
    named = json.dumps(runs["trials"])
    seen = browser(f"{home.mlflow}/#/compare-runs?runs={named}&experiments={json.dumps([runs['experiment']])}")
    seen.page.get_by_text("Comparing 6 Runs").first.wait_for()
    seen.page.locator(".js-plotly-plot").first.wait_for()
    seen.page.get_by_text("learning_rate").first.wait_for()
    seen.picture("mlflow-compare")


def test_charts_of_an_experiment_begin_with_its_scores(home: Home, browser: Browser, runs: dict[str, Any]) -> None:
    seen = browser(f"{home.mlflow}/#/experiments/{runs['experiment']}/runs?compareRunsMode=CHART")
    seen.page.get_by_text("Model metrics").first.wait_for()
    titles = seen.page.locator("[data-testid*=section-header]").all_inner_texts()
    assert titles[0].startswith("Model metrics")
    seen.picture("mlflow-charts")


def test_a_run_says_how_it_ended_and_opens_its_report(home: Home, browser: Browser, runs: dict[str, Any]) -> None:
    address = f"{home.mlflow}/#/experiments/{runs['experiment']}/runs/{runs['parent']}"
    seen = browser(address)
    seen.page.get_by_text("About this run").wait_for()
    seen.page.get_by_text("PROMOTE").first.wait_for()
    seen.page.get_by_text("trial 0").first.wait_for()
    seen.picture("mlflow-run")
    seen.page.goto(f"{address}/model-metrics")
    seen.page.get_by_placeholder("Search metric charts").fill("roc_auc")
    seen.page.get_by_text("validation_roc_auc").first.wait_for()
    seen.page.locator(".js-plotly-plot").first.wait_for()
    seen.picture("mlflow-run-metrics")
    seen.page.goto(f"{address}/artifacts/report.html")
    report = seen.page.frame_locator("iframe").first
    report.get_by_text("Key numbers").wait_for()
    report.get_by_text(re.compile("better than the dummy", re.IGNORECASE)).first.wait_for()
    seen.picture("mlflow-report")


def test_the_registered_model_has_its_alias_tags_and_description(home: Home, browser: Browser) -> None:
    seen = browser(f"{home.mlflow}/#/models")
    seen.page.get_by_text("clinic", exact=True).first.wait_for()
    seen.picture("mlflow-models")
    seen.page.goto(f"{home.mlflow}/#/models/clinic")
    seen.page.get_by_text("champion").first.wait_for()
    seen.page.get_by_text("Version 1", exact=True).first.wait_for()
    seen.picture("mlflow-model")
    seen.page.goto(f"{home.mlflow}/#/models/clinic/versions/1")
    for text in ("champion", "gain over the dummy", "config_digest", "data_version", "holdout rows"):
        seen.page.get_by_text(text).first.wait_for()
    seen.picture("mlflow-version")
