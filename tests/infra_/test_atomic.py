from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from treadle.infra.files import atomic
from treadle.infra.files.atomic import replacing, write_atomically
from treadle.infra.files.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_text_and_bytes_are_written_in_folders_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "é.json"
    assert write_atomically(path, "naïve").read_bytes() == "naïve".encode()
    assert write_atomically(path, b"\x00").read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_the_rights_of_the_former_file_are_kept_from_the_first_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("former")
    path.chmod(0o600)
    with replacing(path) as aside:
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        aside.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_an_error_leaves_the_former_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "x", "former")
    with pytest.raises(TypeError), replacing(path) as aside:
        aside.write_text(None)  # type: ignore[arg-type]
    assert (path.read_text(), list(tmp_path.iterdir())) == ("former", [path])


def test_a_kill_leaves_the_former_file_and_the_next_writer_clears_up(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "x", "former")
    script = """
import os, signal, sys
from pathlib import Path
from treadle.infra.files.atomic import replacing
with replacing(Path(sys.argv[1])) as aside:
    aside.write_text("ne")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -9
    assert path.read_text() == "former"
    with replacing(path) as aside:
        assert aside.read_bytes() == b""
        aside.write_text("new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_the_content_is_on_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "x", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append(os.readlink(f"/proc/self/fd/{descriptor}")))

    @contextmanager
    def renaming() -> Iterator[None]:
        order.append("rename")
        yield

    with replacing(path, renaming()) as aside:
        aside.write_text("new")
    assert order == [str(aside), "rename", str(tmp_path)]


def test_a_writer_that_wakes_up_late_disturbs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second writer stands for a process that took over while the first one slept."""
    path = tmp_path / "x"
    late = replacing(path)
    slept = late.__enter__()
    slept.write_text("of the first")
    monkeypatch.setattr(os, "getpid", os.getppid)
    with replacing(path) as aside:
        assert aside != slept
        aside.write_text("of the second")
        assert not late.__exit__(RuntimeError, RuntimeError("it is fenced off"), None)
    assert path.read_text() == "of the second"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_file_stays(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    machine = atomic._owner().rpartition("-")[0]
    abandoned = [tmp_path / ".x.part", tmp_path / f".x.{machine}-{killed.pid}.part", tmp_path / ".x.other-7.part"]
    for one in abandoned:
        one.touch()
    os.utime(abandoned[-1], (0, 0))
    living = [tmp_path / f".x.{machine}-{os.getppid()}.part", tmp_path / ".x.other-8.part"]
    others = [tmp_path / f".xy.{machine}-{killed.pid}.part", tmp_path / ".x.y.part"]
    for one in (*living, *others):
        one.touch()
    write_atomically(tmp_path / "x", "new")
    assert sorted(tmp_path.iterdir()) == sorted([*living, *others, tmp_path / "x"])


def test_a_file_without_the_right_to_write_is_replaced_and_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o444)
    write_atomically(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o444)


def test_files_of_a_run_that_can_be_made_again_are_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync takes tens of milliseconds on a busy disk, and a training writes dozens of such files."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    bench = Workbench(tmp_path)
    bench.put("value.json", 3, int)
    bench.put_table("rows.arrow", pa.table({"x": [1]}))
    bench.put_text("page.html", "text")
    assert not synced
    write_atomically(tmp_path / "note", "text")
    assert synced
