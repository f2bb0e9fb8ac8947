"""What a GPU does for training, measured where one is (`make bench-gpu`, eight minutes at most).

It needs `tasks/` and the packages that it imports: xgboost, numpy, scipy, scikit-learn, pydantic, optuna; CuPy if
installed. Without a GPU, or with `--cpu-only`, the same parts run small and on the CPU. One table is printed and
written as JSON, anew after every part, so that a run which is cut short leaves what it had.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import xgboost

from tests.bench.gpu_ground import COLUMNS, NAMES, Bench, GpuMemory, as_text, machine, seconds, table, write
from treadle.tasks import booster, device, metrics
from treadle.tasks.device import DeviceFallback, Placement
from treadle.tasks.search import TuneSpec, run_search
from treadle.tasks.search.course import LaneRows, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.tasks.booster import MatrixRows
    from treadle.tasks.search.course import Course

LIMIT_SECONDS = 480.0
MISMATCH = ("mismatched devices", "Device is changed", "setting device")
FULL = "Memory allocation error on worker 0: std::bad_alloc: cudaErrorMemoryAllocation: out of memory"
WORTH = 0.7  # ROC AUC of any model of these rows
LONG = 1_000  # rounds of an ordinary model: what `auto` is decided by
AGREE = 1e-5  # answers of one model on two devices: float32 sums in another order
ALIKE = 0.02  # of the metric: two models whose histograms were added up in another order


def parameters(task: str, on: str, depth: int = 6) -> dict[str, booster.Scalar]:
    return booster.complete_parameters(task, {"max_depth": depth, "eta": 0.1}, classes=3, device=on, seed=0)


def grow(on: str, matrix: xgboost.DMatrix, rounds: int, depth: int = 6, task: str = "binary") -> float:
    """Seconds of `rounds` rounds on a matrix that the device has seen: its first round copies the rows there."""
    params = {"nthread": booster.threads(matrix.num_row()), **parameters(task, on, depth)}
    xgboost.train(params, matrix, 1)
    with seconds() as clock:
        xgboost.train(params, matrix, rounds)
    return clock()


def parity(bench: Bench) -> None:
    """One model's answers for golden rows on both devices, and both devices' models of the same rows."""
    for task in ("binary", "multiclass", "regression"):
        part, golden = table(bench.sizes[0], 1, task), table(1_000, 2, task)
        params = parameters(task, bench.device)
        trained, again = (booster.fit_booster(params, part, rounds=bench.rounds, names=NAMES) for _ in range(2))
        on_cpu = booster.fit_booster({**params, "device": "cpu"}, part, rounds=bench.rounds, names=NAMES)
        answers = booster.predict_raw(trained, golden.X)
        measured = booster.quantile_matrix(golden, NAMES, booster.quantile_matrix(part, NAMES))
        trained.set_param({"device": bench.device})
        there = trained.predict(measured)
        differ = float(np.abs(there - answers).max())
        metric = metrics.default_metric(task)
        value = metrics.metric_value(task, metric, golden.y, answers)
        value_on_cpu = metrics.metric_value(task, metric, golden.y, booster.predict_raw(on_cpu, golden.X))
        same = trained.get_dump() == again.get_dump()
        bench.add(
            "parity",
            f"{task} on {bench.device}",
            {"largest difference of answers": differ, metric: value, f"{metric} of the CPU's model": value_on_cpu},
            ok=differ <= AGREE and abs(value - value_on_cpu) <= ALIKE * abs(value_on_cpu),
            note=f"trained again: {'the same' if same else 'another'} model",
        )


def speed(bench: Bench, memory: GpuMemory) -> None:
    """Rounds a second of both devices by rows, and from which rows the GPU pays."""
    bench.add("speed", "the device's start, once a process", {"seconds": bench.start})
    pays = None
    for rows in bench.sizes:
        if bench.left < 60 + rows / 100_000:
            bench.add("speed", f"{rows:,} rows", {}, note="left out: no time left")
            continue
        part = table(rows)
        with seconds() as clock:
            matrix = booster.quantile_matrix(part, NAMES)
        made = clock()
        memory.begin()
        few = min(bench.rounds, 100 if rows <= 100_000 else 20 if rows <= 1_000_000 else 5)
        there, peak = grow(bench.device, matrix, bench.rounds) / bench.rounds, memory.most
        cpu = grow("cpu", matrix, few) / few
        deep = {}
        if rows == max(bench.sizes):  # the published figures are of 100 rounds of depth 10
            deep[f"s for 100 of depth 10 {bench.device}"] = (
                100 * grow(bench.device, matrix, bench.rounds, 10) / bench.rounds
            )
            deep["s for 100 of depth 10 cpu"] = 100 * grow("cpu", matrix, few, 10) / few
        if pays is None and bench.start + LONG * there < LONG * cpu:
            pays = rows
        figures = {"matrix s": made, f"ms a round {bench.device}": 1e3 * there, "ms a round cpu": 1e3 * cpu}
        bench.add(
            "speed",
            f"{rows:,} rows x {COLUMNS}",
            {**figures, "times faster": cpu / there, **deep, "peak MB": peak},
            note=f"of {bench.rounds} rounds, the CPU's of {few}",
        )
    if bench.device == "cpu":
        return
    found = f"from {pays:,} rows ({pays * COLUMNS:,} values)" if pays else "on none of these sizes"
    note = f"auto takes it from {device.PAYS_FROM_VALUES:,} values"
    bench.add("speed", f"{LONG:,} rounds: it pays {found}", {}, note=note)


def matrices(bench: Bench, memory: GpuMemory) -> None:
    """Where the matrix is made: on the host, on the device (CuPy), in batches that stay in the host's memory."""
    rows = bench.sizes[-2]
    part = table(rows)
    makers: dict[str, Callable[[], xgboost.DMatrix]] = {
        "made on the host": lambda: booster.quantile_matrix(part, NAMES),
        "in batches, in host memory": lambda: booster.quantile_matrix(part, NAMES, external=True),
    }
    if bench.device != "cpu" and find_spec("cupy") is None:
        bench.add("matrix", "made on the device", {}, note="left out: no CuPy")
    elif bench.device != "cpu":
        makers |= on_device(part)
    golden = table(5_000, 3)
    for name, make in makers.items():
        memory.begin()
        with seconds() as clock:
            matrix = make()
        made = clock()
        spent = grow(bench.device, matrix, 20) / 20
        model = xgboost.train(parameters("binary", bench.device), matrix, 20)
        value = metrics.metric_value("binary", "roc_auc", golden.y, booster.predict_raw(model, golden.X))
        figures = {"matrix s": made, "ms a round": 1e3 * spent, "roc_auc": value, "peak MB": memory.most}
        bench.add("matrix", f"{rows:,} rows {name}", figures, ok=value > WORTH)
        del matrix, model


