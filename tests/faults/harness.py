"""Kill real `treadle` commands in the middle of their work, run them again, and compare with a home left alone.

A `Workshop` is a process that has imported everything and forks for each command, so that a kill costs no import.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd

from infra import orchestrator, stores
from infra import settings as settings_
from infra.orchestrator import server

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from types import TracebackType

    from infra.settings import Settings

NAME = "parcels"
LABELS = "parcels_labels"
FINE = (0, 3, 4)
"""Done; done, and a batch was refused; done, and the gate let nobody in."""
BUDGET = "600"  # seconds: the trials bind
LONGEST_SECONDS = 120.0
WHEN = ("_ingested_at", "quarantined_at", "_scored_at", "_run_id")
REPOSITORY = Path(__file__).parents[2]


def parcels(count: int, seed: int = 0, first: int = 0) -> pd.DataFrame:
    """Parcels with a key, a yes/no target that two columns explain, and gaps."""
    draw = np.random.default_rng(seed)
    weight = np.round(draw.gamma(2.0, 3.0, count), 2)
    distance = draw.integers(5, 900, count)
    carrier = draw.choice(["Alpha", "Beta", "Gamma"], count)
    late = (weight / 9 + distance / 500 + (carrier == "Beta") + draw.normal(0, 0.6, count)) > 2.4
    table = pd.DataFrame(
        {
            "Parcel No": np.arange(first, first + count),
            "Weight kg": weight,
            "Distance": distance,
            "Carrier": carrier,
            "Late": np.where(late, "yes", "no"),
        }
    )
    table.loc[::17, "Weight kg"] = None
    return table


def bare(folder: Path) -> Path:
    """A folder that is to become a home, with a table in it."""
    home = folder / "home"
    (home / "pipelines").mkdir(parents=True)
    parcels(400).to_csv(home / "parcels.csv", index=False)
    return home


def fill(home: Path) -> None:
    """What waits: a month with bad rows, a file that cannot be read, a month without labels; files go out as well."""
    inbox = home / "data" / "inbox" / NAME
    bad = parcels(100, seed=1, first=1000).astype({"Distance": object})
    bad.loc[3, "Distance"] = "far"
    bad.loc[7, "Parcel No"] = None
    bad.to_csv(inbox / "may.csv", index=False)
    (inbox / "broken.parquet").write_bytes(b"PAR1 and no more")
    parcels(150, seed=2, first=2000).drop(columns="Late").to_csv(inbox / "new.csv", index=False)
    config = home / "pipelines" / f"{NAME}.toml"
    config.write_text(config.read_text() + '\n[score]\noutput = "data/outbox/parcels"\n')
    assert (home / "data" / "inbox" / LABELS).is_dir(), "init's own place for late labels"


INIT = ("init", "parcels.csv", "--target", "Late", "--name", NAME)
LIFE: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "train": ("train", "--trials", "2", "--budget", BUDGET),
    "score": ("score",),
    "labels": ("ingest",),
    "monitor": ("monitor",),
    "train again": ("train", "--trials", "1", "--budget", BUDGET),
    "promote": ("promote", "2", "--reason", "the depot asked for it"),
    "rollback": ("rollback",),
}
"""Commands that make something, in order, from a home with a pipeline and files that wait."""


def labels_arrive(home: Path) -> None:
    """Late labels of the month that was scored, and one of a parcel that nobody knows."""
    late = parcels(150, seed=2, first=2000)[["Parcel No", "Late"]]
    late.loc[149, "Parcel No"] = 9_999
    late.to_csv(home / "data" / "inbox" / LABELS / "new.csv", index=False)


class Stages:
    """A home left alone: as it was before each command of `LIFE`, what each left behind, and how long it took."""

    def __init__(self, workshop: Workshop, folder: Path, until: str = "") -> None:
        """Live as far as before the stage `until` (empty: to the end)."""
        self.workshop = workshop
        self.folder = folder
        self.cases = 0
        self.before: dict[str, Path] = {}
        self.after: dict[str, dict[str, object]] = {}
        self.seconds: dict[str, float] = {}
        home = bare(folder)
        made = workshop.run(home, INIT)
        assert made.status == 0, made.said()
        fill(home)
        for stage, arguments in LIFE.items():
            if stage == "labels":
                labels_arrive(home)
            self.before[stage] = shutil.copytree(home, folder / f"before-{len(self.before)}" / "home")
            if stage == until:
                break
            began = time.monotonic()
            done = workshop.run(home, arguments)
            assert done.status in FINE, f"{stage}\n{done.said()}"
            self.seconds[stage] = time.monotonic() - began
            self.after[stage] = snapshot(home)
        assert litter(home) == []

    def home(self, stage: str) -> Path:
        """A copy of the home as it was before the stage; elsewhere, so nothing may be bound to the old place."""
        self.cases += 1
        return Path(shutil.copytree(self.before[stage], self.folder / f"case-{self.cases}" / "home"))

    def check(self, home: Path, stage: str, told: str, **environment: str) -> None:
        """Run the command to its end: the home must be as the one that was left alone, without litter."""
        done = self.workshop.run(home, LIFE[stage], **environment)
        assert done.status in FINE, f"{told}\n{done.said()}"
        hurt = snapshot(home)
        assert hurt == self.after[stage], f"{told}\n{difference(self.after[stage], hurt)}"
        assert litter(home) == [], told


@dataclass
class Command:
    """One command at work in a process of its own."""

    pid: int
    out: Path
    err: Path
    began: float = field(default_factory=time.monotonic)
    status: int | None = None

    def ended(self) -> bool:
        """Whether the process is gone; collects its status (negative: the signal)."""
        if self.status is None:
            path = self.out.with_suffix(".status")
            if path.exists() and (text := path.read_text()):
                self.status = int(text)
        return self.status is not None

    def wait(self, seconds: float = LONGEST_SECONDS) -> int:
        """The exit status."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.err.read_text()[-2000:]}")
            time.sleep(0.01)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def at_work(self) -> bool:
        """Whether the first of its flow's events was seen: `[  1.2 s] ingest: ...`."""
        return "] " in self.err.read_text()

    def said(self) -> str:
        return f"{self.out.read_text()}\n{self.err.read_text()}"


