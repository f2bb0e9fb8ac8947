from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from treadle.infra.databases import sqlite

REPOSITORY = Path(__file__).parents[2]


def build(aside: Path) -> None:
    with closing(sqlite3.connect(aside)) as con:
        con.execute("CREATE TABLE whole (x)")


def tables_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as con:
        return [name for (name,) in con.execute("SELECT name FROM sqlite_master")]


def test_a_database_is_made_once(tmp_path: Path) -> None:
    path, built = tmp_path / "deep" / "x.db", []

    def counted(aside: Path) -> None:
        built.append(aside)
        build(aside)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: sqlite.make(path, counted), range(8)))
    assert tables_of(path) == ["whole"]
    assert len(built) == 1
    assert not built[0].exists()


def test_what_fails_leaves_no_database_and_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    def fail(aside: Path) -> None:
        build(aside)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        sqlite.make(path, fail)
    assert not path.exists()
    sqlite.make(path, build)
    assert tables_of(path) == ["whole"]


def test_a_kill_in_the_middle_leaves_no_database_and_the_next_start_makes_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    script = f"""
        import os, signal, sqlite3
        from pathlib import Path
        from treadle.infra.databases import sqlite
        def dying(aside):
            con = sqlite3.connect(aside)
            con.execute("CREATE TABLE half (x)")
            con.execute("BEGIN")
            con.execute("INSERT INTO half VALUES (1)")
            os.kill(os.getpid(), signal.SIGKILL)
        sqlite.make(Path({str(path)!r}), dying)
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, check=False)
    assert died.returncode == -signal.SIGKILL
    assert not path.exists()
    sqlite.make(path, build)
    assert tables_of(path) == ["whole"]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////a b/x.db", Path("/a b/x.db")),
        ("sqlite:///x.db", Path("x.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://me:secret@host/db", None),
    ],
)
def test_only_urls_of_sqlite_files_name_a_file(url: str, file: Path | None) -> None:
    assert sqlite.file_of(url) == file
