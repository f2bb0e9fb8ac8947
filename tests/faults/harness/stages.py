"""A home that was left alone, stage by stage, to compare those with that were hurt."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.harness.commands import FINE
from tests.faults.harness.home import INIT, LIFE, bare, fill, labels_arrive
from tests.faults.harness.traces import difference, litter, snapshot

if TYPE_CHECKING:
    from tests.faults.harness.commands import Workshop


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
