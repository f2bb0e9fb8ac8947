"""treadle beside its peers on public tables (`make bench-models`): one process per table, fold and system.

Every system gets the same rows and the same seconds. treadle runs as its users run it: `init`, `ingest`, `train`,
`score`, with the config that `init` wrote, unedited. A CSV takes a line per run as it ends; what it has is not run
again. `python -m tests.bench.summary FILE` makes the tables of docs/benchmarks.md from it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import protocol, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from tests.bench.protocol import Parts
    from tests.bench.tables import Table

TREADLE = "treadle"
SYSTEMS = (TREADLE, "xgb_default", "histgb_default", "optuna_xgb", "flaml", "ag_medium", "ag_best")
OURS = ("xgb_default", "histgb_default", "optuna_xgb")
"""Peers whose libraries the project has; the others need an environment of their own."""

LONG = ("diabetes_readmit", "flights_late")
"""Tables for which every system gets twice the seconds."""

MOST_TRIALS = "2000"


@dataclass(frozen=True)
class Run:
    """One line of the CSV. `error` (lower is better) is nan if the run failed, and `note` says why.

    `wall`: seconds of `treadle train`, or those of a peer's fit and prediction without imports. `draws`: the error on
    bootstrap samples of the test rows, the same samples for every system.
    """

    table: str
    fold: int
    system: str
    unseen: bool
    rows: int
    seconds: int
    wall: float
    metric: str
    error: float
    draws: tuple[float, ...]
    note: str

    @property
    def pair(self) -> tuple[str, int, str]:
        return self.table, self.fold, self.system


def parsed(text: str) -> tuple[float, ...]:
    """Numbers with spaces between."""
    return tuple(float(part) for part in text.split())


def recorded(out: Path) -> list[Run]:
    """The lines of a CSV; of two lines about one table, fold and system the later one."""
    if not out.exists():
        return []
    kinds = {"fold": int, "rows": int, "seconds": int, "wall": float, "error": float, "draws": parsed}
    with out.open(newline="", encoding="utf-8") as file:
        lines = [{name: kinds.get(name, str)(text) for name, text in line.items()} for line in csv.DictReader(file)]
    runs = [Run(**{**line, "unseen": line["unseen"] == "True"}) for line in lines]
    return list({run.pair: run for run in runs}.values())


def append(out: Path, run: Run) -> None:
    """One more line, with a header if it is the first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)])
        if fresh:
            writer.writeheader()
        writer.writerow({**asdict(run), "draws": " ".join(f"{value:.6g}" for value in run.draws)})


def trouble(finished: subprocess.CompletedProcess[str]) -> str:
    """The last line that a failed process wrote about it."""
    lines = [line.strip() for line in (finished.stderr + finished.stdout).splitlines() if line.strip()]
    return " | ".join(lines[-2:])[-300:] or f"exit code {finished.returncode}"


class Failed(Exception):
    """A system gave no predictions; the text says why."""


