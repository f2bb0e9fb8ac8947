"""A home that is up, seen from other machines: nothing by default, and only by the login where that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.addresses import listening, other_addresses, reached
from tests.home_up import SCORED_SECONDS, kept, processes, until
from tests.projects import inbox, prefect_database, tumours
from tests.worker import treadle
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator.api import requires_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOGIN = "ada:correct-horse-battery"


@pytest.fixture
def place(clinic: tuple[Settings, PipelineConfig], server_home: Settings) -> Iterator[Settings]:
    """A home with a champion; nothing of it is left at work."""
    settings = clinic[0]
    prefect_database(settings.home, server_home)
    yield settings
    treadle(settings.home, "down")
    assert processes(settings.home) == {}


def ports(home: Path) -> dict[int, bool]:
    """Every port on which a process of the home listens, and whether only loopback reaches it there."""
    found: dict[int, bool] = {}
    for pid in processes(home):
        with suppress(OSError):
            found |= listening(pid)
    return found


def drop(home: Path, name: str, rows: int) -> None:
    """Let rows without a label arrive."""
    inbox(home).mkdir(parents=True, exist_ok=True)
    table = tumours().drop(columns=["Malignant"]).head(rows)
    table["Tumour ID"] = f"{name} " + table["Tumour ID"]
    table.to_csv(inbox(home) / f"{name}.csv", index=False)


def scored(home: Path, rows: int) -> bool:
    """Whether the newest run of `score` scored so many rows."""
    (pipeline,) = treadle(home, "status")["pipelines"]
    return any(work["work"] == "score" and f"{rows} rows scored" in work["message"] for work in pipeline["work"])


def test_by_default_no_port_is_reached_from_another_machine(place: Settings) -> None:
    treadle(place.home, "up", "--detach")
    until(lambda: "worker" in kept(place))
    drop(place.home, "monday", 30)
    until(lambda: scored(place.home, 30), SCORED_SECONDS)
    found = ports(place.home)
    assert len(found) >= 2
    assert all(found.values())
    for port in found:
        assert reached("127.0.0.1", port)
        assert not any(reached(address, port) for address in other_addresses())


def test_beyond_loopback_up_needs_a_login_and_works_with_it(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_HOST", "0.0.0.0")
    refused = subprocess.run(
        [sys.executable, "-P", "-m", "treadle.flows.cli", "up", "--detach"],
        env={**os.environ, "TREADLE_HOME": str(place.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "TREADLE_LOGIN" in refused.stderr
    assert processes(place.home) == {}

    monkeypatch.setenv("TREADLE_LOGIN", LOGIN)
    result = treadle(place.home, "up", "--detach")
    drop(place.home, "monday", 30)
    until(lambda: scored(place.home, 30), SCORED_SECONDS)
    for page, path in ((result["prefect"], "/api/admin/version"), (result["mlflow"], "/version")):
        for address in ("127.0.0.1", *other_addresses()):
            assert requires_login(page.replace("127.0.0.1", address) + path, LOGIN)

    password = LOGIN.partition(":")[2]
    assert [command for command in processes(place.home).values() if password in command] == []
    files = [path for path in place.home.rglob("*") if path.is_file()]
    assert [path for path in files if password.encode() in path.read_bytes()] == []

    monkeypatch.delenv("TREADLE_LOGIN")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{orchestrator.ui_url(settings_.at(place.home))}/api/admin/version", timeout=5)
    monkeypatch.setenv("TREADLE_LOGIN", LOGIN.replace("battery", "staples"))
    other = subprocess.run(
        [sys.executable, "-P", "-m", "treadle.flows.cli", "up"],
        env={**os.environ, "TREADLE_HOME": str(place.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 2
    assert "another TREADLE_HOST or TREADLE_LOGIN" in other.stderr
