"""Kills at random moments: of a command at work, and of the home's own server."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.faults.harness.commands import FINE
from treadle.infra import orchestrator
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.harness.commands import Command, Workshop


def killed_at_random(
    workshop: Workshop, home: Path, arguments: Sequence[str], draw: random.Random, spread: float
) -> bool:
    """Run the command and kill it within `spread` seconds of its first event; whether that hit it at work."""
    command = workshop.start(home, arguments)
    if not _at_work_for(command, draw.uniform(0, spread)):
        return False
    command.kill()
    return command.wait() == -signal.SIGKILL


def server_killed_at_random(
    workshop: Workshop, home: Path, arguments: Sequence[str], draw: random.Random, spread: float
) -> bool:
    """The same with the home's own server: it dies alone, just before its command, or just after."""
    victims = draw.choice(("server", "server and command", "command and server"))
    command = workshop.start(home, arguments, PREFECT_API_URL="")
    if not _at_work_for(command, draw.uniform(0, spread)):
        return False
    served = orchestrator.server_state(settings_.at(home)).pid
    if served is None:  # it has not come back from the kill before
        command.kill()
        command.wait()
        return False
    deaths = [command.kill, lambda: os.kill(served, signal.SIGKILL)]
    if victims == "server":
        os.kill(served, signal.SIGKILL)
        assert command.wait() in FINE, f"without its server\n{command.said()}"
        return True
    for kill in deaths if victims == "command and server" else reversed(deaths):
        kill()
    return command.wait() == -signal.SIGKILL


def _at_work_for(command: Command, seconds: float) -> bool:
    """Wait for the first event and then that long; whether the command is still there."""
    while not command.at_work() and not command.ended():
        time.sleep(0.005)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not command.ended():
        time.sleep(0.002)
    return not command.ended()
