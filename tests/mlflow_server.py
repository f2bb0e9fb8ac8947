"""MLflow's server as somebody else would run it: treadle neither starts it nor knows where it keeps things."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests import postgres
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings

STORES = ["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgresql", "server"))]
"""What a contract suite of MLflow's stores runs over: `make test` knows the embedded one only."""

START_SECONDS = 90.0
USER, PASSWORD = "somebody", "hunter2"

# MLflow's own app with a password asks for a package more than MLflow brings; a proxy in front does what this does.
GATE = f"""
import base64
from mlflow.server.fastapi_app import app as behind
LOGIN = b"Basic " + base64.b64encode(b"{USER}:{PASSWORD}")
async def app(scope, receive, send):
    known = dict(scope.get("headers", ())).get(b"authorization") == LOGIN
    if scope["type"] != "http" or scope["path"] == "/health" or known:
        return await behind(scope, receive, send)
    await send({{"type": "http.response.start", "status": 401, "headers": []}})
    await send({{"type": "http.response.body", "body": b"who are you?"}})
"""


@contextmanager
def stored(request: pytest.FixtureRequest, home: Path) -> Iterator[Settings]:
    """The settings of a home with such a store; the server's is in PostgreSQL too."""
    if request.param == "sqlite":
        yield settings_.at(home)
        return
    database = postgres.url(request, "postgresql", home)
    if request.param == "postgresql":
        yield settings_.Settings(home=home, tracking_uri=database)
        return
    with serving(home.with_name(f"{home.name}-server"), database) as url:
        yield settings_.Settings(home=home, tracking_uri=url)


@contextmanager
def serving(folder: Path, database: str = "", *, gate: bool = False, port: int = 0) -> Iterator[str]:
    """The address of a server over `database`, else a SQLite in `folder`, where its artifacts are too.

    With `gate` it wants name and password.
    """
    folder.mkdir(exist_ok=True)
    database = database or f"sqlite:///{folder / 'mlflow.db'}"
    with socket.create_server(("127.0.0.1", port)) as free:
        port = free.getsockname()[1]
    told = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (folder / "artifacts").as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    serve = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    serve += ["--artifacts-destination", (folder / "artifacts").as_uri()]
    if gate:
        (folder / "gate.py").write_text(GATE)
        serve = [sys.executable, "-m", "uvicorn", "gate:app", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        environment = settings_.child_environment(told, without=("MLFLOW_TRACKING",))
        process = subprocess.Popen(serve, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