class Workshop:
    """Forks a process for each command; everything heavy is imported once."""

    def __init__(self, folder: Path, api_url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.count = 0
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TREADLE_", "PREFECT_"))
        }
        environment |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(folder / "prefect"), "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.workshop"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> Workshop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:  # a library's thread that does not end
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def start(self, home: Path, arguments: Sequence[str], **environment: str) -> Command:
        """Begin `treadle ARGUMENTS` in `home`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.count += 1
        out, err = self.folder / f"{self.count}.out", self.folder / f"{self.count}.err"
        out.touch()
        err.touch()
        order = {"home": str(home), "arguments": list(arguments), "environment": environment}
        self.process.stdin.write(json.dumps(order | {"out": str(out), "err": str(err)}) + "\n")
        self.process.stdin.flush()
        return Command(int(self.process.stdout.readline()), out, err)

    def run(self, home: Path, arguments: Sequence[str], **environment: str) -> Command:
        """The command, ended."""
        command = self.start(home, arguments, **environment)
        command.wait()
        return command


def killed_at_random(
    workshop: Workshop, home: Path, arguments: Sequence[str], draw: random.Random, spread: float
) -> bool:
    """Run the command and kill it within `spread` seconds of its first event; whether that hit it at work."""
    command = workshop.start(home, arguments)
    if not _at_work_for(command, draw.uniform(0, spread)):
        return False
    command.kill()
    return command.wait() == -signal.SIGKILL


def server_killed_at_random(
    workshop: Workshop, home: Path, arguments: Sequence[str], draw: random.Random, spread: float
) -> bool:
    """The same with the home's own server: it dies alone, just before its command, or just after."""
    victims = draw.choice(("server", "server and command", "command and server"))
    command = workshop.start(home, arguments, PREFECT_API_URL="")
    if not _at_work_for(command, draw.uniform(0, spread)):
        return False
    served = orchestrator.state(settings_.at(home)).pid
    if served is None:  # it has not come back from the kill before
        command.kill()
        command.wait()
        return False
    deaths = [command.kill, lambda: os.kill(served, signal.SIGKILL)]
    if victims == "server":
        os.kill(served, signal.SIGKILL)
        assert command.wait() in FINE, f"without its server\n{command.said()}"
        return True
    for kill in deaths if victims == "command and server" else reversed(deaths):
        kill()
    return command.wait() == -signal.SIGKILL


def _at_work_for(command: Command, seconds: float) -> bool:
    """Wait for the first event and then that long; whether the command is still there."""
    while not command.at_work() and not command.ended():
        time.sleep(0.005)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not command.ended():
        time.sleep(0.002)
    return not command.ended()


