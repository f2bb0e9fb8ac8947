from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.infra.processes import system

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = "a boot"


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Where processes are read: /proc, or `ps` as on a system without /proc."""
    if request.param == "ps":
        monkeypatch.setattr(system, "PROCESSES", tmp_path / "no /proc")
        monkeypatch.setattr(system, "machine_identity", lambda: MACHINE)
    return str(request.param)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home = ours"


@pytest.fixture
def run(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a flow run of the home."""
    environment = os.environ | {"PREFECT__FLOW_RUN_ID": "run-1", "TREADLE_HOME": str(home), "ZZ": "two\nlines"}
    script = "print(flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.usefixtures("source")
def test_the_runs_of_a_home_are_found_and_no_other_homes(home: Path, run: subprocess.Popen[bytes]) -> None:
    assert system.run_processes(home) == {"run-1": run.pid}
    assert system.run_processes(Path(str(home).removesuffix(" = ours"))) == {}
    run.kill()
    run.wait()
    assert system.run_processes(home) == {}


@pytest.mark.usefixtures("source")
def test_a_process_has_ended_when_it_was_killed_also_before_its_parent_asks(run: subprocess.Popen[bytes]) -> None:
    identity = system.process_identity(run.pid)
    assert not system.has_ended(identity)
    run.kill()
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
    assert system.has_ended(identity)
    run.wait()
    assert system.has_ended(identity)


@pytest.mark.usefixtures("source")
def test_a_process_id_that_was_given_again_is_another_process() -> None:
    mine = system.process_identity(os.getpid())
    assert not system.has_ended(mine)
    assert system.has_ended(f"{mine}0")


@pytest.mark.usefixtures("source")
def test_of_other_machines_nothing_is_known() -> None:
    assert not system.has_ended(f"elsewhere {os.getpid()}/1")
    assert not system.has_ended(f" {os.getpid()}/1")


@pytest.mark.parametrize("printed", ["", f"{os.getpid()} python -m treadle\n"], ids=["nothing", "no environment"])
def test_a_system_that_shows_no_environments_is_no_home_without_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, printed: str
) -> None:
    monkeypatch.setattr(system, "PROCESSES", tmp_path / "no /proc")
    monkeypatch.setattr(system, "_output", lambda *_command: printed)
    with pytest.raises(OSError, match="environment"):
        system.run_processes(tmp_path)


def test_a_machine_without_proc_and_sysctl_has_no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert system.machine_identity()
    monkeypatch.setattr(system, "PROCESSES", tmp_path / "no /proc")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system.machine_identity() == ""
