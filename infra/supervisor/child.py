"""The kept processes: `python -P -m infra.supervisor.child worker|mlflow HOME LOCK`.

Each holds its lock before it does anything, and a second one ends at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from infra import settings as settings_
from infra.orchestrator.serve import take_socket
from infra.orchestrator.server import LOOPBACK, POOL
from infra.settings import Settings, child_environment, set_environment, shown
from infra.supervisor import process


def worker(settings: Settings, lock: IO[str]) -> None:
    """Become Prefect's process worker; the lock stays with the process."""
    process.write(lock, process.Known(os.getpid(), str(settings.home), shown(settings.prefect_api_url)))
    os.set_inheritable(lock.fileno(), True)
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--type", "process", "--pool", POOL]
    command += ["--name", "treadle"]  # one line on the page of workers, however often it is started
    os.execve(sys.executable, command, child_environment({}))  # noqa: S606 - our own interpreter, no shell


def mlflow(settings: Settings, lock: IO[str]) -> None:
    """Serve MLflow's pages over the home's stores: what `mlflow server` does, in one process instead of two.

    Loopback only, for there is no password. MLflow's command gives its app the same names by the environment, so
    that an address with a password is in no list of processes.
    """
    import uvicorn

    from infra import moved, tracking

    with take_socket(process.said(Path(lock.name)).port, None) as listener:
        port = listener.getsockname()[1]
        process.write(lock, process.Known(os.getpid(), str(settings.home), f"http://{LOOPBACK}:{port}", port))
        artifacts = (settings.mlruns / "artifacts").as_uri()
        set_environment(
            {
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "_MLFLOW_SERVER_FILE_STORE": settings.tracking,
                "_MLFLOW_SERVER_REGISTRY_STORE": settings.registry,
                "_MLFLOW_SERVER_ARTIFACT_ROOT": artifacts,
                "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
                "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
                "_MLFLOW_SGI_NAME": "uvicorn",
            }
        )
        with tracking.quiet():
            moved.mend(settings)
            tracking.client(settings)  # makes the database where there is none
        config = uvicorn.Config("mlflow.server.fastapi_app:app", log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listener])


def main(name: str, home: Path, path: Path) -> int:
    """Run one of the two until it is told to end."""
    lock = process.take(path)
    if lock is None:
        return 0
    with lock:
        (worker if name == "worker" else mlflow)(settings_.at(home), lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
