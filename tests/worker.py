"""What takes runs of deployments up: a worker as somebody else would run it, or `treadle up`; and those runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected, flow_context, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun

    from treadle.infra.settings import Settings


@contextmanager
def worker(settings: Settings, folder: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the home's pool: a process of its own, in a folder that is not the home."""
    url = orchestrator.server_state(settings).url
    log = settings.state / "worker.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", server.POOL],
            env=settings_.child_environment(
                {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1", **environment}
            ),
            stdout=output,
            stderr=output,
            cwd=folder or settings.state,
        )
    try:
        yield process
    finally:
        process.kill()  # told to end, it waits for its runs and for a server that has its own pace
        process.wait(30)


def treadle(home: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """A command in the home, as JSON."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "treadle.flows.cli", *arguments, "--json"],
        cwd=home,
        env={**os.environ, "TREADLE_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return dict(json.loads(ended.stdout))


def eventually(look: Callable[[], object], seconds: float = 180) -> float:
    """Wait until it is so; how long that took."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < seconds, "it did not come about"
        threading.Event().wait(0.5)
    return time.monotonic() - began


def runs(settings: Settings) -> list[FlowRun]:
    """All runs of deployments but those that wait for their hour, such as maintain's."""
    with flow_context(settings), connected() as client:
        found = client.read_flow_runs(limit=200)
    return [run for run in found if run.deployment_id is not None and not run.auto_scheduled]


def over(run: FlowRun) -> bool:
    """Whether it has ended, how ever."""
    return run.state is not None and run.state.is_final()


def ended(run: FlowRun) -> bool:
    """Whether it came to a good end."""
    return run.state is not None and run.state.is_completed()
