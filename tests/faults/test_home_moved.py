"""A home that is moved or copied works on, in MLflow's eyes too, from the first command afterwards."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import LIFE, NAME, difference, snapshot
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Stages

STRANGER = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
client = mlflow.MlflowClient()
version = client.get_model_version_by_alias(sys.argv[2], "champion")
assert sys.argv[3] in client.get_run(version.run_id).info.artifact_uri
assert sys.argv[3] in version.source
print(sorted(one.path for one in client.list_artifacts(version.run_id)))
"""


def stranger(home: Path) -> str:
    """What any MLflow client sees."""
    tracking = settings_.at(home).tracking
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STRANGER, tracking, NAME, home.as_uri()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", [("models",), pytest.param(LIFE["score"], marks=pytest.mark.slow)])
def test_after_one_command_any_mlflow_client_finds_champion_and_artifacts(
    stages: Stages, tmp_path: Path, command: tuple[str, ...]
) -> None:
    home = shutil.move(stages.home("score"), tmp_path / "a new place")
    done = stages.workshop.run(home, command)
    assert done.status == 0, done.said()
    assert "moved or copied" in done.said()
    assert "report.html" in stranger(home)
    assert "moved or copied" not in stages.workshop.run(home, command).said()


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_while_addresses_are_mended_changes_nothing(stages: Stages, side: str) -> None:
    home = stages.home("score")
    killed = stages.workshop.run(home, LIFE["score"], TREADLE_FAILPOINT=f"moved.mlflow:{side}")
    assert killed.status == -signal.SIGKILL, killed.said()
    stages.check(home, "score", side)


def test_original_and_copy_go_their_own_ways(stages: Stages, tmp_path: Path) -> None:
    first = stages.home("score")
    second = shutil.copytree(first, tmp_path / "copy")
    for home in (first, second):
        assert stages.workshop.run(home, LIFE["score"]).status == 0
        found = snapshot(home)
        assert found == stages.after["score"], difference(stages.after["score"], found)
        folder = stores.open(settings_.at(home), NAME).registry.bundle(1)
        assert folder.is_relative_to(home)
