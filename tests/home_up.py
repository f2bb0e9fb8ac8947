"""A home that `treadle up` keeps: its processes, and the runs of its own Prefect server."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.infra import orchestrator
from treadle.infra import supervisor as processes_
from treadle.infra.orchestrator.api import ask
from treadle.infra.processes import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.infra.settings import Settings

# The stated time is 60 s with the machine to itself; the slow proofs share its cores with one another.
SHARED = 2.0
SCORED_SECONDS = 60.0 * SHARED
KEPT = ("worker", "mlflow")


def until(holds: Callable[[], Any], seconds: float = 90.0) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "never came true"
        threading.Event().wait(0.2)
    return time.monotonic() - began


def processes(home: Path) -> dict[int, str]:
    """Every process of the home, by its command line or environment, but this one."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            texts = [(place / name).read_bytes().replace(b"\0", b" ").decode() for name in ("cmdline", "environ")]
            if any(str(home) in text for text in texts) and int(place.name) != os.getpid():
                found[int(place.name)] = texts[0]
    return found


def kept(settings: Settings) -> dict[str, int]:
    """The processes that `up` keeps, and itself."""
    known = {name: process.holder(processes_.locks_folder(settings) / f"{name}.lock") for name in (*KEPT, "up")}
    pids = {name: one.pid for name, one in known.items() if one}
    return {**pids, "prefect": orchestrator.server_state(settings).pid or 0}


def runs(settings: Settings, work: str, *states: str) -> list[dict[str, Any]]:
    """The runs of a kind of work that are in one of these states; none while the server does not answer."""
    question = {"flows": {"name": {"any_": [work]}}, "flow_runs": {"state": {"type": {"any_": [*states]}}}}
    api = f"{orchestrator.ui_url(settings)}/api"
    try:
        return list(json.loads(ask(api, "/flow_runs/filter", question)))
    except OSError:
        return []


def scored(settings: Settings, rows: int) -> bool:
    """Whether a run has scored so many rows."""
    done = [run["state"]["message"] or "" for run in runs(settings, "score", "COMPLETED")]
    return any(message.startswith(f"{rows} rows scored") for message in done)
