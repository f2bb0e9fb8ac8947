from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from treadle.infra.files.atomic import replacing, write_atomically

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
    assert order == [str(tmp_path / ".x.part"), "rename", str(tmp_path)]