def on_device(part: MatrixRows) -> dict[str, Callable[[], xgboost.DMatrix]]:
    """The matrices that take their rows from the GPU's own memory, by CuPy."""
    import cupy

    class Batches(xgboost.DataIter):
        at = 0

        def reset(self) -> None:
            self.at = 0

        def next(self, input_data: Callable[..., None]) -> bool:
            rows = slice(self.at, self.at + len(part.y) // 4 + 1)
            self.at = rows.stop
            if rows.start >= len(part.y):
                return False
            X, y = cupy.asarray(part.X[rows]), cupy.asarray(part.y[rows])
            input_data(data=X, label=y, feature_names=list(NAMES))
            return True

    def whole() -> xgboost.DMatrix:
        return xgboost.QuantileDMatrix(cupy.asarray(part.X), cupy.asarray(part.y), feature_names=list(NAMES))

    return {"made on the device": whole, "ExtMemQuantileDMatrix": lambda: xgboost.ExtMemQuantileDMatrix(Batches())}


def out_of_memory(bench: Bench) -> None:
    """The fallback: forced by XGBoost's own error once and twice, and on a GPU whose memory is taken."""
    part, real, places = table(bench.sizes[1]), xgboost.train, device.placements
    if bench.device == "cpu":  # it stands for the GPU
        on_host = Placement("cpu"), Placement("cpu", external=True), Placement("cpu")
        device.placements = lambda _device: on_host
    for failures, ends in ((1, "in host memory"), (2, "on the CPU")):
        refusals = iter([True] * failures)

        def train(*args: Any, refusals: Iterator[bool] = refusals, **kwargs: Any) -> xgboost.Booster:
            if next(refusals, False):
                raise xgboost.core.XGBoostError(FULL)
            return real(*args, **kwargs)

        xgboost.train = train
        try:
            fell_back, value = fall_back(bench, part)
        finally:
            xgboost.train = real
        case = f"refused {failures} x: trained {ends}"
        bench.add("out of memory", case, {"fallbacks": fell_back, "roc_auc": value}, ok=fell_back == failures)
    device.placements = places
    if bench.device != "cpu" and find_spec("cupy") is None:
        bench.add("out of memory", "a GPU whose memory is taken", {}, note="left out: no CuPy")
    elif bench.device != "cpu":
        full_gpu(bench)


def full_gpu(bench: Bench) -> None:
    """The same on a GPU of which all memory but a little is taken."""
    import cupy

    part = table(bench.sizes[-2])
    for megabytes in (2_000, 500, 100):
        taken = cupy.cuda.alloc(max(int(cupy.cuda.runtime.memGetInfo()[0]) - megabytes * 1_000_000, 1))
        with seconds() as clock:
            fell_back, value = fall_back(bench, part)
        del taken
        cupy.get_default_memory_pool().free_all_blocks()
        figures = {"fallbacks": fell_back, "roc_auc": value, "seconds": clock()}
        bench.add("out of memory", f"{megabytes:,} MB free, {len(part.y):,} rows", figures, ok=value > WORTH)


def fall_back(bench: Bench, part: MatrixRows) -> tuple[int, float]:
    """How often a fit fell back, and the model's ROC AUC on other rows."""
    golden = table(5_000, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = booster.fit_booster(parameters("binary", bench.device), part, rounds=20, names=NAMES)
    bench.said += [str(one.message) for one in caught if not issubclass(one.category, DeviceFallback)]
    answers = booster.predict_raw(model, golden.X)
    value = metrics.metric_value("binary", "roc_auc", golden.y, answers)
    return sum(issubclass(one.category, DeviceFallback) for one in caught), value


def search(bench: Bench) -> None:
    """A search of a few trials on both devices: how many the budget allows, and what they reach."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = bench.sizes[1]
    lanes = [LaneRows(table(rows), table(max(rows // 4, 500), 4))]
    budget = min(25.0, bench.left / 4) if bench.device != "cpu" else 1.0

    def course(on: str, external: bool) -> Course:
        fixed = booster.complete_parameters("binary", {}, classes=2, device=on, seed=0)
        return lay_out(lanes, fixed, task="binary", metric="log_loss", names=NAMES, external=external)

    for on in dict.fromkeys((bench.device, "cpu")):
        found = run_search(
            optuna.storages.InMemoryStorage(),
            on,
            course,
            spec=TuneSpec(trials=6, budget_seconds=budget),
            device=on,
            on_trial=lambda *_: None,
        )
        figures = {"trials": len(found.trials), "log_loss": found.value, "seconds": found.seconds}
        bench.add("search", f"{rows:,} rows, {budget:.0f} s, {on}", figures, ok=0 < found.value < 0.69)


def run(on: str, sizes: tuple[int, ...], out: Path, *, start: float, limit: float) -> Bench:
    """Measure every part for which there is time; a part that raises is a finding that is not ok."""
    rounds = 4 if on == "cpu" else 100
    bench, memory = Bench(on, sizes, rounds, start, time.monotonic() + limit, out), GpuMemory()
    parts: dict[str, Callable[[], None]] = {
        "parity": lambda: parity(bench),
        "speed": lambda: speed(bench, memory),
        "matrix": lambda: matrices(bench, memory),
        "search": lambda: search(bench),
        "out of memory": lambda: out_of_memory(bench),
    }
    for name, part in parts.items():
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                part()
            bench.said += [str(one.message) for one in caught]
        except Exception as error:
            bench.add(name, "ended by an error", {}, ok=False, note=f"{type(error).__name__}: {str(error)[:300]}")
        write(bench)
        print(as_text([one for one in bench.findings if one.part == name]), flush=True)
    memory.end()
    silent = [text for text in bench.said if any(word in text for word in MISMATCH)]
    bench.add(
        "warnings", "devices that do not match", {"warnings": len(silent)}, ok=not silent, note="; ".join(silent[:2])
    )
    print(as_text(bench.findings[-1:]), flush=True)
    write(bench)
    return bench


def main(arguments: list[str] | None = None) -> int:
    """0 where every finding is ok."""
    words = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__.splitlines()[0])
    words.add_argument("--cpu-only", action="store_true", help="small, on the CPU, as where there is no GPU")
    words.add_argument("--out", type=Path, default=Path("build/bench-gpu.json"), help="the JSON file")
    words.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds in all")
    given = words.parse_args(arguments)
    with seconds() as clock:
        missing = "asked to" if given.cpu_only else device.why_no_gpu()
    on, sizes = ("cpu", (500, 1_000, 2_000)) if missing else ("cuda", (10_000, 100_000, 1_000_000, 10_000_000))
    print(f"on the CPU, small: {missing}" if missing else "on the GPU", machine(on), sep="\n", flush=True)
    bench = run(on, sizes, given.out, start=clock(), limit=given.limit)
    failed = [one for one in bench.findings if not one.ok]
    print(f"{len(bench.findings)} findings, {len(failed)} not as they must be; written to {given.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
