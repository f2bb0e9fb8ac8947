"""`python -m tests.formats.make N`: keep a small project of today, as format N; to be run before a format changes."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.faults.harness import NAME, parcels

COMMANDS = (
    ("init", "parcels.csv", "--target", "Late", "--name", NAME),
    ("train", "--trials", "1"),
    ("score",),
    ("backup", "../backup"),
    ("down",),
)


def main(number: str) -> None:
    """Live a short life and keep it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        (home / "pipelines").mkdir(parents=True)
        parcels(400).to_csv(home / "parcels.csv", index=False)
        for command in COMMANDS:
            if command == ("score",):
                new = parcels(20, seed=2, first=2000).drop(columns="Late")
                new.to_csv(home / "data" / "inbox" / NAME / "new.csv", index=False)
            subprocess.run([sys.executable, "-m", "treadle.flows.cli", *command], cwd=home, check=True)
        with tarfile.open(Path(__file__).with_name(f"{number}.tar.xz"), "w:xz") as tar:
            tar.add(home.parent / "backup", "backup")


if __name__ == "__main__":
    main(sys.argv[1])
