"""Ctrl-C during the search: the first ends it and its best is judged, the second ends the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_server")

COMMAND = [sys.executable, "-m", "treadle.flows.cli", "train", "--trials", "9999", "--budget", "600", "--json"]


@contextmanager
def training(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, once its first trial is made, and the lines that it printed until then."""
    with subprocess.Popen(
        COMMAND, cwd=settings.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            yield process, said_until(process, "trial 1:")
        finally:
            process.kill()


def said_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines of stderr up to the one with `words`."""
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} was not said: {''.join(lines)}")


def test_the_first_ends_the_search_and_the_best_so_far_is_judged_and_registered(tmp_path: Path) -> None:
    settings, _ = project(tmp_path / "home", tumours(), "Malignant")
    with training(settings) as (process, _):
        process.send_signal(signal.SIGINT)
        said_until(process, "the search ends, and its best model is judged")
        out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert (result["stopped"], result["version"]) == ("interrupt", 1)
    assert 1 <= result["trials"] < 9999
    assert result["why_stopped"].startswith("ended by hand after")


def test_the_second_ends_the_command(tmp_path: Path) -> None:
    settings, _ = project(tmp_path / "home", tumours(), "Malignant")
    with training(settings) as (process, _):
        process.send_signal(signal.SIGINT)
        said_until(process, "press again")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on where this one stopped" in err
