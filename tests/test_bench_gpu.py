"""The GPU's benchmark runs where there is none, with nothing but `tasks/`, and finds that all is as it must be."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench import gpu

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.gpu_ground import Bench

PARTS = {
    "parity": "parity",
    "speed": "speed",
    "matrix": "matrices",
    "search": "search",
    "out of memory": "out_of_memory",
}
"""Each part of the table, with the function that measures it."""

PROGRAM = """
import sys
from tests.bench import gpu
code = gpu.main(["--cpu-only", "--out", sys.argv[1]])
outer = {"prefect", "mlflow", "great_expectations", "duckdb", "sqlalchemy", "treadle.flows", "treadle.infra"}
print(sorted(outer & set(sys.modules)))
sys.exit(code)
"""


def test_it_runs_small_on_the_cpu_and_needs_only_tasks(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = subprocess.run([sys.executable, "-c", PROGRAM, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "on the CPU, small: asked to"
    assert lines[-1] == "[]"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {one["part"] for one in found["findings"]} == {*PARTS, "warnings"}
    assert len(found["findings"]) == sum(line.startswith("ok ") for line in lines)
    assert found["machine"]["device"] == "cpu"


@pytest.mark.parametrize("broken", PARTS)
def test_a_part_that_raises_is_said_and_stops_no_other(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(part: str) -> object:
        def work(bench: Bench, *_: object) -> None:
            if part == broken:
                raise RuntimeError("oops")
            bench.add(part, "measured", {})

        return work

    for part, name in PARTS.items():
        monkeypatch.setattr(gpu, name, measured(part))
    code = gpu.main(["--cpu-only", "--out", str(tmp_path / "bench.json")])
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["findings"]
    assert code == 1
    assert {one["part"]: one["note"] for one in found if not one["ok"]} == {broken: "RuntimeError: oops"}
    assert len(found) == len(PARTS) + 1


def test_a_warning_of_devices_that_do_not_match_is_not_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    def warn(*_: object) -> None:
        warnings.warn("Falling back to prediction using DMatrix due to mismatched devices.", UserWarning, stacklevel=1)

    for name in ("speed", "matrices", "search", "out_of_memory"):
        monkeypatch.setattr(gpu, name, lambda *_: None)
    monkeypatch.setattr(gpu, "parity", warn)
    assert gpu.main(["--cpu-only", "--out", str(tmp_path / "bench.json")]) == 1
