from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from treadle.flows.context import timings

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = """
import json, time
from treadle.flows.context import timings
timings.start_timing()

@timings.timed("tune")
def tune():
    spin(0.2)
    with timings.timed("fit"):
        spin(0.1)
    import statistics

def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass

with timings.timed("Prefect"):
    tune()
print(json.dumps([timings.seconds_by_part(), time.clock_gettime(time.CLOCK_BOOTTIME)]))
"""


def test_a_moment_belongs_to_the_innermost_part_and_all_add_up() -> None:
    done = subprocess.run([sys.executable, "-c", SECONDS], capture_output=True, text=True, check=True)
    seconds, _ = json.loads(done.stdout)
    assert list(seconds) == list(timings.PARTS)
    assert seconds["tune"] == pytest.approx(0.2, abs=0.05)
    assert seconds["fit"] == pytest.approx(0.1, abs=0.05)
    assert seconds["imports"] > 0
    assert seconds["Prefect"] < 0.05


def test_nothing_is_measured_unasked() -> None:
    with timings.timed("tune"):
        assert timings.seconds_by_part() is None


def test_train_tells_where_its_time_went(home: Path, prefect_server: str) -> None:
    project(home, tumours()[:200], "Malignant")
    command = [sys.executable, "-m", "treadle.flows.cli", "train", "--trials", "1", "--timings", "--json"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)["timings"]
    assert list(told) == list(timings.PARTS)
    assert all(told[part] > 0 for part in ("imports", "server", "ingest", "GX", "tune", "fit", "package", "report"))
