"""Keep a small project of today; to be run before a format changes, or the name by which something is found.

python -m tests.formats.make N         a backup, as format N
python -m tests.formats.make home N    a whole home that `treadle up` has kept at work, with its Prefect database
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from prefect.client.schemas.objects import StateType

from tests.faults.harness import NAME, parcels
from tests.worker import eventually
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected, flow_context

INIT = ("init", "parcels.csv", "--target", "Late", "--name", NAME)
TRAIN = ("train", "--trials", "1")
SCHEDULE = '\n[score]\nschedule = "* * * * *"\n'
WAIT_SECONDS = 600


def keep_backup(home: Path, kept: Path) -> None:
    """Live a short life and keep a backup of it."""
    for command in (INIT, TRAIN, ("score",), ("backup", "../backup"), ("down",)):
        run(home, *command)
    with tarfile.open(kept, "w:xz") as tar:
        tar.add(home.parent / "backup", "backup")


def keep_home(home: Path, kept: Path) -> None:
    """Live a short life, be up until what came is settled and a run by schedule has ended, and keep all of it."""
    for command in (INIT, TRAIN, ("score",), ("monitor",), ("up", "--detach")):
        run(home, *command)
    try:
        eventually((home / ".treadle" / "up" / "settled.json").exists, WAIT_SECONDS)
        config = home / "pipelines" / f"{NAME}.toml"
        config.write_text(config.read_text() + SCHEDULE)  # not before: follow-ups wait for a minute without a run
        run(home, "up")
        eventually(lambda: scheduled(home), WAIT_SECONDS)
    finally:
        run(home, "down")
    shutil.rmtree(home / ".treadle" / "prefect" / "pages")  # a copy of what Prefect brings
    with closing(sqlite3.connect(home / ".treadle" / "prefect" / "prefect.db")) as database:
        database.executescript("PRAGMA wal_checkpoint(TRUNCATE); VACUUM")
    with tarfile.open(kept, "w:xz") as tar:
        tar.add(home, "home")


def run(home: Path, *command: str) -> None:
    """A command, which prints here; rows without a label arrive before the first `score`."""
    new = home / "data" / "inbox" / NAME / "new.csv"
    if command == ("score",):
        parcels(20, seed=2, first=2000).drop(columns="Late").to_csv(new, index=False)
    subprocess.run([sys.executable, "-m", "treadle.flows.cli", *command], cwd=home, check=True)


def scheduled(home: Path) -> bool:
    """Whether a run that the schedule has made has ended well."""
    with flow_context(settings_.at(home)), connected() as client:
        return any(run.auto_scheduled and run.state_type is StateType.COMPLETED for run in client.read_flow_runs())


def main(*arguments: str) -> None:
    """Make what the command line says, in a folder for the time being."""
    *whole, number = arguments
    place = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        (home / "pipelines").mkdir(parents=True)
        parcels(400).to_csv(home / "parcels.csv", index=False)
        if whole == ["home"]:
            keep_home(home, place / "homes" / f"{number}.tar.xz")
        else:
            keep_backup(home, place / f"{number}.tar.xz")


if __name__ == "__main__":
    main(*sys.argv[1:])
