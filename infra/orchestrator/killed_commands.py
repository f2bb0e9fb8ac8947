"""Runs of commands that were killed: no process reports their end, and Prefect would show them running for ever.

Every command that runs flows locks a file of its own, and tags its runs with that file's name. An unlocked file belongs
to a process that was killed; the next command closes its runs.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import lock_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDED = "The command's process ended before the run did."
"""State message of a run whose command was killed or interrupted."""

UNLOCKED_SECONDS = 60.0
"""A command's file may be unlocked for so long after its creation."""

log = logging.getLogger("treadle.orchestrator")


@contextmanager
def register_command(folder: Path) -> Iterator[None]:
    """Close the runs of dead commands, then mark this one as alive by a lock, and tag the block's runs."""
    from prefect import tags

    place = folder / "commands"
    place.mkdir(parents=True, exist_ok=True)
    for path in place.glob("process-*"):
        _close_if_dead(path)
    for path in place.glob(".process-*"):  # of a process that was killed before the rename
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > UNLOCKED_SECONDS:
                path.unlink()
    path = place / f"process-{os.getpid()}-{time.time_ns():x}"
    aside = path.with_name(f".{path.name}")  # other commands never find it unlocked
    with aside.open("w") as file:
        lock_descriptor(file.fileno())
        aside.rename(path)
        try:
            with tags(path.name):
                yield
        finally:
            path.unlink(missing_ok=True)


def dead_commands(folder: Path) -> set[str]:
    """The tags of commands whose process is gone and whose runs no command has closed yet."""
    return {path.name for path in (folder / "commands").glob("process-*") if _is_unlocked(path)}


def _is_unlocked(path: Path) -> bool:
    with suppress(OSError), path.open("r+") as file:
        return lock_descriptor(file.fileno(), blocking=False)
    return False


def _close_if_dead(path: Path) -> None:
    """Close the runs of the command that held `path`, unless it still does."""
    with suppress(OSError), path.open("r+") as file:  # deleted meanwhile
        if lock_descriptor(file.fileno(), blocking=False):
            _close_runs(path.name)
            path.unlink()


def _close_runs(tag: str) -> None:
    """Set runs with this tag that are not final to Crashed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    unfinished = {"type": {"any_": [StateType.PENDING, StateType.RUNNING, StateType.SCHEDULED]}}
    wanted = FlowRunFilter.model_validate({"tags": {"all_": [tag]}, "state": unfinished})
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=wanted):
            client.set_flow_run_state(run.id, Crashed(message=ENDED), force=True)
            log.warning("the run %s of a command that was killed is closed as crashed", run.name)
