"""Keep a small project of today; to be run before a format changes, or the name by which something is found.

python -m tests.formats.make N         a backup, as format N
python -m tests.formats.make home N    a whole home that `treadle up` has kept at work, with its Prefect database
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.faults.harness import NAME, parcels
from tests.worker import eventually, treadle

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
    """Live a short life, be up until a run by schedule has ended and what came is settled, and keep all of it."""
    for command in (INIT, TRAIN, ("score",), ("monitor",)):
        run(home, *command)
    config = home / "pipelines" / f"{NAME}.toml"
    config.write_text(config.read_text() + SCHEDULE)
    run(home, "up", "--detach")
    try:
        eventually(lambda: (home / ".treadle" / "up" / "settled.json").exists() and scheduled(home), WAIT_SECONDS)
    finally:
        run(home, "down")
    with tarfile.open(kept, "w:xz") as tar:
        tar.add(home, "home")


def run(home: Path, *command: str) -> None:
    """A command, which prints here; rows without a label arrive before the first `score`."""
    new = home / "data" / "inbox" / NAME / "new.csv"
    if command == ("score",):
        parcels(20, seed=2, first=2000).drop(columns="Late").to_csv(new, index=False)
    subprocess.run([sys.executable, "-m", "treadle.flows.cli", *command], cwd=home, check=True)


def scheduled(home: Path) -> bool:
    """Whether the newest run of `score` ended well and the schedule has another one."""
    work = [one for pipeline in treadle(home, "status")["pipelines"] for one in pipeline["work"]]
    return any(one["work"] == "score" and one["state"] == "COMPLETED" and one["next"] for one in work)


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
