"""Scratch databases: in bounds, and gone with their block or with their dead owner."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from treadle.infra.tables import connect

REPOSITORY = Path(__file__).parents[2]


def test_scratch_folders_of_the_dead_go_whenever_they_died_and_those_of_the_living_stay(tmp_path: Path) -> None:
    (tmp_path / "before its lock").mkdir()
    (tmp_path / "while it cleared up").mkdir()
    (tmp_path / "while it cleared up" / "scratch.duckdb").touch()
    with connect(tmp_path):
        (living,) = tmp_path.glob("*/")
        with connect(tmp_path):
            assert living in tmp_path.glob("*/")
    assert list(tmp_path.glob("*/")) == []


def test_a_scratch_database_goes_with_its_block_and_with_its_dead_owner(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from treadle.infra.tables import connect
        from pathlib import Path
        with connect(Path({str(tmp_path)!r})) as con:
            con.execute("CREATE TABLE t AS SELECT * FROM range(1000)")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, check=False)
    left = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(left) == 1
    with connect(tmp_path), connect(tmp_path):
        assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
        assert not left[0].exists()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_scratch_work_is_in_utc_and_within_bounds(tmp_path: Path) -> None:
    with connect(tmp_path) as con:
        [(zone, memory)] = con.sql("SELECT current_setting('TimeZone'), current_setting('memory_limit')").fetchall()
    assert zone == "UTC"
    assert memory.endswith("MiB") or memory == "2.0 GiB"