def snapshot(home: Path) -> dict[str, object]:
    """What a person would call the state of a home: content without moments and random names."""
    opened = stores.open(settings_.at(home), NAME)
    found: dict[str, object] = {name: _table(home, name) for name in ("rows", "quarantine", "labels", "predictions")}
    found["batches"] = sorted(
        (one.label, one.status, one.rows_in, one.accepted, one.quarantined, one.duplicates)
        for one in opened.ledger.batches(NAME)
    )
    found["versions"] = [
        (one.version, one.run_key, one.decision, one.headline, one.data_version, one.digest)
        for one in opened.ledger.versions(NAME)
    ]
    found["moves"] = [
        (one.seq, one.version_from, one.version_to, one.verdict, one.digest, one.pending)
        for one in opened.ledger.history(NAME)
    ]
    found["trials"] = _trials(home)
    found["files"] = sorted(path.name for path in (home / "data" / "outbox").rglob("*"))
    found["refused"] = sorted(path.name for path in (home / "data" / NAME / "refused").glob("*"))
    found["mlflow"] = _mlflow(home)
    return found


def litter(home: Path) -> list[str]:
    """Files that a finished command has no use for."""
    state = home / ".treadle"
    left = [path for path in home.rglob("*") if path.name.endswith((".part", ".new", ".old")) or "#" in path.name]
    left += [path for path in (state / "duckdb").glob("*") if path.name != ".lock"]
    left += [path for path in (state / "runs").rglob("*") if path.is_file()]
    left += [*(state / "prefect" / "commands").glob("*")]
    left += _unknown_files(home)
    return sorted(str(path.relative_to(home)) for path in left)


def open_runs(settings: Settings) -> list[tuple[str, str]]:
    """Name and state of the runs that the home's own Prefect server believes to be at work."""
    with closing(sqlite3.connect(server.folder(settings) / server.DATABASE)) as con:
        return con.execute(
            "SELECT f.name, r.state_type FROM flow_run r JOIN flow f ON f.id = r.flow_id "
            "WHERE r.state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"
        ).fetchall()


def _table(home: Path, name: str) -> list[tuple[object, ...]]:
    relation = stores.open(settings_.at(home), NAME).tables.relation(name)
    with duckdb.connect() as con:
        columns = [row[0] for row in con.sql(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
        listed = ", ".join(f'"{column}"' for column in columns if column not in WHEN)
        return sorted(con.sql(f"SELECT {listed} FROM {relation}").fetchall(), key=repr)


def _trials(home: Path) -> list[object]:
    """Finished trials of every study: parameters, values, rounds."""
    if not (home / "mlruns" / "optuna.db").exists():
        return []
    with closing(sqlite3.connect(home / "mlruns" / "optuna.db")) as con:
        query = (
            "SELECT s.study_name, t.trial_id, t.state, v.value FROM trials t JOIN studies s USING (study_id) "
            "LEFT JOIN trial_values v ON v.trial_id = t.trial_id WHERE t.state IN ('COMPLETE', 'PRUNED')"
        )
        made = con.execute(query).fetchall()
        params = {
            trial: sorted(con.execute("SELECT param_name, param_value FROM trial_params WHERE trial_id = ?", (trial,)))
            for _, trial, _, _ in made
        }
    return sorted((study, state, value, params[trial]) for study, trial, state, value in made)


def _mlflow(home: Path) -> list[object]:
    """Runs, their ends, models, versions and alias, without ids."""
    if not (home / "mlruns" / "mlflow.db").exists():
        return []
    with closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as con:
        runs = con.execute(
            "SELECT name, status FROM runs WHERE lifecycle_stage = 'active' AND status <> 'FAILED' ORDER BY 1, 2"
        ).fetchall()
        models = con.execute("SELECT status, lifecycle_stage FROM logged_models ORDER BY 1, 2").fetchall()
        versions = con.execute("SELECT version, status FROM model_versions ORDER BY 1").fetchall()
        alias = con.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    return [runs, models, versions, alias]


def _unknown_files(home: Path) -> list[Path]:
    """Parquet files in a table's folder that no commit ever named, and models' folders that MLflow does not know."""
    left = []
    for log in home.glob("data/*/*/_delta_log"):
        told = "".join(path.read_text() for path in log.glob("*.json"))
        left += [path for path in log.parent.rglob("*.parquet*") if path.name not in told]
        left += [path for path in log.iterdir() if path.suffix != ".json"]
    models = home / "mlruns" / "artifacts" / NAME / "models"
    if models.is_dir():
        with closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as con:
            known = {row[0] for row in con.execute("SELECT model_id FROM logged_models")}
        left += [path for path in models.iterdir() if path.name not in known]
    return left


def difference(alone: dict[str, object], hurt: dict[str, object]) -> str:
    """Where two snapshots differ, in a few lines."""
    differing = [name for name in alone if alone[name] != hurt[name]]
    return "\n".join(f"{name}: {str(alone[name])[:600]}\n  but {str(hurt[name])[:600]}" for name in differing)
