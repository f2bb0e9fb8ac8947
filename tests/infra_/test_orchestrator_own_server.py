"""A home's own Prefect server: one, found by its home, started again after a kill, and ended by `down`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.infra_.flow_runs import runs
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import server
from treadle.tasks.errors import HomeError, TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle.infra.settings import Settings

DEADLINE_SECONDS = 60.0


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


class TestOwnServer:
    def test_the_sessions_server_is_known_by_its_home(self, server_home: Settings) -> None:
        state = orchestrator.server_state(server_home)
        assert (state.state, state.own) == (orchestrator.ServerPhase.RUNNING, True)
        assert orchestrator.ui_url(server_home) + "/api" == state.url == server.api_url(server_home)

    def test_its_pages_are_in_its_own_folder_for_beside_prefects_code_it_may_not_write(
        self, server_home: Settings
    ) -> None:
        with urllib.request.urlopen(f"{orchestrator.ui_url(server_home)}/", timeout=10) as answer:
            shown = answer.read()
        assert shown == (server.server_folder(server_home) / "pages" / "v1" / "index.html").read_bytes()

    def test_a_home_that_never_had_one_has_none(self, home: Path) -> None:
        settings = settings_.at(home)
        assert orchestrator.server_state(settings).state is orchestrator.ServerPhase.STOPPED
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
        first = orchestrator.server_state(migrated)
        assert server.api_url(migrated) == first.url, "the next command uses it"
        assert first.pid is not None
        assert os.getsid(first.pid) != os.getsid(0), "Ctrl-C does not reach it"
        copied = settings_.at(shutil.copytree(migrated.home, tmp_path / "copy"))
        assert orchestrator.server_state(copied).state is orchestrator.ServerPhase.STOPPED
        assert orchestrator.ui_url(copied) == ""
        assert orchestrator.stop_servers(copied) == ()
        assert orchestrator.server_state(migrated) == first
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: orchestrator.server_state(migrated).state is orchestrator.ServerPhase.STOPPED)
        assert server.api_url(migrated) == first.url
        assert orchestrator.server_state(migrated).pid != first.pid

    def test_a_home_under_the_state_folder_takes_another_port_than_a_taken_one_and_ends_by_down(
        self, migrated: Settings
    ) -> None:
        demo = settings_.at(migrated.state / "demo")
        (demo.home / "pipelines").mkdir(parents=True)
        server.server_folder(demo).parent.mkdir()
        server.server_folder(migrated).rename(server.server_folder(demo))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            hint = {"home": str(demo.home), "port": port, "pid": 1}
            (server.server_folder(demo) / server.HINT).write_text(json.dumps(hint))
            assert str(port) not in server.api_url(demo)
        assert orchestrator.stop_servers(migrated) == (str(demo.home),)
        assert orchestrator.server_state(demo).state is orchestrator.ServerPhase.STOPPED
        assert orchestrator.stop_servers(migrated) == ()

    def test_a_damaged_database_is_kept_aside_and_a_moved_homes_server_ends(
        self, migrated: Settings, tmp_path: Path
    ) -> None:
        place = server.server_folder(migrated)
        (place / server.DATABASE).write_bytes(b"not a database" * 1000)
        assert runs(server.api_url(migrated), "any") == []
        assert len(list(place.glob("*.damaged-*"))) == 1
        moved = settings_.at(migrated.home.rename(tmp_path / "moved"))
        assert orchestrator.server_state(moved).state is not orchestrator.ServerPhase.RUNNING
        until(lambda: orchestrator.server_state(moved).state is orchestrator.ServerPhase.STOPPED)

    @pytest.mark.slow
    def test_half_a_database_never_bears_the_name(self, home: Path) -> None:
        settings = settings_.at(home)
        starting = Background(server.api_url, settings)
        until((server.server_folder(settings) / "new-prefect.db").exists)
        served = orchestrator.server_state(settings).pid
        assert served
        os.kill(served, signal.SIGKILL)
        assert starting.error() is None, "a server that was killed as it started is started once more"
        assert runs(orchestrator.ui_url(settings) + "/api", "any") == []
        orchestrator.stop_servers(settings)

    def test_a_server_that_has_not_said_who_it_is_ends_by_down_and_we_do_not(self, home: Path) -> None:
        lock = server.server_folder(settings_.at(home)) / server.LOCK
        lock.parent.mkdir(parents=True)
        born = "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
        named = "; print('held', flush=True); time.sleep(0.5); f.write(str(os.getpid())); f.flush(); time.sleep(60)"
        ending = "import sys; from pathlib import Path; from treadle.infra import orchestrator, settings"
        ending += "; print(orchestrator.stop_servers(settings.at(Path(sys.argv[1]))))"
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
