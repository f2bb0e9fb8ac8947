from __future__ import annotations

import http.server
import json
import logging
import os
import shutil
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

from infra import orchestrator
from infra import settings as settings_
from infra.orchestrator import server
from tasks.errors import DataError, HomeError, ServiceError, TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun

    from infra.settings import Settings

DEADLINE_SECONDS = 60.0


class Reference(BaseModel):
    """What steps hand each other."""

    model_config = ConfigDict(frozen=True)

    version: int


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        threading.Event().wait(0.05)


class Background(threading.Thread):
    """`call(settings)` in a thread, whose error is wanted."""

    def __init__(self, call: Callable[[Settings], str], settings: Settings) -> None:
        super().__init__()
        self._call, self._settings = call, settings
        self._error: TreadleError | None = None
        self.start()

    def run(self) -> None:
        try:
            self._call(self._settings)
        except TreadleError as error:
            self._error = error

    def error(self) -> TreadleError | None:
        self.join()
        return self._error


def runs(url: str, name: str) -> list[FlowRun]:
    """The runs of the flow called `name`, newest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = FlowFilter.model_validate({"name": {"any_": [name]}})
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_filter=wanted)


@pytest.fixture
def settings(home: Path, prefect_server: str) -> Settings:
    """A home whose flows report to the session's server."""
    return settings_.at(home)


def test_what_libraries_keep_is_kept_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR")
    orchestrator.prepare(settings_.at(home))
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
        stored = list((server.folder(settings) / "storage").iterdir())
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
from infra import orchestrator, settings
home = settings.at(Path(sys.argv[1]))
orchestrator.prepare(home)
from prefect import flow, task

@task
def step():
    print("at work", flush=True)
    time.sleep(60)

@flow(name=sys.argv[2])
def whole():
    step()

with orchestrator.flow_context(home):
    whole()
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
        process.kill()
        process.communicate()
        with orchestrator.flow_context(settings) as url:
            assert runs(url, "killed")[0].state_name == "Crashed"
        assert not list((server.folder(settings) / "commands").iterdir())


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
        assert "unset PREFECT_API_URL" in caught.value.way_out
        assert time.monotonic() - start < 5
        assert orchestrator.state(settings).state is orchestrator.State.UNREACHABLE

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
        assert not (server.folder(settings) / server.LOCK).exists()
        assert orchestrator.ui_url(settings) == prefect_server.removesuffix("/api")
        assert orchestrator.down(settings) == ()


class TestOwnServer:
    def test_the_sessions_server_is_known_by_its_home(self, server_home: Settings) -> None:
        state = orchestrator.state(server_home)
        assert (state.state, state.own) == (orchestrator.State.RUNNING, True)
        assert orchestrator.ui_url(server_home) + "/api" == state.url == server.api_url(server_home)

    def test_a_home_that_never_had_one_has_none(self, home: Path) -> None:
        settings = settings_.at(home)
        assert orchestrator.state(settings).state is orchestrator.State.STOPPED
        assert orchestrator.ui_url(settings) == ""
        assert not settings.state.exists(), "asking leaves no trace"

    def test_commands_at_once_start_one_server_and_after_a_kill_another_takes_its_port(
        self, migrated: Settings, tmp_path: Path
    ) -> None:
        urls: list[str] = []
        commands = [threading.Thread(target=lambda: urls.append(server.api_url(migrated))) for _ in range(3)]
        for command in commands:
            command.start()
        for command in commands:
            command.join()
        assert len(set(urls)) == 1
        first = orchestrator.state(migrated)
        assert server.api_url(migrated) == first.url, "the next command uses it"
        assert first.pid is not None
        assert os.getsid(first.pid) != os.getsid(0), "Ctrl-C does not reach it"
        copied = settings_.at(shutil.copytree(migrated.home, tmp_path / "copy"))
        assert orchestrator.state(copied).state is orchestrator.State.STOPPED
        assert orchestrator.ui_url(copied) == ""
        assert orchestrator.down(copied) == ()
        assert orchestrator.state(migrated) == first
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: orchestrator.state(migrated).state is orchestrator.State.STOPPED)
        assert server.api_url(migrated) == first.url
        assert orchestrator.state(migrated).pid != first.pid

    def test_a_home_under_the_state_folder_takes_another_port_than_a_taken_one_and_ends_by_down(
        self, migrated: Settings
    ) -> None:
        demo = settings_.at(migrated.state / "demo")
        (demo.home / "pipelines").mkdir(parents=True)
        server.folder(demo).parent.mkdir()
        server.folder(migrated).rename(server.folder(demo))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            hint = {"home": str(demo.home), "port": port, "pid": 1}
            (server.folder(demo) / server.HINT).write_text(json.dumps(hint))
            assert str(port) not in server.api_url(demo)
        assert orchestrator.down(migrated) == (str(demo.home),)
        assert orchestrator.state(demo).state is orchestrator.State.STOPPED
        assert orchestrator.down(migrated) == ()

    def test_a_damaged_database_is_kept_aside_and_a_moved_homes_server_ends(
        self, migrated: Settings, tmp_path: Path
    ) -> None:
        place = server.folder(migrated)
        (place / server.DATABASE).write_bytes(b"not a database" * 1000)
        assert runs(server.api_url(migrated), "any") == []
        assert len(list(place.glob("*.damaged-*"))) == 1
        moved = settings_.at(migrated.home.rename(tmp_path / "moved"))
        assert orchestrator.state(moved).state is not orchestrator.State.RUNNING
        until(lambda: orchestrator.state(moved).state is orchestrator.State.STOPPED)

    def test_half_a_database_never_bears_the_name(self, home: Path) -> None:
        settings = settings_.at(home)
        starting = Background(server.api_url, settings)
        until((server.folder(settings) / "new-prefect.db").exists)
        served = orchestrator.state(settings).pid
        assert served
        os.kill(served, signal.SIGKILL)
        assert starting.error() is None, "a server that was killed as it started is started once more"
        assert runs(orchestrator.ui_url(settings) + "/api", "any") == []
        orchestrator.down(settings)

    def test_a_server_that_has_not_said_who_it_is_ends_by_down_and_we_do_not(self, home: Path) -> None:
        lock = server.folder(settings_.at(home)) / server.LOCK
        lock.parent.mkdir(parents=True)
        born = "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
        named = "; print('held', flush=True); time.sleep(0.5); f.write(str(os.getpid())); f.flush(); time.sleep(60)"
        ending = "import sys; from pathlib import Path; from infra import orchestrator, settings"
        ending += "; print(orchestrator.down(settings.at(Path(sys.argv[1]))))"
        with subprocess.Popen([sys.executable, "-c", born + named, lock], stdout=subprocess.PIPE, text=True) as newborn:
            assert newborn.stdout is not None
            assert newborn.stdout.readline() == "held\n"
            command = [sys.executable, "-W", "ignore", "-c", ending, home]
            ended = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False)
            assert (ended.returncode, ended.stdout) == (0, f"('{home}',)\n"), ended.stderr
            assert newborn.wait(10) == -signal.SIGTERM

    def test_a_home_without_rights_is_an_error_of_ours(self, home: Path) -> None:
        (home / ".treadle").write_text("a file where the folder should be")
        with pytest.raises(HomeError, match="cannot be written"):
            server.api_url(settings_.at(home))
