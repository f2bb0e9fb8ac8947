"""With a login, both servers' pages ask for it, and work once they have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Home, brought_up
from tests.projects import prefect_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.conftest import Seen
    from treadle.infra.settings import Settings

    Browser = Callable[..., Seen]

NAME, PASSWORD = "ada", "correct-horse-battery"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Iterator[Home]:
    """A home whose servers listen on every network."""
    folder = tmp_path_factory.mktemp("locked") / "home"
    (folder / "pipelines").mkdir(parents=True)
    prefect_database(folder, server_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TREADLE_HOST", "0.0.0.0")
        patch.setenv("TREADLE_LOGIN", f"{NAME}:{PASSWORD}")
        place = brought_up(folder)
        try:
            yield place
        finally:
            place.treadle("down")


def test_prefects_pages_ask_for_the_login_once(locked: Home, browser: Browser) -> None:
    seen = browser(f"{locked.prefect}/deployments")
    field = seen.page.locator("input").first
    field.wait_for()
    seen.picture("login-prefect")
    field.fill("ada:wrong")
    field.press("Enter")
    seen.page.wait_for_timeout(1500)
    assert not seen.page.get_by_text("Work Pools").count()
    field.fill(f"{NAME}:{PASSWORD}")
    field.press("Enter")
    seen.page.get_by_text("Work Pools").first.wait_for()
    seen.picture("login-prefect-in")


def test_mlflows_pages_ask_for_the_login(locked: Home, browser: Browser) -> None:
    stranger = browser(locked.mlflow, http_credentials={"username": NAME, "password": "wrong"})
    assert "authentication required" in stranger.page.content()
    known = browser(locked.mlflow, http_credentials={"username": NAME, "password": PASSWORD})
    known.page.get_by_text("Model registry").first.wait_for()
    known.page.goto(f"{locked.mlflow}/#/models")
    known.page.get_by_text("Registered Models").first.wait_for()
    known.picture("login-mlflow-in")
