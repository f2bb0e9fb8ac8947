"""The Prefect server is never in the way: killed, replaced by another version, away."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import server
from treadle.infra.orchestrator.api import prefect_trouble
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle.infra.settings import Settings

DEADLINE_SECONDS = 60.0
PROGRAM = """
import logging, sys
from pathlib import Path
from treadle.infra import orchestrator, settings
logging.basicConfig(level=logging.INFO, format="%(message)s")
home = settings.at(Path(sys.argv[1]))
orchestrator.prepare_client(home)
from prefect import flow, task
from prefect.artifacts import create_link_artifact

@task
def step(number):
    return number

@flow
def inner():
    return step(7)

@flow(name="goes on")
def whole():
    step(0)
    print("at work", flush=True)
    sys.stdin.readline()
    for number in range(5):
        step(number)
    create_link_artifact(key="made-after", link="http://127.0.0.1/")
    return inner()

with orchestrator.flow_context(home) as url:
    assert whole() == 7
print("done", flush=True)
"""


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        threading.Event().wait(0.05)


def states(settings: Settings) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(server.server_folder(settings) / server.DATABASE)) as con:
        return con.execute(
            "SELECT f.name, r.state_type FROM flow_run r JOIN flow f ON f.id = r.flow_id ORDER BY 1"
        ).fetchall()


def at_work(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def test_a_run_goes_on_and_completes_when_its_server_is_killed(migrated: Settings) -> None:
    process = at_work(migrated.home)
    url, pid = orchestrator.server_state(migrated).url, orchestrator.server_state(migrated).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    out, err = process.communicate("go on\n", timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (0, "done\n"), err
    assert "started again" in err
    assert time.monotonic() - began < 45
    now = orchestrator.server_state(migrated)
    assert now.url == url
    assert now.pid != pid
    assert [state for name, state in states(migrated) if name in ("goes on", "inner")] == ["COMPLETED", "COMPLETED"]


@pytest.mark.slow
def test_process_and_server_killed_leave_nothing_in_the_way(migrated: Settings) -> None:
    process = at_work(migrated.home)
    process.kill()
    served = orchestrator.server_state(migrated).pid
    assert served
    os.kill(served, signal.SIGKILL)
    process.communicate()
    again = at_work(migrated.home)
    again.communicate("go on\n", timeout=DEADLINE_SECONDS)
    assert again.returncode == 0
    assert [state for name, state in states(migrated) if name == "goes on"] == ["CRASHED", "COMPLETED"]


def test_a_server_of_another_version_is_replaced_on_the_same_port(migrated: Settings) -> None:
    url, before = server.api_url(migrated), orchestrator.server_state(migrated).pid
    hint = server.server_folder(migrated) / server.HINT
    hint.write_text(json.dumps(json.loads(hint.read_text()) | {"prefect": "3.0.0"}))
    assert server.api_url(migrated) == url
    assert orchestrator.server_state(migrated).pid != before
    assert json.loads(hint.read_text())["prefect"] == server.prefect_version()
    assert server.api_url(migrated) == url, "and is then left alone"


@pytest.mark.slow
def test_a_named_server_that_goes_away_is_waited_for_and_the_person_is_told(
    migrated: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.api_url(migrated)
    other = tmp_path / "other"
    (other / "pipelines").mkdir(parents=True)
    monkeypatch.setenv("PREFECT_API_URL", url)
    process = at_work(other)
    orchestrator.stop_servers(migrated)
    began = time.monotonic()
    assert process.stderr is not None
    lines: list[str] = []
    while "does not answer" not in "".join(lines):
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    assert time.monotonic() - began < 10
    monkeypatch.delenv("PREFECT_API_URL")
    assert server.api_url(migrated) == url
    _, err = process.communicate("go on\n", timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["server.hint:before", "server.hint:after", "server.database:before", "server.database:after"]
)
def test_a_server_that_is_killed_at_birth_is_in_nobodys_way(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    settings = settings_.at(home)
    monkeypatch.setenv("TREADLE_FAILPOINT", place)
    with pytest.raises(ServiceError, match="did not start"):
        server.api_url(settings)
    monkeypatch.delenv("TREADLE_FAILPOINT")
    assert prefect_trouble(server.api_url(settings)) == ""
    orchestrator.stop_servers(settings)
