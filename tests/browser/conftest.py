"""A headless Chromium before a home that `treadle up` keeps: `make browser`, which leaves its pictures in build/."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.projects import inbox, prefect_database, project, tumours
from treadle.infra import settings as settings_
from treadle.infra.orchestrator.api import ask, with_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, Page, Request, WebSocket

    from treadle.infra.settings import Settings

PICTURES = Path(__file__).parents[2] / "build" / "browser"
CHROMIUM = "chromium"
FIX = "these tests need Chromium (Debian: apt-get install chromium) and Playwright (make browser installs it)"
OWN = re.compile(
    r"[ /](accounts|(android\.)?clients\d*|clientservices|content-autofill|update|safebrowsing)\.google(apis)?\.com"
)
"""Where Chromium itself goes, whatever page it shows."""

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example.org 127.0.0.1",
]
HERE = re.compile(r"127\.0\.0\.1|[a-z]+\.example\.org")
"""What the servers are called here: by themselves, and behind the proxy of docs/security.md."""
TRIES = 5
WAIT_SECONDS = 480.0  # on a machine that others use as well


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder bear the mark, and need time: the machine does not only draw pages."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(900))


def until(holds: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until something is true; what it is."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "never came true"
        threading.Event().wait(0.5)
    return found


@dataclass(frozen=True)
class Home:
    """A home that is up."""

    settings: Settings
    prefect: str
    mlflow: str

    def treadle(self, *arguments: str) -> dict[str, Any]:
        """A command in it, as JSON."""
        said = subprocess.run(
            [sys.executable, "-P", "-m", "treadle.flows.cli", *arguments, "--json"],
            cwd=self.settings.home,
            env={**os.environ, "TREADLE_HOME": str(self.settings.home)},
            stdout=subprocess.PIPE,
            check=True,
        )
        return dict(json.loads(said.stdout))

    def ask(self, path: str, question: object = None) -> Any:
        """Prefect's answer."""
        address = with_login(self.settings, f"{self.prefect}/api")
        for _ in range(TRIES):
            with suppress(TimeoutError):  # the machine is busy with what it is asked about
                return json.loads(ask(address, path, question))
        return json.loads(ask(address, path, question))

    def deployment(self, work: str) -> dict[str, Any]:
        """A deployment of the pipeline."""
        return dict(self.ask(f"/deployments/name/{work}/clinic"))

    def runs(self, work: str) -> list[dict[str, Any]]:
        """The runs of a deployment, the newest first; not what waits for its time."""
        states = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
        asked = {
            "deployments": {"id": {"any_": [self.deployment(work)["id"]]}},
            "flow_runs": {"state": {"type": {"any_": states}}},
            "sort": "START_TIME_DESC",
        }
        return list(self.ask("/flow_runs/filter", asked))


def brought_up(home: Path) -> Home:
    """Bring a home up."""
    settings = settings_.at(home)
    result = Home(settings, "", "").treadle("up", "--detach")
    return Home(settings, result["prefect"], result["mlflow"])


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Iterator[Home]:
    """A home with schedules whose champion was trained by the worker, and whose newest rows are scored."""
    folder = tmp_path_factory.mktemp("seen") / "home"
    (folder / "pipelines").mkdir(parents=True)
    rows = tumours()
    project(folder, rows.head(450), "Malignant")
    file = folder / "pipelines" / "clinic.toml"
    file.write_text(
        file.read_text()
        + '\n[tune]\ntrials = 6\n\n[retrain]\nschedule = "0 3 * * 1"\n\n[score]\nschedule = "*/30 * * * *"\n'
    )
    prefect_database(folder, server_home)
    place = brought_up(folder)
    try:
        until(lambda: [run for run in place.runs("train") if run["state_type"] == "COMPLETED"])
        inbox(folder).mkdir(parents=True, exist_ok=True)
        rows.tail(119).drop(columns=["Malignant"]).to_csv(inbox(folder) / "monday.csv", index=False)
        until(lambda: [run for run in place.runs("score") if "119 rows" in (run["state"]["message"] or "")])
        yield place
    finally:
        place.treadle("down")


class Outside:
    """A proxy that answers nobody, before which a browser would have to stand to leave this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(2)
                with suppress(OSError):
                    address = client.recv(500).decode(errors="replace").partition("\n")[0]
                    if not OWN.search(address):
                        self.asked.append(address)

    def close(self) -> None:
        """Stand there no longer."""
        self._listener.close()


@dataclass
class Seen:
    """A browser's page, whatever it asked for, and pictures of it."""

    page: Page
    asked: list[str] = field(default_factory=list)

    def picture(self, name: str) -> None:
        """Keep what is to be seen."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(700)  # drawings fade in
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def note(self, request: Request | WebSocket) -> None:
        """Remember for what it asked."""
        self.asked.append(request.url)


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """What is asked of the world outside."""
    proxy = Outside()
    yield proxy
    proxy.close()


@pytest.fixture
def contexts(outside: Outside) -> Iterator[Callable[..., BrowserContext]]:
    """Make browsers that remember nothing; none of them may ask anything outside."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=FIX)
    chromium = shutil.which(CHROMIUM)
    if chromium is None:
        pytest.fail(FIX)
    with sync_api.sync_playwright() as playwright:
        proxy = {"server": outside.address, "bypass": "127.0.0.1,*.example.org"}
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET, proxy=proxy)

        def context(**options: Any) -> BrowserContext:
            made = browser.new_context(viewport={"width": 1440, "height": 1000}, **options)
            made.set_default_timeout(30_000)
            return made  # type: ignore[no-any-return]

        yield context
        browser.close()
    assert outside.asked == [], "a page asked for something outside this machine"


@pytest.fixture
def browser(contexts: Callable[..., BrowserContext]) -> Iterator[Callable[..., Seen]]:
    """Open pages in browsers of their own, each of which asks this machine only."""
    opened: list[Seen] = []

    def open_page(address: str, **options: Any) -> Seen:
        seen = Seen(contexts(**options).new_page())
        seen.page.on("request", seen.note)
        seen.page.on("websocket", seen.note)
        seen.page.goto(address)
        opened.append(seen)
        return seen

    yield open_page
    asked = {urlsplit(url).hostname for seen in opened for url in seen.asked if not url.startswith(("data:", "blob:"))}
    assert asked
    assert [host for host in asked if not HERE.fullmatch(host or "")] == []


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    """Nothing of a proxy of the person's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.delenv(name, raising=False)
        yield
