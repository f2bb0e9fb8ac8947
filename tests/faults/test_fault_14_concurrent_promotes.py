"""FAULTS 14: of concurrent promotes one wins, by compare and swap; the others say that somebody was first."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.flows.champion import history, promote
from treadle.infra import stores

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

CROWD = 8
CONTENDER = """
import sys, time
from pathlib import Path
from treadle.infra.databases.ledger import Ledger
from treadle.tasks.errors import Conflict
url, version, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
ledger = Ledger(url)
assert ledger.champion("clinic").version_to == 2
(folder / f"ready-{version}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
try:
    ledger.promote("clinic", expected=2, to=version, verdict="BY HAND", reason="", who="", bundle="", digest="")
    print("won")
except Conflict as error:
    print(error.message)
"""


def test_of_a_crowd_of_processes_one_wins_and_the_others_name_the_winner(
    clinic: tuple[Settings, PipelineConfig], tmp_path: Path
) -> None:
    settings, _ = clinic
    opened = stores.open(settings, "clinic")
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, settings.ledger, str(version), str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        for version in range(101, 101 + CROWD)
    ]
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("ready-*"))) < CROWD and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=60)[0].strip() for process in crowd]
    winner = said.index("won")
    assert said.count("won") == 1
    others = {line for line in said if line != "won"}
    assert others == {f"the champion of clinic is version {101 + winner} by now, not version 2"}
    history = opened.ledger.history("clinic")
    newest = history[0]
    assert (newest.seq, newest.version_from, newest.version_to, len(history)) == (3, 2, 101 + winner, 3)


def test_the_alias_follows_whoever_won(clinic: tuple[Settings, PipelineConfig]) -> None:
    settings, config = clinic
    promote.run_promote(settings, config, 1, "first")
    promote.run_promote(settings, config, 2, "second")
    shown = history.run_models(settings, config)
    assert (shown.champion, shown.alias) == (2, "")
    assert not stores.open(settings, "clinic").ledger.pending("clinic")
