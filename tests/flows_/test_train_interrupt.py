"""Ctrl-C during the search: the first ends it and its best is judged, the second ends the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_server")

COMMAND = [sys.executable, "-m", "treadle.flows.cli", "train", "--trials", "9999", "--budget", "600", "--json"]


def training(settings: Settings) -> subprocess.Popen[str]:
    """The command, once its first trial is made."""
    process = subprocess.Popen(COMMAND, cwd=settings.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert next(line for line in process.stderr if "trial 1:" in line)
    return process


def test_the_first_ends_the_search_and_the_best_so_far_is_judged_and_registered(tmp_path: Path) -> None:
    settings, _ = project(tmp_path / "home", tumours(), "Malignant")
    process = training(settings)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert "the search ends, and its best model is judged" in err
    result = json.loads(out)
    assert (result["stopped"], result["version"]) == ("interrupt", 1)
    assert 1 <= result["trials"] < 9999
    assert result["why_stopped"].startswith("ended by hand after")


def test_the_second_ends_the_command(tmp_path: Path) -> None:
    settings, _ = project(tmp_path / "home", tumours(), "Malignant")
    process = training(settings)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert next(line for line in process.stderr if "press again" in line)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on where this one stopped" in err
