from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.mlflow_server import serving
from tests.postgres import PASSWORD
from tests.projects import project, tumours
from treadle.flows.service.deployments import prefect_yaml, project_package
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.processes.system import run_processes
from treadle.infra.settings import child_environment
from treadle.tasks.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Cluster

INFRA = Path(__file__).parents[2] / "infra" / "deploy"
POOL = "somebodys-pool"


def test_the_files_for_prefects_commands_are_current() -> None:
    told = "python -m treadle.flows.service.deployments.prefect_yaml > ..., and with `automations`"
    assert (INFRA / "prefect.yaml").read_text() == prefect_yaml.prefect_yaml(), told
    assert (INFRA / "automations.yaml").read_text() == prefect_yaml.automations_yaml(), told


def add(home: Path, text: str) -> Path:
    """A pipeline's file and its suite."""
    for folder in ("pipelines", "expectations"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "expectations" / "shop.json").write_text('{"regex": "^{{ a }}{2}$"}')
    file = home / "pipelines" / "shop.toml"
    file.write_text(f'name = "shop"\n[data]\nsource = "x.csv"\ntarget = "y"\ntask = "binary"\n{text}')
    return file


def test_a_deployment_carries_the_pipelines_files_and_schedules(tmp_path: Path) -> None:
    home = tmp_path / "home"
    add(home, 'timezone = "Europe/Berlin"\n[retrain]\nschedule = "0 6 * * *"\n')
    told = project_package.pack(str(home), "shop")
    assert (told["timezone"], told["train"]) == ("Europe/Berlin", {"cron": "0 6 * * *", "active": True})
    assert told["score"] == told["monitor"] == {"cron": project_package.NEVER, "active": False}
    there = tmp_path / "nothing" / "here"
    files = told["files"]
    assert isinstance(files, dict)
    with folder_restored():
        assert project_package.unpack(str(there), files) == {"directory": str(there)}
        assert Path.cwd() == there
    for name in ("pipelines/shop.toml", "expectations/shop.json"):
        assert (there / name).read_bytes() == (home / name).read_bytes()


def test_a_deployment_carries_the_file_of_a_loss_of_ones_own(tmp_path: Path) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    add(home, '[model]\nobjective = "losses:own"\n')
    (home / "pipelines" / "losses.py").write_text("own = print\n")
    unpack(home, there)
    assert (there / "pipelines" / "losses.py").read_text() == "own = print\n"


def test_what_was_carried_is_renewed_and_what_a_person_changed_is_left(tmp_path: Path) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    for text in ("[score]\nschedule = '0 6 * * *'\n", "[score]\nschedule = '0 7 * * *'\n", ""):
        file = add(home, text)
        unpack(home, there)
        assert (there / "pipelines" / "shop.toml").read_text() == file.read_text()
    mine = there / "pipelines" / "shop.toml"
    mine.write_text(mine.read_text() + "# mine\n")
    add(home, "[score]\nschedule = '0 8 * * *'\n")
    unpack(home, there)
    assert mine.read_text().endswith("# mine\n")
    unpack(home, home)
    assert file.read_text().endswith("'0 8 * * *'\n"), "a project in which a run is at home is its own"
    assert not list(there.rglob("*.part"))


def test_a_home_that_only_treadle_0_1_0_laid_files_out_in_is_renewed_and_a_persons_change_stays(tmp_path: Path) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    add(home, "[score]\nschedule = '0 6 * * *'\n")
    unpack(home, there)
    state = there / ".treadle"
    (state / "project_package.json").rename(state / project_package.FORMER_NAME)
    assert project_package.FORMER_NAME == "carried.json", "the name that it has on people's machines"
    suite = there / "expectations" / "shop.json"
    suite.write_text('{"mine": true}')

    file = add(home, "[score]\nschedule = '0 7 * * *'\n")
    (home / "expectations" / "shop.json").write_text('{"regex": "new"}')
    unpack(home, there)
    assert (there / "pipelines" / "shop.toml").read_text() == file.read_text(), "ours, as the earlier file says"
    assert suite.read_text() == '{"mine": true}'

    file = add(home, "[score]\nschedule = '0 8 * * *'\n")
    unpack(home, there)
    assert (there / "pipelines" / "shop.toml").read_text() == file.read_text(), "and what was renewed is known anew"
    assert suite.read_text() == '{"mine": true}'


def unpack(home: Path, there: Path) -> None:
    files = project_package.pack(str(home), "shop")["files"]
    assert isinstance(files, dict)
    with folder_restored():
        project_package.unpack(str(there), files)


@contextmanager
def folder_restored() -> Iterator[None]:
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)


def test_a_project_that_is_not_there_or_cannot_be_obeyed_is_not_deployed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PIPELINE=shop"):
        project_package.pack(str(tmp_path), "shop")
    with pytest.raises(UsageError, match=r"PROJECT=\., PIPELINE=:"):
        project_package.pack()
    add(tmp_path, "[scoer]\n")
    with pytest.raises(ConfigError, match="scoer"):
        project_package.pack(str(tmp_path), "shop")


