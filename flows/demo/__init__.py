"""`treadle demo`: the main job on real data, by the commands that a person would run.

Everything happens in a home of its own, `.treadle/demo` beside the program, with embedded stores whatever the
environment says, so that it never meets a person's pipelines. A second run finds what the first one made.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.demo import life, scene, stage
from treadle.flows.demo.outcome import DemoOutcome, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from treadle.infra.stores import Stores

__all__ = ["DemoResult", "Step", "run_demo"]

LABELLED_MONTHS = range(1, 9)
NEXT_MONTH = 9


class Step(BaseModel):
    """One step: a public command, or what the demo does itself; `skipped` says why it was not needed."""

    model_config = ConfigDict(frozen=True)

    step: str
    seconds: float
    exit_code: int
    skipped: str = ""


class DemoResult(BaseModel):
    """What was done, what came of it, where to look, and how to begin with one's own table.

    `outcome` is null where a command failed before there was any.
    """

    model_config = ConfigDict(frozen=True)

    program: str
    home: str
    pipeline: str
    steps: tuple[Step, ...]
    seconds: float
    outcome: DemoOutcome | None
    mlflow: str
    mlflow_address: str
    prefect: str
    report: str
    tables: str
    own_table: tuple[str, ...]

    def exit_code(self) -> int:
        """The code of the command that failed, else 0."""
        return next((step.exit_code for step in self.steps if step.exit_code), 0)


def run_demo(stage_to: TextIO, errors: TextIO, *, with_life: bool = False) -> DemoResult:
    """Play the demo, `with_life` the whole life after it; the commands speak to the two given streams.

    A command that fails ends the demo: its own message stands above, its exit code becomes ours. Raises
    DataError where the program is not a clone with its example pipeline, or its data is not installed.
    """
    began = time.monotonic()
    program = Path(__file__).resolve().parents[2]
    play = Play(scene.Scene(program, program / ".treadle" / "demo", stage_to, errors))
    play.furnish()
    play.stage(LABELLED_MONTHS, "record")
    play.command("check")
    play.command("ingest")
    if play.champion():
        play.skip("train", "there is a champion already")
    else:
        play.command("train")
    play.stage([NEXT_MONTH], "plan")
    play.command("score")
    if with_life:
        life.live(play, play.stores)
    play.command("models")
    return play.result(time.monotonic() - began)


class Play:
    """The steps so far; after one that failed the rest does nothing."""

    def __init__(self, scene_: scene.Scene) -> None:
        self._scene = scene_
        self._steps: list[Step] = []

    @property
    def home(self) -> Path:
        """The demo's home."""
        return self._scene.home

    @property
    def failed(self) -> bool:
        """Whether a command has ended the demo."""
        return any(step.exit_code for step in self._steps)

    @property
    def stores(self) -> Stores:
        """What the demo's pipeline keeps."""
        from treadle.infra import stores

        return stores.open(self._scene.settings, stage.PIPELINE)

    def furnish(self) -> None:
        """Copy config and suite into the demo's home, where they are not there yet."""
        made = scene.furnish(self._scene, stage.PIPELINE)
        self._scene.say(f"the commands run in the demo's own project, where what they print holds:\n$ cd {self.home}")
        self._note("config and suite", "" if made else "there already")

    def stage(self, months: range | list[int], kind: stage.FileKind) -> None:
        """Put months into the inbox, as if they had just arrived."""
        if self.failed:
            return
        began = time.monotonic()
        inbox = self._scene.home / "data" / "inbox" / stage.PIPELINE
        if not all(stage.staged_path(inbox, month).exists() for month in months):
            events.emit("stage", "joining the year's tables")
        staged = stage.stage_files(inbox, months, kind)
        rows = sum(one.rows or 0 for one in staged)
        new = sum(one.rows is not None for one in staged)
        what = f"stage {len(staged)} {'month' if len(staged) == 1 else 'months'} of {stage.YEAR}"
        told = f"{new} new, {rows:,} rows" if new else ""
        self._note(f"{what} ({kind})", "" if new else "in the inbox already", told, time.monotonic() - began)

    def arrive(self, put: Callable[[], Sequence[Path]]) -> None:
        """Let files arrive in an inbox; `put` writes those that are not there yet and names them all."""
        if self.failed:
            return
        began = time.monotonic()
        files = put()
        for file in files:
            self._scene.say(f"arrives: {file.relative_to(self.home)}")
        step = f"{len(files)} {'file arrives' if len(files) == 1 else 'files arrive'}"
        self._steps.append(Step(step=step, seconds=round(time.monotonic() - began, 1), exit_code=0))

    def chapter(self, title: str) -> None:
        """Say what the next commands are about."""
        if not self.failed:
            self._scene.say(f"\n{title}")

    def command(self, *words: str, fine: Sequence[int] = (0,)) -> None:
        """Print a public command, then run it; an exit code that is not `fine` ends the demo."""
        if self.failed:
            return
        began = time.monotonic()
        code = self._scene.run(*words)
        step = shlex.join(["treadle", *words])
        seconds = round(time.monotonic() - began, 1)
        self._steps.append(Step(step=step, seconds=seconds, exit_code=0 if code in fine else code))

    def skip(self, command: str, why: str) -> None:
        """Leave a command out, and say why."""
        if not self.failed:
            self._note(f"treadle {command}", why)

    def champion(self) -> bool:
        """Whether an earlier demo has promoted a model."""
        if self.failed:
            return False
        return outcome(self._scene.settings, stage.PIPELINE).champion is not None

    def result(self, seconds: float) -> DemoResult:
        """Everything that the person is told at the end."""
        found = None if self.failed else outcome(self._scene.settings, stage.PIPELINE)
        return DemoResult(
            program=str(self._scene.program),
            home=str(self._scene.home),
            pipeline=stage.PIPELINE,
            steps=tuple(self._steps),
            seconds=round(seconds, 1),
            outcome=found,
            mlflow=scene.mlflow_command(self._scene),
            mlflow_address=scene.MLFLOW_ADDRESS,
            prefect=scene.prefect_address(self._scene),
            report=found.report if found else "",
            tables=scene.tables_command(self._scene, stage.PIPELINE),
            own_table=scene.own_table(self._scene),
        )

    def _note(self, step: str, skipped: str, told: str = "", seconds: float = 0.0) -> None:
        self._steps.append(Step(step=step, seconds=round(seconds, 1), exit_code=0, skipped=skipped))
        self._scene.say(f"{step}: {f'skipped, {skipped}' if skipped else told or 'done'}")
