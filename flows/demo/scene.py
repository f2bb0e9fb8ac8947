"""The demo's home, the commands that run in it, and the commands and addresses to look at its results."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.infra.settings import LOOPBACK, MLFLOW_PORT
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from typing import TextIO

    from treadle.infra.settings import Settings

GRACE_SECONDS = 6.0
MLFLOW_ADDRESS = f"http://{LOOPBACK}:{MLFLOW_PORT}"


@dataclass(frozen=True)
class Scene:
    """The program's folder, the demo's home in it, and the person's stdout and stderr."""

    program: Path
    home: Path
    out: TextIO
    err: TextIO

    @cached_property
    def settings(self) -> Settings:
        """The demo's own embedded stores, whatever stores the environment names for a person's pipelines."""
        from treadle.infra.settings import Settings, at

        here = at(self.home)
        addresses = [name for name in Settings.model_fields if name.endswith(("_url", "_uri"))]
        return here.model_copy(update=dict.fromkeys(addresses, ""))

    def say(self, text: str) -> None:
        """Print a line to the person's stdout."""
        print(text, file=self.out, flush=True)

    def run(self, *words: str) -> int:
        """Print a treadle command as a person would type it, run it in the home, and return its exit code."""
        bold, plain = ("\x1b[1;36m", "\x1b[0m") if self.out.isatty() else ("", "")
        self.say(f"\n{bold}$ treadle {shlex.join(words)}{plain}")
        child = subprocess.Popen(
            [str(program("treadle")), *words],
            cwd=self.home,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
        )
        try:
            return child.wait()
        except KeyboardInterrupt:
            end_child(child)
            raise

    def _environment(self) -> dict[str, str]:
        """The person's environment without the variables of their home, their stores and their Prefect server."""
        from treadle.infra.settings import child_environment

        extra = {"TREADLE_HOME": str(self.home)}
        if self.settings.debug:
            extra["TREADLE_DEBUG"] = "1"
        return child_environment(extra, without=("TREADLE_", "PREFECT_API_URL", "PREFECT_SERVER_DATABASE"))


def end_child(child: subprocess.Popen[bytes]) -> None:
    """Wait for an interrupted command: the terminal has interrupted it too. Then send SIGINT, and at last SIGKILL."""
    for number in (None, signal.SIGINT, signal.SIGKILL):
        if number is not None:
            child.send_signal(number)
        try:
            child.wait(timeout=1.0 if number is None else GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def copy_example(scene: Scene, pipeline: str) -> bool:
    """Copy the example's config and suite into the demo's home, where they do not exist yet; whether any was copied.

    Raises DataError where the program's folder has no example.
    """
    from treadle.infra.files.atomic import write_atomically

    copied = False
    for name in (
        f"pipelines/{pipeline}.toml",
        "pipelines/pipeline.schema.json",
        f"expectations/{pipeline}.json",
    ):
        source, copy = scene.program / name, scene.home / name
        if copy.exists():
            continue
        if not source.is_file():
            raise DataError(f"the demo needs {source}", "run it from a clone of treadle, after make install")
        write_atomically(copy, source.read_bytes())
        copied = True
    return copied


def mlflow_command(scene: Scene) -> str:
    """The command that serves MLflow's pages, with one worker and without job execution."""
    words = [
        _typed(program("mlflow")),
        "ui",
        "--workers",
        "1",
        "--port",
        str(MLFLOW_PORT),
        "--backend-store-uri",
        scene.settings.tracking,
    ]
    return f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false {shlex.join(words)}"


def prefect_address(scene: Scene) -> str:
    """The URL of Prefect's pages."""
    from treadle.infra.orchestrator import ui_url

    return ui_url(scene.settings)


def tables_command(scene: Scene, pipeline: str) -> str:
    """A command that prints the newest predictions."""
    folder = Path(scene.settings.tables_root) / pipeline / "predictions"
    files = f"deltalake.DeltaTable({json.dumps(str(folder))}).file_uris()"
    code = f"import deltalake, duckdb; print(duckdb.read_parquet({files}, hive_partitioning=True))"
    return shlex.join([_typed(Path(sys.executable)), "-c", code])


def own_table(scene: Scene) -> tuple[str, ...]:
    """The three commands for a table of one's own, to be run in a folder of one's own."""
    treadle = _typed(program("treadle"), relative=False)
    return (f"{treadle} init mytable.csv --target COLUMN", f"{treadle} train", f"{treadle} score")


def program(name: str) -> Path:
    """A program that is installed beside this Python."""
    return Path(sys.executable).with_name(name)


def _typed(path: Path, *, relative: bool = True) -> str:
    """How to type a program here: its name where it is the one on PATH, else its shortest path."""
    on_path = shutil.which(path.name)
    if on_path and Path(on_path).absolute() == path.absolute():
        return path.name
    shortest = os.path.relpath(path) if relative else str(path)
    return min(shortest, str(path), key=len)
