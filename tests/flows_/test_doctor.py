from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections import namedtuple
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from treadle.flows.project import doctor
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster
    from treadle.flows.project.doctor import Check, DoctorResult

Usage = namedtuple("Usage", "total used free")


def named(result: DoctorResult, name: str) -> Check:
    [check] = [check for check in result.checks if check.name == name]
    return check


def test_a_healthy_machine_passes_every_check_and_nothing_is_left_behind(home: Path) -> None:
    before = sorted(home.rglob("*"))
    result = doctor.run_doctor(settings_.at(home))
    assert [check for check in result.checks if check.status == "broken"] == []
    assert result.exit_code() == 0
    assert sorted(home.rglob("*")) == before


def test_every_check_that_is_not_ok_has_a_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1, 1, 0))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = doctor.run_doctor(settings_.at(home / "nowhere"))
    amiss = [check for check in result.checks if check.status != "ok"]
    assert {"disk", "project", "Prefect server"} <= {check.name for check in amiss}
    assert all(check.remedy for check in amiss)
    assert result.exit_code() == 1


def test_it_imports_nothing_heavy(home: Path) -> None:
    program = (
        "import sys, json; from pathlib import Path; from treadle.flows.project import doctor; "
        "from treadle.infra import settings;"
        f"doctor.run_doctor(settings.at(Path({str(home)!r}))); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    heavy = {"prefect", "mlflow", "great_expectations", "sklearn", "pandas", "pyarrow", "duckdb", "matplotlib"}
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("free", "status"), [(0.5e9, "broken"), (2e9, "warning"), (50e9, "ok")], ids=["full", "tight", "roomy"]
)
def test_room_on_the_disk_is_judged(free: float, status: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100e9, 0, free))
    assert doctor.disk(settings_.at(home)).status == status


def test_a_container_s_limit_counts_as_the_memory(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1000000000\n")
    monkeypatch.setattr(doctor, "MEMORY_LIMITS", (limit,))
    check = doctor.memory(settings_.at(home))
    assert (check.status, check.found) == ("warning", "1.0 of 1.0 GB available")


def test_packages_that_are_missing_or_too_old_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["pydantic>=99", "no-such-package", "typer>=0.1", "pywin32; sys_platform == 'win32'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: needed)
    check = doctor.packages(settings_.at(home))
    assert check.status == "broken"
    assert "no-such-package is missing" in check.found
    assert "not >=99" in check.found
    assert "typer" not in check.found
    assert "pywin32" not in check.found
    assert check.remedy == "make install"


def test_a_folder_that_cannot_be_written_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = doctor.writable(settings_.at(home))
    assert check.status == "broken"
    assert str(home) in check.found
    assert "chmod" in check.remedy


def test_a_damaged_database_is_named_with_the_command_that_sets_it_aside(home: Path) -> None:
    (home / "mlruns").mkdir()
    with closing(sqlite3.connect(home / "mlruns" / "treadle.db")) as connection:
        connection.execute("CREATE TABLE whole (x)")
    assert doctor.databases(settings_.at(home)).found == "treadle.db: whole"
    (home / "mlruns" / "mlflow.db").write_bytes(b"not a database" * 100)
    check = doctor.databases(settings_.at(home))
    assert check.status == "broken"
    assert check.found.startswith("MLflow's database is damaged")
    assert f"mv '{home}/mlruns/mlflow.db'" in check.remedy


@pytest.mark.parametrize(("place", "status"), [("{home}/mlruns/artifacts", "ok"), ("/gone/mlruns/artifacts", "broken")])
def test_artifacts_that_stayed_behind_when_a_home_moved_are_noticed(place: str, status: str, home: Path) -> None:
    (home / "mlruns").mkdir()
    with closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id, artifact_location, lifecycle_stage)")
        location = f"file://{place.format(home=home)}/flights"
        connection.execute("INSERT INTO experiments VALUES (1, ?, 'active')", (location,))
    check = doctor.artifact_paths(settings_.at(home))
    assert check.status == status
    assert status == "ok" or check.remedy.endswith(f"ln -s '{home}' '/gone'")


def test_a_running_server_is_shown_with_its_address(home: Path, prefect_server: str) -> None:
    check = doctor.prefect(settings_.at(home))
    assert (check.status, check.found) == ("ok", prefect_server.removesuffix("/api"))


def test_a_check_that_fails_to_run_is_broken_and_stops_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_over(_settings: object) -> Check:
        raise RuntimeError("oops")

    monkeypatch.setitem(doctor.CHECKS, "cores", fall_over)
    result = doctor.run_doctor(settings_.at(home))
    assert named(result, "cores").found == "could not be checked: RuntimeError: oops"
    assert named(result, "fonts").status == "ok"
    assert result.exit_code() == 1


def test_a_database_elsewhere_that_does_not_answer_is_named_without_its_password(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = {"ledger_url": f"postgresql+psycopg://me:hunter2@127.0.0.1:{port}/ledger", "home": home}
    check = doctor.databases(settings_.Settings.model_validate(told))
    assert check.status == "broken"
    assert "TREADLE_LEDGER_URL: postgresql+psycopg://me:***@127.0.0.1" in check.found
    assert "hunter2" not in check.found + check.remedy


def test_an_mlflow_server_that_does_not_answer_is_named(home: Path) -> None:
    assert doctor.check_mlflow(settings_.at(home)).status == "ok"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    check = doctor.check_mlflow(settings_.Settings(home=home, tracking_uri=f"http://me:hunter2@127.0.0.1:{port}"))
    assert (check.status, check.found) == ("broken", f"TREADLE_TRACKING_URI=http://127.0.0.1:{port} does not answer")


@pytest.mark.postgres
def test_a_database_elsewhere_that_answers_is_named(home: Path, postgres: Cluster) -> None:
    settings = settings_.Settings(home=home, ledger_url=postgres.database(), tracking_uri="http://somebody:5000")
    check = doctor.databases(settings)
    assert (check.status, check.found) == ("ok", "TREADLE_LEDGER_URL: answering")
    (home / "mlruns").mkdir()
    with closing(sqlite3.connect(home / "mlruns" / "optuna.db")) as connection:
        connection.execute("CREATE TABLE whole (x)")
    assert doctor.databases(settings).found == "optuna.db: whole; TREADLE_LEDGER_URL: answering"
