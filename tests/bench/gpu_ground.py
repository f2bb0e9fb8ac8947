"""What the GPU's benchmark stands on: its table of numbers, its clock, the GPU's memory, and what it writes."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from treadle.tasks.booster import MatrixRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COLUMNS = 30
NAMES = tuple(f"x{number}" for number in range(COLUMNS))


@dataclass(frozen=True)
class Finding:
    """One line of the table: figures by name, whether they are as they must be, and what to know."""

    part: str
    case: str
    figures: dict[str, float]
    ok: bool = True
    note: str = ""


@dataclass
class Bench:
    """What is measured on and written to: the device, the sizes of the tables in rows, and the rounds to time.

    `start` is how many seconds the device took to start, `deadline` when to end, by the monotonic clock.
    """

    device: str
    sizes: tuple[int, ...]
    rounds: int
    start: float
    deadline: float
    out: Path
    findings: list[Finding] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def add(self, part: str, case: str, figures: dict[str, float], *, ok: bool = True, note: str = "") -> None:
        """A finding, without the figures that could not be had."""
        self.findings.append(Finding(part, case, {k: v for k, v in figures.items() if math.isfinite(v)}, ok, note))


def table(rows: int, seed: int = 0, task: str = "binary") -> MatrixRows:
    """Rows of `COLUMNS` numbers, of one 40% missing; eight columns and two products of them say what the target is."""
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((rows, COLUMNS), dtype=np.float32)
    signal = X[:, :8] @ np.linspace(1, 0.2, 8, dtype=np.float32) + X[:, 0] * X[:, 1] - X[:, 2] * X[:, 3]
    signal += draw.standard_normal(rows, dtype=np.float32)
    X[draw.random(rows) < 0.4, 1] = np.nan
    targets = {"binary": signal > 0.5, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}
    return MatrixRows(X, targets[task].astype(np.float32))


class GpuMemory(threading.Thread):
    """The GPU's memory in use, from a running nvidia-smi: the most since `begin`, in MB; NaN without one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = float("nan")
        self.program = None
        if shutil.which("nvidia-smi"):
            query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0", "-lms", "50"]
            self.program = subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.start()

    def run(self) -> None:
        assert self.program is not None
        assert self.program.stdout is not None
        for line in self.program.stdout:
            if line.strip().isdigit():
                self.most = max(float(line), self.most) if self.most == self.most else float(line)

    def begin(self) -> None:
        self.most = float("nan")

    def end(self) -> None:
        if self.program is not None:
            self.program.terminate()
            self.program.wait()


@contextmanager
def seconds() -> Iterator[Callable[[], float]]:
    """A clock that stands still once the block has ended."""
    began, ended = time.perf_counter(), 0.0
    yield lambda: (ended or time.perf_counter()) - began
    ended = time.perf_counter()


def machine(on: str) -> dict[str, Any]:
    """What the figures were measured on."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False).stdout if shutil.which(query[0]) else ""
    return {
        "device": on,
        "gpu": found.strip() or "none",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "xgboost": xgboost.__version__,
        "cuda": xgboost.build_info().get("CUDA_VERSION"),
        "python": platform.python_version(),
    }


def as_text(findings: list[Finding]) -> str:
    """The table, a line a finding."""
    lines = []
    for one in findings:
        figures = ", ".join(f"{name} {value:,.4g}" for name, value in one.figures.items() if value == value)
        text = "; ".join(part for part in (figures, one.note) if part)
        lines.append(f"{'ok  ' if one.ok else 'FAIL'} {one.part:14s} {one.case:52s} {text}")
    return "\n".join(lines)


def write(bench: Bench) -> None:
    """Everything so far, as JSON."""
    content = {
        "machine": machine(bench.device),
        "findings": [asdict(one) for one in bench.findings],
        "warnings": sorted(set(bench.said)),
        "peak host MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    bench.out.parent.mkdir(parents=True, exist_ok=True)
    bench.out.write_text(json.dumps(content, indent=1), encoding="utf-8")
