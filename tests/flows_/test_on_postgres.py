"""The whole way with every store in PostgreSQL: by `treadle up`, and as infra/deploy/compose.yaml starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.flows_.test_prefect_yaml import completed
from tests.infra_.test_image import INFRA, Service, compose
from tests.postgres import PASSWORD, USER, cluster
from tests.projects import inbox, project, tumours
from treadle.infra import orchestrator
from treadle.infra import settings as settings_
from treadle.infra.settings import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Cluster

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]

SERVERS = ("Prefect", "MLflow", "worker")
PROGRAMS = Path(sys.executable).parent


def treadle(home: Path, *arguments: str, **told: str) -> Any:
    """A command in the home, as JSON."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "treadle.flows.cli", *arguments, "--json"],
        cwd=home,
        env=child_environment({"TREADLE_HOME": str(home), **told}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert PASSWORD not in ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def until(holds: Callable[[], Any], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if holds():
                return
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


def ready(home: Path) -> None:
    """A pipeline in the home that trains briefly."""
    project(home, tumours(), "Malignant")
    file = home / "pipelines" / "clinic.toml"
    file.write_text(file.read_text() + "\n[tune]\ntrials = 1\n")


def drop(home: Path) -> None:
    """Let 20 rows arrive that nobody has seen."""
    place = inbox(home)
    place.mkdir(parents=True, exist_ok=True)
    new = tumours().head(20).drop(columns="Malignant")
    new.assign(**{"Tumour ID": [f"N{number}" for number in range(20)]}).to_csv(place / "new.csv.part", index=False)
    (place / "new.csv.part").rename(place / "new.csv")


def arguments(home: Path) -> str:
    """The command lines of the home's processes."""
    lines = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(home).encode() in (place / "environ").read_bytes():
                lines.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return "\n".join(lines)


def test_from_the_first_file_to_scores_by_up_with_nothing_in_sqlite(home: Path, postgres: Cluster) -> None:
    ready(home)
    names = ("TREADLE_TRACKING_URI", "TREADLE_LEDGER_URL", "TREADLE_TUNING_URL")
    told = {name: postgres.database() for name in names}
    told["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = postgres.database("asyncpg")
    try:
        assert treadle(home, "ingest", **told)["accepted"] == 569
        assert treadle(home, "train", **told)["decision"] == "PROMOTE"
        (champion,) = treadle(home, "models", **told)["versions"]
        assert champion["champion"]
        up = treadle(home, "up", "--detach", **told)
        assert up["mlflow"].startswith("http://127.0.0.1")
        drop(home)
        until(lambda: "20 rows scored by version 1" in completed(f"{up['prefect']}/api", "score"))
        status = treadle(home, "status", **told)
        assert {one["name"]: one["state"] for one in status["servers"]} == dict.fromkeys(SERVERS, "running")
        assert "worker" in arguments(home)
        assert PASSWORD not in arguments(home)
        checks = {check["name"]: check for check in treadle(home, "doctor", **told)["checks"]}
        assert checks["databases"]["status"] == "ok"
        assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" in checks["databases"]["found"]
    finally:
        treadle(home, "down", **told)
    assert [path.name for path in home.rglob("*.db")] == []
    for path in (path for path in home.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_database_that_stops_while_training_is_one_line_and_the_same_command_goes_on(home: Path) -> None:
    ready(home)
    command = [sys.executable, "-P", "-m", "treadle.flows.cli", "train", "--trials", "30", "--budget", "600"]
    with cluster() as own:
        names = ("TREADLE_TRACKING_URI", "TREADLE_LEDGER_URL", "TREADLE_TUNING_URL")
        told = {name: own.database() for name in names}
        environment = child_environment({"TREADLE_HOME": str(home), **told})
        studies = own.plain(told["TREADLE_TUNING_URL"].rpartition("/")[2])

        def trials() -> int:
            with suppress(psycopg.errors.UndefinedTable), psycopg.connect(studies) as con:
                return len(con.execute("SELECT 1 FROM trials WHERE state = 'COMPLETE'").fetchall())
            return 0

        try:
            treadle(home, "ingest", **told)
            with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE, text=True) as training:
                until(lambda: trials() >= 3)
                own.stop()
                _, said = training.communicate(timeout=300)
            assert training.returncode == 1
            assert re.search(r"treadle: the (ledger|tuning studies) at postgresql\S* do(es)? not answer", said)
            assert "Traceback" not in said
            assert PASSWORD not in said
            own.start()
            before = trials()
            assert before >= 3
            result = treadle(home, *command[4:], **told)
            assert result["decision"] == "PROMOTE"
            assert trials() <= 31, "it went on with those that it had"
        finally:
            treadle(home, "down", **told)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Neighbours:
    """The services of infra/deploy/compose.yaml as processes of this machine, on ports that are free."""

    def __init__(self, home: Path, postgres: Cluster) -> None:
        self.home, self.postgres = home, postgres
        self.ports = {"prefect:4200": free_port(), "mlflow:5000": free_port()}

    def here(self, text: str) -> str:
        """What a service is told, as it is true here."""
        text = re.sub(r"\$\{POSTGRES_PASSWORD[^}]*\}", PASSWORD, text)
        text = text.replace("postgres:5432", f"127.0.0.1:{self.postgres.port}").replace(
            "/artifacts", f"{self.home}/kept"
        )
        for place, port in self.ports.items():
            name, _, number = place.partition(":")
            text = text.replace(place, f"127.0.0.1:{port}")
            text = re.sub(rf"(?<!\d){number}(?!\d)", str(port), text).replace(f"/tmp/{name}", f"{self.home}/.{name}")
        return text.replace("0.0.0.0", "127.0.0.1")

    def environment(self, service: Service) -> dict[str, str]:
        """Its environment."""
        told = {name: self.here(value) for name, value in service.environment.items()}
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        return child_environment(
            {"PATH": path, "TREADLE_HOME": str(self.home), **told}, without=("PREFECT_", "MLFLOW_")
        )

    def healthy(self, service: Service) -> bool:
        """What its health check says."""
        kind, *command = [self.here(part) for part in service.healthcheck.test]
        assert kind == "CMD"
        return (
            subprocess.run(command, cwd=self.home, env=self.environment(service), capture_output=True, check=False)
        ).returncode == 0

    @contextmanager
    def running(self, name: str, service: Service) -> Iterator[None]:
        """The service at work, and well."""
        command = [self.here(part) for part in service.command or ["treadle", "up"]]
        with (self.home.parent / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.home, env=self.environment(service), stdout=log, stderr=log, start_new_session=True
            )
        try:
            until(lambda: self.healthy(service))
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(float(service.stop_grace_period.removesuffix("s"))) in (0, -signal.SIGTERM)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def test_what_compose_starts_works_together(home: Path, postgres: Cluster) -> None:
    ready(home)
    told = compose()
    with psycopg.connect(postgres.plain("postgres"), autocommit=True) as con:
        for statement in re.findall(r"^CREATE .*;$", (INFRA / "databases.sql").read_text(), re.M):
            con.execute(statement)
    assert told.services["postgres"].environment["POSTGRES_USER"] == USER
    neighbours = Neighbours(home, postgres)
    with ExitStack() as stack:
        for name in ("prefect", "mlflow", "treadle"):
            stack.enter_context(neighbours.running(name, told.services[name]))
        there = neighbours.environment(told.services["treadle"])
        asked = {name: there[name] for name in told.services["treadle"].environment}
        until(lambda: completed(asked["PREFECT_API_URL"], "train"))
        drop(home)
        until(lambda: "20 rows scored by version 1" in completed(asked["PREFECT_API_URL"], "score"))
        status = treadle(home, "status", **asked)
        addresses = {server["name"]: (server["state"], server["address"]) for server in status["servers"]}
        assert addresses["MLflow"] == ("running", asked["TREADLE_TRACKING_URI"])
        assert "worker" in arguments(home)
        assert PASSWORD not in arguments(home)
    assert not (home / "mlruns").exists()
    assert [path.name for path in home.rglob("*.db")] == []
    assert orchestrator.server_state(settings_.at(home)).state is orchestrator.ServerPhase.STOPPED, (
        "it had no server of its own"
    )
