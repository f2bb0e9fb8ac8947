"""`treadle demo`: train and score on real data, by the commands that a person would run.

Everything happens in a home of its own, `.treadle/demo` in the clone, with embedded stores whatever the environment
says, so that it never changes a person's pipelines. A second run continues with the files of the first one.
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
    """The steps, the outcome, where to look, and the commands for a table of one's own.

    `outcome` is null where a command failed.
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
    """Run the demo, with `with_life` also what follows the first month; the commands write to the two given streams.

    A command that fails ends the demo, after its own message; its exit code becomes ours. Raises DataError where the
    program is not a clone with its example pipeline, or its data is not installed.
    """
    began = time.monotonic()
    program = Path(__file__).resolve().parents[2]
    play = Play(scene.Scene(program, program / ".treadle" / "demo", stage_to, errors))
    play.copy_example()
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
    """Runs the steps and records them; after one that failed, the later ones do nothing."""

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
        """The stores of the demo's pipeline."""
        from treadle.infra import stores

        return stores.open(self._scene.settings, stage.PIPELINE)

    def copy_example(self) -> None:
        """Copy config and suite into the demo's home, where they do not exist yet."""
        copied = scene.copy_example(self._scene, stage.PIPELINE)
        self._scene.say(f"the commands run in the demo's own project; to repeat one, go there:\n$ cd {self.home}")
        self._note("config and suite", "" if copied else "there already")

    def stage(self, months: range | list[int], kind: stage.FileKind) -> None:
        """Put months into the inbox, as if they had just arrived."""
        if self.failed:
            return
        began = time.monotonic()
        inbox = self._scene.home / "data" / "inbox" / stage.PIPELINE
        if not all(stage.staged_path(inbox, month).exists() for month in months):
            events.emit("stage", "joining the year's tables")
        staged = stage.stage_files(inbox, months, kind)
        rows = sum(file.rows or 0 for file in staged)
        new = sum(file.rows is not None for file in staged)
        what = f"stage {len(staged)} {'month' if len(staged) == 1 else 'months'} of {stage.YEAR}"
        counts = f"{new} new, {rows:,} rows" if new else ""
        self._note(f"{what} ({kind})", "" if new else "in the inbox already", counts, time.monotonic() - began)

    def arrive(self, put: Callable[[], Sequence[Path]]) -> None:
        """Put files into an inbox; `put` writes those that do not exist yet and returns all of them."""
        if self.failed:
            return
        began = time.monotonic()
        files = put()
        for file in files:
            self._scene.say(f"arrives: {file.relative_to(self.home)}")
        step = f"{len(files)} {'file arrives' if len(files) == 1 else 'files arrive'}"
        self._steps.append(Step(step=step, seconds=round(time.monotonic() - began, 1), exit_code=0))

    def chapter(self, title: str) -> None:
        """Print what the next commands are about."""
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
        """The demo's result, after `seconds`."""
        outcome_ = None if self.failed else outcome(self._scene.settings, stage.PIPELINE)
        return DemoResult(
            program=str(self._scene.program),
            home=str(self._scene.home),
            pipeline=stage.PIPELINE,
            steps=tuple(self._steps),
            seconds=round(seconds, 1),
            outcome=outcome_,
            mlflow=scene.mlflow_command(self._scene),
            mlflow_address=scene.MLFLOW_ADDRESS,
            prefect=scene.prefect_address(self._scene),
            report=outcome_.report if outcome_ else "",
            tables=scene.tables_command(self._scene, stage.PIPELINE),
            own_table=scene.own_table(self._scene),
        )

    def _note(self, step: str, skipped: str, done: str = "done", seconds: float = 0.0) -> None:
        self._steps.append(Step(step=step, seconds=round(seconds, 1), exit_code=0, skipped=skipped))
        self._scene.say(f"{step}: {f'skipped, {skipped}' if skipped else done}")
