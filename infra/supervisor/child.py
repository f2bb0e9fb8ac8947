"""The kept processes: `python -P -m treadle.infra.supervisor.child worker|mlflow HOME LOCK`.

Each holds its lock before it does anything, and a second one ends at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from treadle.infra import settings as settings_
from treadle.infra.orchestrator.server import POOL
from treadle.infra.processes import process
from treadle.infra.processes.http_guard import listeners
from treadle.infra.settings import LOOPBACK, Settings, child_environment, without_secrets
from treadle.infra.tracking.web_pages import mlflow_app


def become_worker(settings: Settings, lock: IO[str]) -> None:
    """Become Prefect's process worker; the lock stays with the process."""
    process.write_record(
        lock, process.ProcessRecord(os.getpid(), str(settings.home), without_secrets(settings.prefect_api_url))
    )
    os.set_inheritable(lock.fileno(), True)
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--type", "process", "--pool", POOL]
    command += ["--name", "treadle"]  # one line on the page of workers, however often it is started
    os.execve(sys.executable, command, child_environment({}))  # noqa: S606 - our own interpreter, no shell


def serve_mlflow(settings: Settings, lock: IO[str]) -> None:
    """Serve MLflow's pages: what `mlflow server` does, in one process instead of two."""
    import uvicorn

    from treadle.infra.tracking import relocation, runs

    with ExitStack() as stack:
        sockets = listeners(settings.listen, process.last_record(Path(lock.name)).port)
        for one in sockets:
            stack.enter_context(one)
        port = sockets[0].getsockname()[1]
        record = process.ProcessRecord(
            os.getpid(), str(settings.home), f"http://{LOOPBACK}:{port}", port, settings.host
        )
        process.write_record(lock, record)
        with runs.quiet():
            relocation.relocate(settings)
            runs.client(settings)  # makes the database where there is none
            app = mlflow_app(settings)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=sockets)


def child_main(name: str, home: Path, path: Path) -> int:
    """Run one of the two until it is ended."""
    lock = process.take_process_lock(path)
    if lock is None:
        return 0
    with lock:
        (become_worker if name == "worker" else serve_mlflow)(settings_.at(home), lock)
    return 0


if __name__ == "__main__":
    sys.exit(child_main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
