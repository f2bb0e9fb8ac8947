"""A flow and its steps as a command runs them, told to the server that is named, and what an interruption leaves."""

from __future__ import annotations

import http.server
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ConfigDict

from tests.infra_.flow_runs import runs
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import killed_commands, server
from treadle.infra.orchestrator.runs import Runs
from treadle.tasks.errors import DataError, ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings

DEADLINE_SECONDS = 60.0


class Reference(BaseModel):
    """What steps hand each other."""

    model_config = ConfigDict(frozen=True)

    version: int


@pytest.fixture
def settings(home: Path, prefect_server: str) -> Settings:
    """A home whose flows report to the session's server."""
    return settings_.at(home)


def test_what_libraries_keep_is_kept_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR")
    orchestrator.prepare_client(settings_.at(home))
    assert all(os.environ[name].startswith(str(home)) for name in ("PREFECT_HOME", "MPLCONFIGDIR"))


class TestFlows:
    def test_a_result_comes_back_as_the_object_that_it_is(self, settings: Settings) -> None:
        from prefect import flow, task

        @task
        def step() -> Reference:
            return Reference(version=3)

        @flow
        def whole() -> Reference:
            return step()

        with orchestrator.flow_context(settings):
            assert whole() == Reference(version=3)

    def test_what_is_stored_is_json_even_an_exception(self, settings: Settings) -> None:
        from prefect import flow, task

        @task(persist_result=True)
        def step() -> Reference:
            return Reference(version=3)

        @task(persist_result=True)
        def broken() -> None:
            raise DataError("no rows", "bring some")

        @flow(persist_result=True)
        def whole() -> None:
            step()
            broken()

        with pytest.raises(DataError), orchestrator.flow_context(settings):
            whole()
        stored = list((server.server_folder(settings) / "storage").iterdir())
        assert stored
        assert all(path.read_bytes().startswith(b"{") for path in stored)

    def test_our_error_in_a_step_reaches_the_caller_as_itself_and_nothing_is_printed(
        self, settings: Settings, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from prefect import flow, task

        raised = DataError("no rows", "bring some")

        @task
        def step() -> None:
            raise raised

        @flow(name="breaks")
        def whole() -> None:
            step()

        with pytest.raises(DataError) as caught, orchestrator.flow_context(settings) as url:
            whole()
        assert caught.value is raised
        assert capfd.readouterr() == ("", "")
        assert runs(url, "breaks")[0].state_name == "Failed"

    def test_the_error_of_a_failed_flow_keeps_no_table_alive(self, settings: Settings) -> None:
        from prefect import flow

        class Table:
            pass

        tables = []

        def read() -> None:
            table = Table()
            tables.append(weakref.ref(table))
            raise ValueError("half a file")

        @flow
        def whole() -> None:
            table = Table()
            tables.append(weakref.ref(table))
            try:
                read()
            except ValueError as error:
                raise DataError("no rows") from error

        with pytest.raises(DataError) as caught, orchestrator.flow_context(settings):
            whole()
        assert caught.traceback
        assert [table() for table in tables] == [None, None]

    def test_a_step_is_retried_where_its_error_says_so(self, settings: Settings) -> None:
        from prefect import flow, task

        tries = []

        @task(
            retries=2,
            retry_delay_seconds=0,
            retry_condition_fn=lambda _task, _run, state: isinstance(
                state.result(raise_on_failure=False), ServiceError
            ),
        )
        def step() -> int:
            tries.append(1)
            if len(tries) < 2:
                raise ServiceError("away for a moment")
            return len(tries)

        @flow
        def whole() -> int:
            return step()

        with orchestrator.flow_context(settings):
            assert whole() == 2

    def test_our_log_lines_are_on_the_runs_page(self, settings: Settings) -> None:
        from prefect import flow
        from prefect.client.orchestration import get_client

        @flow(name="speaks")
        def whole() -> None:
            logging.getLogger("treadle.test").info("12 rows accepted")

        with orchestrator.flow_context(settings) as url:
            whole()
            [run] = runs(url, "speaks")
        with orchestrator.flow_context(settings), get_client(sync_client=True) as client:
            answer = client.request("POST", "/logs/filter", json={"logs": {"flow_run_id": {"any_": [str(run.id)]}}})
        assert "12 rows accepted" in [line["message"] for line in answer.json()]

    def test_our_log_lines_outside_a_run_harm_nobody(self, settings: Settings) -> None:
        with orchestrator.flow_context(settings):
            logging.getLogger("treadle.test").warning("between runs")

    def test_prefects_settings_are_as_before_afterwards(self, settings: Settings) -> None:
        from prefect.settings import get_current_settings

        before = get_current_settings()
        with orchestrator.flow_context(settings):
            assert get_current_settings() != before
        assert get_current_settings() == before
        assert not logging.getLogger("treadle").handlers

    def test_a_flow_costs_little(self, settings: Settings) -> None:
        from prefect import flow

        @flow
        def whole() -> None:
            pass

        with orchestrator.flow_context(settings):
            whole()
            costs = []
            for _ in range(3):
                start = time.perf_counter()
                whole()
                costs.append(time.perf_counter() - start)
        assert min(costs) < 0.8, "the heartbeat's thread, or 40 ms per request without TCP_NODELAY"


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from treadle.infra import orchestrator, settings
home = settings.at(Path(sys.argv[1]))
orchestrator.prepare_client(home)
from prefect import flow, task

@task
def step():
    print("at work", flush=True)
    time.sleep(60)

@flow(name=sys.argv[2])
def whole(home, pipeline):
    step()

with orchestrator.flow_context(home):
    whole(sys.argv[1], "clinic")
"""


def working(settings: Settings, name: str) -> subprocess.Popen[str]:
    """A process in the middle of a step of the flow called `name`."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(settings.home), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def status_of(settings: Settings, url: str, name: str) -> str:
    """The state in which `treadle status` shows the newest run of the flow called `name`."""
    dead = killed_commands.dead_commands(server.server_folder(settings))
    return Runs(url, settings.home, "treadle", dead).last([name])["clinic", name].state


class TestInterruptions:
    def test_ctrl_c_ends_a_step_at_once_and_its_run_as_crashed(self, settings: Settings) -> None:
        process = working(settings, "interrupted")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert time.monotonic() - start < 10
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert runs(settings.prefect_api_url, "interrupted")[0].state_name == "Crashed"

    def test_the_next_command_closes_the_run_of_one_that_was_killed(self, settings: Settings) -> None:
        process = working(settings, "killed")
        with orchestrator.flow_context(settings) as url:
            assert runs(url, "killed")[0].state_name == "Running", "a living command's run is left alone"
        assert status_of(settings, url, "killed") == "RUNNING"
        process.kill()
        process.communicate()
        assert status_of(settings, url, "killed") == "CRASHED", "without a command that closes it"
        with orchestrator.flow_context(settings) as url:
            assert runs(url, "killed")[0].state_name == "Crashed"
        assert not list((server.server_folder(settings) / "commands").iterdir())


class TestNamedServer:
    @pytest.mark.parametrize("url", ["http://127.0.0.1:{free}/api", "nonsense"])
    def test_one_that_does_not_answer_is_an_error_at_once(
        self, url: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            monkeypatch.setenv("PREFECT_API_URL", url.format(free=taken.getsockname()[1]))
        settings = settings_.at(home)
        start = time.monotonic()
        with pytest.raises(ServiceError, match="does not answer") as caught, orchestrator.flow_context(settings):
            pass
        assert "unset PREFECT_API_URL" in caught.value.fix
        assert time.monotonic() - start < 5
        assert orchestrator.server_state(settings).state is orchestrator.ServerPhase.UNREACHABLE

    @pytest.mark.parametrize(("health", "error"), [(b"<html>", "not a Prefect API"), (b"true", "refuses us: HTTP 401")])
    def test_what_is_no_prefect_api_or_wants_a_password_is_said(
        self, health: bytes, error: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from prefect import flow

        @flow
        def whole() -> None:
            pass

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path.endswith("/health") else 401)
                self.end_headers()
                self.wfile.write(health)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Page) as page:
            threading.Thread(target=page.serve_forever, daemon=True).start()
            monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{page.server_port}/api")
            with pytest.raises(ServiceError, match=error), orchestrator.flow_context(settings_.at(home)):
                whole()
            page.shutdown()

    def test_the_home_gets_no_server_of_its_own(self, settings: Settings, prefect_server: str) -> None:
        with orchestrator.flow_context(settings) as url:
            assert url == prefect_server
        assert not (server.server_folder(settings) / server.LOCK).exists()
        assert orchestrator.ui_url(settings) == prefect_server.removesuffix("/api")
        assert orchestrator.stop_servers(settings) == ()
