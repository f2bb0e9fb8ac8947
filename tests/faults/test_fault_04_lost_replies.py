"""FAULTS 4: the effect is done, the reply is lost; the run goes on, and nothing is done twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests import shop
from tests.faults.harness import LIFE
from treadle.infra import settings as settings_
from treadle.infra.tracking.registry import Registry
from treadle.infra.tracking.runs import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.harness import Stages


class Forgetful:
    """Forwards to a server; the first `losses` wanted requests lose their replies, and their connections."""

    def __init__(self, url: str, losses: int, wanted: tuple[bytes, ...]) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self.losses, self.wanted = losses, wanted
        self.lost = 0
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self.target) as server:
            doomed = threading.Event()

            def there() -> None:
                with contextlib.suppress(OSError):
                    while data := client.recv(65_536):
                        if any(one in data for one in self.wanted):
                            with self._counting:
                                if self.lost < self.losses:
                                    self.lost += 1
                                    doomed.set()
                        server.sendall(data)
                    server.shutdown(socket.SHUT_WR)

            threading.Thread(target=there, daemon=True).start()
            while (data := server.recv(65_536)) and not doomed.is_set():  # else the server has done it
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)  # a close would wait for the thread that reads


@contextlib.contextmanager
def forgetful(url: str, losses: int, *wanted: bytes) -> Iterator[Forgetful]:
    proxy = Forgetful(url, losses, wanted)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.mark.slow  # a reset at each request that matters, and Prefect's client waits before it asks again
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        ("score", b"POST /api/task_runs/"),
        pytest.param("ingest", b"/set_state", marks=pytest.mark.slow),
        pytest.param("score", b"POST /api/artifacts/", marks=pytest.mark.slow),
    ],
)
def test_replies_of_prefect_that_are_lost_change_nothing(
    stages: Stages, prefect_server: str, stage: str, wanted: bytes
) -> None:
    with forgetful(prefect_server, 2, wanted) as proxy:
        home = stages.home(stage)
        done = stages.workshop.run(home, LIFE[stage], PREFECT_API_URL=proxy.url)
    assert proxy.lost == 2
    assert done.status in (0, 3), done.said()
    stages.check(home, stage, wanted.decode())


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = ["-m", "mlflow", "server", "--port", str(port), "--workers", "1", "--artifacts-destination", str(folder)]
    process = subprocess.Popen(
        [sys.executable, *command, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            assert process.poll() is None
            threading.Event().wait(0.1)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_replies_of_mlflow_that_are_lost_make_nothing_twice(
    home: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    created = (b"/runs/create ", b"/logged-models ", b"/model-versions/create ")
    with forgetful(mlflow_server, len(created), *created) as proxy:
        monkeypatch.setenv("TREADLE_TRACKING_URI", proxy.url)
        settings = settings_.at(home)
        tracking, registry = Tracking(settings, "shop"), Registry(settings, "shop")
        shop.write(home / "bundle", shop.model("binary"))
        run_id = tracking.open_run("k1", "one", {})
        uri = registry.log_model(run_id, home / "bundle")
        version = registry.register(run_id, uri, "k1", {}, "")
        registry.set_champion(version)
    assert proxy.lost == len(created)
    client = MlflowClient(mlflow_server, mlflow_server)
    [experiment] = [one for one in client.search_experiments() if one.name == "shop"]
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == [run_id]
    models = client.search_logged_models([experiment.experiment_id])
    assert [model.model_uri for model in models if model.status == "READY"] == [uri]
    assert [int(one.version) for one in client.search_model_versions("name = 'shop'")] == [version]