def prefect(url: str, *arguments: str, **more: str) -> str:
    """One of Prefect's own commands, against that server."""
    ended = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        env=child_environment({"PREFECT_API_URL": url, **more}),
        cwd=INFRA.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def ask(url: str, path: str, question: object = None) -> Any:
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(f"{url}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


@contextmanager
def process(folder: Path, *command: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody's, with all that it starts."""
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=child_environment(more),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(started.pid, number)
            with suppress(subprocess.TimeoutExpired):
                started.wait(10)


@contextmanager
def somebodys_server(folder: Path) -> Iterator[str]:
    """`prefect server start`, as its makers meant it."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    with process(folder, "prefect", "server", "start", "--port", port, PREFECT_HOME=str(folder)):
        eventually(lambda: ask(url, "/health"))
        yield url


def eventually(look: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if look():
                return
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


def completed(url: str, work: str) -> list[str]:
    """What its runs said that came to a good end."""
    question = {"flows": {"name": {"any_": [work]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    return [run["state"]["message"] for run in ask(url, "/flow_runs/filter", question) if run["deployment_id"]]


def lost(url: str, home: Path) -> bool:
    """Whether there was a training at work whose process we could kill."""
    at_work = {"flows": {"name": {"any_": ["train"]}}, "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    found = [run["id"] for run in ask(url, "/flow_runs/filter", at_work) if run["deployment_id"]]
    for run, pid in run_processes(home).items():
        if run in found:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_a_worker_in_an_empty_folder_does_the_whole_work_for_a_server_that_is_not_ours(
    home: Path, tmp_path: Path, postgres: Cluster
) -> None:
    _, config = project(home, tumours(), "Malignant")
    file = home / "pipelines" / "clinic.toml"
    file.write_text(file.read_text() + "\n[tune]\ntrials = 1\n[monitor]\nschedule = '30 5 * * *'\n")
    empty, there = tmp_path / "empty", tmp_path / "there"
    empty.mkdir()
    stored = {"LEDGER_URL": postgres.database(), "TUNING_URL": postgres.database()}
    told = {f"TREADLE_{name}": url for name, url in stored.items()}
    told["TREADLE_STORAGE_URL"] = str(tmp_path / "tables")
    with (
        somebodys_server(tmp_path / "server") as url,
        serving(tmp_path / "mlflow", postgres.database()) as told["TREADLE_TRACKING_URI"],
    ):
        named = {"PROJECT": str(home), "PIPELINE": config.name, "POOL": POOL, "TREADLE_HOME": str(there)}
        prefect(url, "work-pool", "create", POOL, "--type", "process")
        prefect(url, "deploy", "--prefect-file", str(INFRA / "prefect.yaml"), "--all", **named)
        prefect(url, "automation", "create", "--from-file", str(INFRA / "automations.yaml"))
        schedules = ask(url, f"/deployments/name/monitor/{config.name}")["schedules"]
        assert [(one["schedule"]["cron"], one["active"]) for one in schedules] == [("30 5 * * *", True)]
        (unscheduled,) = ask(url, f"/deployments/name/score/{config.name}")["schedules"]
        assert not unscheduled["active"]
        (looked,) = ask(url, f"/deployments/name/ingest/{config.name}")["schedules"]
        assert (looked["schedule"]["interval"], looked["active"]) == (prefect_yaml.POLL_SECONDS, True)
        worker = ("prefect", "worker", "start", "--type", "process", "--pool", POOL)
        with process(empty, *worker, PREFECT_API_URL=url, PREFECT_WORKER_QUERY_SECONDS="1", **told):
            prefect(url, "deployment", "run", f"ingest/{config.name}")
            eventually(lambda: completed(url, "train") and completed(url, "monitor"))
            assert completed(url, "train")[0].startswith("PROMOTE")
            news = there / "data" / "inbox" / config.name
            news.mkdir(parents=True)
            new = tumours().head(20).drop(columns="Malignant")
            new.assign(**{"Tumour ID": [f"N{number}" for number in range(20)]}).to_csv(news / "new.csv", index=False)
            prefect(url, "deployment", "run", f"ingest/{config.name}")
            eventually(lambda: any(said.startswith("20 rows scored") for said in completed(url, "score")))
            prefect(url, "deployment", "run", f"train/{config.name}", "--param", 'options={"again": true}')
            eventually(lambda: lost(url, there))
            eventually(lambda: len(completed(url, "train")) == 2)
    settings = settings_.Settings(home=there, storage_url=str(tmp_path / "tables"), ledger_url=stored["LEDGER_URL"])
    opened = stores.open(settings, config.name)
    assert opened.tables.version("predictions") >= 0
    assert len(opened.ledger.history(config.name)) == 1
    assert not (there / "mlruns").exists()
    assert not list(empty.iterdir())
    for path in (path for folder in (there, tmp_path / "server") for path in folder.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in path.read_bytes(), path
