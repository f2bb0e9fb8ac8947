"""Prefect's pages as a person sees them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.conftest import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Home, Seen

    Browser = Callable[..., Seen]

WORKS = ("ingest", "train", "score", "monitor", "promote", "maintain")


def form(home: Home, browser: Browser, work: str) -> Seen:
    """A deployment's run form."""
    return browser(f"{home.prefect}/deployments/deployment/{home.deployment(work)['id']}/run")


def test_the_deployments_are_there_with_their_schedules(home: Home, browser: Browser) -> None:
    seen = browser(f"{home.prefect}/deployments")
    for work in WORKS:
        seen.page.get_by_text(work, exact=True).first.wait_for()
    seen.page.get_by_text("+1", exact=True).first.hover()
    seen.page.get_by_text("At 03:00 AM, only on Monday").last.wait_for()
    seen.picture("prefect-deployments")


def test_a_deployments_page_says_what_it_does(home: Home, browser: Browser) -> None:
    seen = browser(f"{home.prefect}/deployments/deployment/{home.deployment('train')['id']}?tab=Description")
    seen.page.get_by_text("Trains a challenger for").wait_for()
    seen.page.get_by_text("At 03:00 AM, only on Monday").first.wait_for()
    seen.picture("prefect-deployment")


def test_the_first_page_offers_no_other_pages_that_ask_outside(home: Home, browser: Browser) -> None:
    seen = browser(home.prefect)
    seen.page.get_by_text("Active Work Pools").wait_for()
    assert not seen.page.get_by_text("V2 UI").count()
    seen.picture("prefect-dashboard")


def test_the_form_refuses_a_wrong_parameter_and_says_why(home: Home, browser: Browser) -> None:
    before = home.runs("train")
    seen = form(home, browser, "train")
    seen.page.get_by_text("at most so many trials").wait_for()
    seen.picture("prefect-form")
    seen.page.locator("input[type=number]").first.fill("0")
    seen.page.get_by_role("button", name="Submit").click()
    seen.page.get_by_text("0 is less than the minimum of 1").first.wait_for()
    seen.picture("prefect-form-refused")
    assert home.runs("train") == before


def test_a_run_from_the_form_does_what_the_command_does(home: Home, browser: Browser) -> None:
    before = home.treadle("models")["versions"]
    seen = form(home, browser, "train")
    seen.page.locator("input[type=number]").first.fill("2")
    seen.page.get_by_role("switch").last.click()  # again
    seen.page.get_by_role("button", name="Submit").click()
    seen.page.get_by_role("button", name="View run").first.wait_for()
    seen.picture("prefect-form-accepted")
    asked = {"trials": 2, "again": True}
    run = until(lambda: next((run for run in home.runs("train") if asked.items() <= options(run).items()), None))
    until(lambda: home.ask(f"/flow_runs/{run['id']}")["state_type"] == "COMPLETED")
    after = home.treadle("models")["versions"]
    assert len(after) == len(before) + 1
    newest = max(after, key=lambda version: version["version"])
    said = home.ask(f"/flow_runs/{run['id']}")["state"]["message"]
    assert said.startswith(f"{newest['decision']}: {newest['headline']}")


def options(run: dict[str, dict[str, dict[str, object]]]) -> dict[str, object]:
    """What a run was told."""
    return run["parameters"].get("options", {})


def test_a_form_in_which_nothing_can_be_chosen_works_too(home: Home, browser: Browser) -> None:
    before = {run["id"] for run in home.runs("monitor")}
    seen = form(home, browser, "monitor")
    seen.page.get_by_role("button", name="Submit").click()
    seen.page.get_by_role("button", name="View run").first.wait_for()
    until(lambda: {run["id"] for run in home.runs("monitor") if run["state_type"] == "COMPLETED"} - before)


def test_a_persons_word_on_a_version_has_a_form(home: Home, browser: Browser) -> None:
    seen = form(home, browser, "promote")
    seen.page.get_by_text("the version that becomes champion").wait_for()
    seen.picture("prefect-form-promote")
    seen.page.get_by_role("button", name="Submit").click()
    seen.page.get_by_text(re.compile("required|not of type|None", re.IGNORECASE)).first.wait_for()


def test_a_training_shows_its_steps_its_log_and_what_it_found(home: Home, browser: Browser) -> None:
    run = home.runs("train")[-1]
    seen = browser(f"{home.prefect}/runs/flow-run/{run['id']}")
    page = seen.page
    page.locator("canvas").first.wait_for()  # the graph is drawn
    page.get_by_text(re.compile("labelled rows")).first.wait_for()  # what our own log says
    seen.picture("prefect-train")
    page.get_by_text("labelled rows").first.scroll_into_view_if_needed()
    seen.picture("prefect-train-log")
    page.get_by_text("Task Runs", exact=True).click()
    for step in ("plan the run", "split the rows", "tune", "fit", "package", "judge", "register", "promote version 1"):
        page.get_by_text(step, exact=True).first.wait_for()
    seen.picture("prefect-train-steps")
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("verdict-clinic").first.wait_for()
    page.get_by_text("Parameters, trials, curves and the report").first.wait_for()
    seen.picture("prefect-train-artifacts")
    page.get_by_text("verdict-clinic").last.click()
    page.get_by_role("heading", name=re.compile("PROMOTE")).first.wait_for()
    seen.picture("prefect-verdict")


def test_the_run_in_mlflow_is_one_click_away(home: Home, browser: Browser) -> None:
    asked = {"artifacts": {"key": {"any_": ["mlflow-run-clinic"]}}, "sort": "CREATED_DESC"}
    found = home.ask("/artifacts/filter", asked)
    address = re.search(r"\((http\S+)\)", found[-1]["data"])
    assert address is not None
    assert address[1].startswith(home.mlflow)
    seen = browser(address[1])
    seen.page.get_by_text("About this run").wait_for()


def test_what_monitor_found_is_on_its_runs_page(home: Home, browser: Browser) -> None:
    seen = browser(f"{home.prefect}/runs/flow-run/{home.runs('monitor')[0]['id']}")
    seen.page.get_by_text("Artifacts", exact=True).click()
    seen.page.get_by_text("monitor-clinic").first.wait_for()
    seen.page.get_by_text("monitor-clinic").last.click()
    seen.picture("prefect-monitor")