@dataclass(frozen=True)
class Bench:
    """Where the programs are, and how long each may take."""

    seconds: int
    threads: int
    treadle: str
    pythons: Mapping[str, str]

    def peer(self, system: str, table: Table, parts: Parts, fold: int, seconds: int) -> tuple[pd.DataFrame, float, str]:
        """Predictions of a peer, its seconds, and what it says about its model."""
        import pandas as pd

        python = self.pythons.get(system) or (sys.executable if system in OURS else "")
        if not python:
            raise Failed(f"needs an environment of its own. fix: --python-for {system}=PYTHON")
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            folder = Path(place)
            write(table, parts, folder)
            about = {"task": table.task, "target": table.target, "metric": table.metric, "positive": table.positive}
            (folder / "task.json").write_text(json.dumps({**about, "fold": fold}), encoding="utf-8")
            script = Path(__file__).with_name("peers.py")
            command = [python, "-W", "ignore", str(script), system, place, str(seconds), str(self.threads)]
            limited = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
            self.run(command, folder, {**os.environ, **limited}, seconds)
            said = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            return pd.read_parquet(folder / "predicted.parquet"), said.pop("seconds"), json.dumps(said)

    def own(self, table: Table, parts: Parts, seconds: int) -> tuple[pd.DataFrame, float, str]:
        """Predictions of treadle, the seconds of `treadle train`, and those of the other commands."""
        import pandas as pd

        walls: dict[str, float] = {}
        home = Path(tempfile.mkdtemp(prefix="bench-treadle-"))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))
        }
        environment |= {"TREADLE_HOME": str(home)}
        try:
            write(table, dated(table, parts), home)
            timed = ["--time", table.time] if table.split == "time" else []
            for words in (
                ["init", "train.parquet", "--target", table.target, "--name", "bench", "--task", table.task, *timed],
                ["ingest"],
                ["train", "--budget", str(budget(seconds)), "--trials", MOST_TRIALS],
                ["score", "--input", "test.parquet", "--output", "out.parquet"],
            ):
                began = time.monotonic()
                self.run([self.treadle, *words], home, environment, seconds)
                walls[words[0]] = round(time.monotonic() - began, 1)
            config = tomllib.loads((home / "pipelines" / "bench.toml").read_text(encoding="utf-8"))
            predicted = answered(table, pd.read_parquet(home / "out.parquet"), config)
        finally:
            subprocess.run([self.treadle, "down"], cwd=home, env=environment, capture_output=True, check=False)
            shutil.rmtree(home, ignore_errors=True)
        return predicted, walls.pop("train"), json.dumps(walls)

    def run(self, command: list[str], folder: Path, environment: Mapping[str, str], seconds: int) -> None:
        """A process that must succeed, and within ten times its seconds."""
        try:
            finished = subprocess.run(
                command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=10 * seconds + 60, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{Path(command[0]).name} {command[1]} took more than {error.timeout:g} s") from error
        if finished.returncode:
            raise Failed(f"{Path(command[0]).name} {command[1]}: {trouble(finished)}")

    def measured(self, system: str, table: Table, fold: int) -> Run:
        """One system on one fold."""
        parts = protocol.load(table, fold)
        seconds = self.seconds * (2 if table.name in LONG else 1)
        wall = error = float("nan")
        draws: list[float] = []
        try:
            if system == TREADLE:
                predicted, wall, note = self.own(table, parts, seconds)
            else:
                predicted, wall, note = self.peer(system, table, parts, fold, seconds)
            truth = parts.test[table.target]
            error = protocol.error(table, parts.labels, truth, predicted)
            draws = protocol.resampled(table, parts.labels, truth, predicted)
        except (Failed, ValueError, KeyError) as failure:
            note = f"failed: {failure}"
        return Run(
            table.name, fold, system, table.unseen, len(parts.train) + len(parts.test), seconds, wall, table.metric,
            round(error, 6), tuple(draws), note,
        )  # fmt: skip


def budget(seconds: int) -> int:
    """What of the seconds `treadle train --budget` gets: 45 of 60, 100 of 120."""
    return max(seconds - 15 if seconds < 100 else seconds - 20, 1)


def write(table: Table, parts: Parts, folder: Path) -> None:
    """The files that a system sees."""
    parts.train.to_parquet(folder / "train.parquet", index=False)
    parts.test.drop(columns=table.target).to_parquet(folder / "test.parquet", index=False)


def dated(table: Table, parts: Parts) -> Parts:
    """The same with the time column as dates, where a table has days as numbers (20110131)."""
    import pandas as pd

    if not table.time or not pd.api.types.is_integer_dtype(parts.train[table.time]):
        return parts
    train, test = (
        frame.assign(**{table.time: pd.to_datetime(frame[table.time].astype(str), format="%Y%m%d")})
        for frame in (parts.train, parts.test)
    )
    return protocol.Parts(train, test, parts.labels)


def answered(table: Table, out: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    """The scored file as the frame that `protocol.error` takes."""
    if table.task == "regression":
        return out[["prediction"]]
    if table.task == "binary":
        same = str(config["data"].get("positive")) == table.positive
        return out[["probability"]] if same else 1.0 - out[["probability"]]
    prefix = "probability_"
    return out[[name for name in out if name.startswith(prefix)]].rename(columns=lambda name: name.removeprefix(prefix))


def wanted(options: argparse.Namespace, found: Mapping[str, Table], done: set[tuple[str, int, str]]) -> Iterator[Any]:
    """Runs that are asked for and not done: table by table, so that a partial run compares all systems."""
    chosen = options.tables or [name for name, table in found.items() if options.unseen or not table.unseen]
    for name in chosen:
        for fold in options.folds:
            yield from ((one, found[name], fold) for one in options.systems if (name, fold, one) not in done)


def refusal(options: argparse.Namespace, found: Mapping[str, Table]) -> str:
    """Why the tables that are named cannot be run; empty if they can."""
    for name in options.tables or ():
        if name not in found:
            return f"no table {name!r}: there are {', '.join(found)}. fix: --data or --packages"
        if found[name].unseen and not options.unseen:
            return f"table {name!r} is held back for the last comparison. fix: --unseen, or leave it out"
    return ""


def system_of(text: str) -> str:
    """The system that is meant: its name, or what comes before the first `_` of one name only (`optuna`)."""
    meant = [name for name in SYSTEMS if name.partition("_")[0] == text]
    return meant[0] if len(meant) == 1 else text


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""

    def names(text: str) -> list[str]:
        return [part for part in text.split(",") if part]

    def systems(text: str) -> list[str]:
        return [system_of(part) for part in names(text)]

    parser = argparse.ArgumentParser(prog="python -m tests.bench.models", description=__doc__)
    parser.add_argument("--tables", type=names, help="names with commas between (default: all but the unseen)")
    parser.add_argument(
        "--systems", type=systems, default=list(SYSTEMS),
        help=f"of {', '.join(SYSTEMS)}; short: xgb, histgb, optuna",
    )  # fmt: skip
    parser.add_argument("--folds", type=lambda text: [int(part) for part in names(text)], default=[0], help="of 0,1,2")
    parser.add_argument("--seconds", type=int, default=60, help="for every system; twice as many on long tables")
    parser.add_argument("--threads", type=int, default=2, help="of a peer")
    parser.add_argument("--out", type=Path, default=Path("build/models.csv"), help="the CSV")
    parser.add_argument("--data", type=Path, help="a folder with further tables (NAME.parquet and NAME.json)")
    parser.add_argument("--packages", type=Path, help="a folder with packages that ship tables")
    parser.add_argument("--python-for", action="append", default=[], metavar="SYSTEM=PYTHON", help="a peer's Python")
    parser.add_argument("--treadle", default=str(Path(sys.executable).with_name("treadle")), help="the program")
    parser.add_argument("--unseen", action="store_true", help="allow the unseen tables: for the last comparison only")
    parser.add_argument("--again", action="store_true", help="repeat runs that failed")
    options = parser.parse_args(arguments)
    for system in {*options.systems} - {*SYSTEMS}:
        parser.error(f"no system {system!r}: there are {', '.join(SYSTEMS)}")
    return options


def program(path: str) -> str:
    """A program's absolute path: it runs in other folders. Links stay, because an environment's Python is one."""
    return str(Path(path).expanduser().absolute())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is wanted and not done."""
    options = options_of(arguments)
    found = tables.available(options.data, options.packages)
    if why := refusal(options, found):
        print(why, file=sys.stderr)
        return 2
    pythons = {system: program(path) for system, path in (pair.split("=", 1) for pair in options.python_for)}
    bench = Bench(options.seconds, options.threads, program(options.treadle), pythons)
    done = {run.pair for run in recorded(options.out) if not (options.again and run.error != run.error)}
    for system, table, fold in wanted(options, found, done):
        run = bench.measured(system, table, fold)
        append(options.out, run)
        print(f"{run.table:18} {fold} {system:15} {run.error:10.5f} {run.wall:6.1f} s  {run.note[:60]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
