from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.infra import settings as settings_
from treadle.infra import supervisor
from treadle.infra.processes import process
from treadle.infra.supervisor import keep_alive, worker_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLD = """
import signal, sys, time
from pathlib import Path
from treadle.infra.processes import process
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with process.hold_process_lock(Path(sys.argv[1]), Path("/somewhere")) as ours:
    if sys.argv[2] == "empty":  # it is about to write its record again, as earlier versions did
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(Path(sys.argv[1]).write_text("")))
        print(ours, flush=True)
        while not stop:
            time.sleep(0.05)
        time.sleep(1)
        sys.exit(7)
    print(ours, flush=True)
    time.sleep(60)
"""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        threading.Event().wait(0.05)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "up" / "one.lock"


@pytest.fixture
def another(lock: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Another process that holds the lock; what is left of it is ended."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(how: str = "") -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([sys.executable, "-c", HOLD, str(lock), how], stdout=subprocess.PIPE))
        until(lambda: (known := process.holder(lock)) is not None and known.home != "")
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


def test_of_two_that_would_hold_a_lock_one_does(lock: Path, tmp_path: Path) -> None:
    assert process.holder(lock) is None
    with process.hold_process_lock(lock, tmp_path) as first, process.hold_process_lock(lock, tmp_path) as second:
        assert (first, second) == (True, False)
        assert process.holder(lock) == process.ProcessRecord(os.getpid(), str(tmp_path))
    assert process.holder(lock) is None


def test_whoever_was_killed_holds_nothing_and_what_it_said_stays(
    lock: Path, another: Callable[..., subprocess.Popen[bytes]]
) -> None:
    one = another()
    one.kill()
    until(lambda: process.holder(lock) is None)
    assert process.last_record(lock).pid == one.pid


@pytest.mark.parametrize(("how", "by"), [("", signal.SIGTERM), ("deaf", signal.SIGKILL)])
def test_a_holder_is_ended_also_where_it_does_not_listen(
    lock: Path, another: Callable[..., subprocess.Popen[bytes]], how: str, by: signal.Signals
) -> None:
    one = another(how)
    assert process.end_holder_of(lock, grace_seconds=1.0)
    assert one.wait(10) == -by
    assert not process.end_holder_of(lock)


def test_a_holder_whose_record_is_not_there_for_a_moment_is_waited_for(
    lock: Path, another: Callable[..., subprocess.Popen[bytes]]
) -> None:
    one = another("empty")
    assert one.stdout is not None
    one.stdout.readline()
    assert process.end_holder_of(lock)
    assert process.holder(lock) is None
    assert one.wait(1) == 7


def test_a_reader_finds_a_record_at_every_moment(lock: Path, tmp_path: Path) -> None:
    short, long = process.ProcessRecord(os.getpid()), process.ProcessRecord(os.getpid(), str(tmp_path / ("x" * 3000)))
    stop, found = threading.Event(), set()
    with process.hold_process_lock(lock, tmp_path), lock.open("r+") as file:

        def write() -> None:
            while not stop.is_set():
                process.write_record(file, long)
                process.write_record(file, short)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3000):
            found.add(process.last_record(lock).pid)
        stop.set()
        writer.join()
    assert found == {os.getpid()}


def test_what_ends_again_and_again_is_started_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(keep_alive.time, "monotonic", lambda: now)
    pace, starts = keep_alive.RestartBackoff(), []
    for now in (1000.0 + tenth / 10 for tenth in range(3000)):
        if pace.due():
            starts.append(now)
    pauses = [round(late - early, 1) for early, late in itertools.pairwise(starts)]
    assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert pauses[6:] == [60.0] * len(pauses[6:])
    now += keep_alive.STEADY_SECONDS + 1
    assert pace.due()
    now += 1.0
    assert pace.due(), "it had lived for long"


def test_logs_of_living_processes_are_kept_within_bounds(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (keep_alive.LOG_BYTES + 1))
        keep_alive._trim(log)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "worker.old.log").stat().st_size == keep_alive.LOG_BYTES + 1


def test_passwords_of_a_server_are_not_written_down(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://me:secret@127.0.0.1:1/api")
    settings = settings_.at(home)
    keeper = supervisor.Keeper(settings)
    keeper.worker.keep(keeper.api())
    try:
        until(lambda: (known := process.holder(keeper.worker.lock)) is not None and known.home != "")
        assert "secret" not in keeper.worker.lock.read_text()
        keeper.worker.keep(keeper.api())
        assert keeper.worker.lock.exists()
    finally:
        keeper.stop()
    assert process.holder(keeper.worker.lock) is None


def test_down_where_nothing_is_up_makes_nothing(home: Path) -> None:
    assert not supervisor.stop_up(settings_.at(home))
    assert not (home / ".treadle").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_what_a_worker_keeps_for_a_while_is_for_us_alone_outside_the_project_and_goes(home: Path) -> None:
    settings = settings_.at(home)
    place = worker_files.made(settings)
    assert not place.is_relative_to(home)
    assert place.stat().st_mode & 0o777 == 0o700
    (place / "left").write_text("by one that was killed")
    assert worker_files.made(settings) == place
    assert list(place.iterdir()) == []
    worker_files.clear(settings)
    assert not place.exists()


@pytest.mark.parametrize("theirs", ["a link", "open to all"])
def test_a_name_that_may_be_somebody_elses_is_neither_used_nor_cleared(
    home: Path, tmp_path: Path, theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    settings = settings_.at(home)
    place = worker_files.place(settings)
    if theirs == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o755)
    (place / "precious").write_text("not ours")
    other = worker_files.made(settings)
    assert other not in (place, place.resolve())
    assert other.stat().st_mode & 0o777 == 0o700
    worker_files.clear(settings)
    assert (place / "precious").read_text() == "not ours"


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    text = Path(supervisor.__file__).parents[1].joinpath("deploy", "treadle.service").read_text()
    treadle = Path(sys.executable).with_name("treadle")
    unit = tmp_path / "treadle.service"
    unit.write_text(text.replace("%h/treadle/.venv/bin/treadle", str(treadle)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
        env={"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    assert text.count("%h/treadle/.venv/bin/treadle") == 2
