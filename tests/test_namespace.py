"""A person's own `flows/`, `tasks.py`, `infra/` and `expectations.py` are never taken for ours, nor ours for theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.projects import project, tumours
from tests.worker import eventually, over, runs, worker
from treadle.flows.service import deployments
from treadle.infra.orchestrator import connected, flow_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.infra.settings import Settings

ROOT = Path(__file__).parent.parent
NAMES = ("flows", "tasks", "expectations", "infra")
THEIRS = {
    "flows": "flows/__init__.py",
    "tasks": "tasks.py",
    "expectations": "expectations.py",
    "infra": "infra/__init__.py",
}
IMPORTED = "a person's own {} was imported"

EVERYTHING = """
import importlib, pkgutil, sys, treadle
import treadle.flows.train, treadle.flows.score, treadle.tasks.training, treadle.infra.stores, treadle.expectations
def fail(name): raise
found = [one.name for one in pkgutil.walk_packages(treadle.__path__, "treadle.", fail)]
for name in found:
    if not name.endswith(".__main__"):
        importlib.import_module(name)
print(len(found), *sorted({"flows", "tasks", "expectations", "infra"} & {one.partition(".")[0] for one in sys.modules}))
"""
"""Imports every module of ours, and prints how many there are and what was imported by a bare name."""

BARE = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        print(error)
"""

SPECS = """
import sys
from importlib.util import find_spec
if len(sys.argv) > 1:
    import site
    site.addsitedir(sys.argv[1])
print(*(name for name in ("treadle", "flows", "tasks", "expectations", "infra") if find_spec(name)))
print(find_spec("treadle").origin)
"""


def put_theirs(folder: Path) -> None:
    """The person's own modules, which are not to be imported."""
    for name, file in THEIRS.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"raise RuntimeError({IMPORTED.format(name)!r})\n")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder that a person works in."""
    put_theirs(tmp_path / "work")
    return tmp_path / "work"


def python_path(*folders: Path) -> str:
    """A PYTHONPATH that begins with these folders and goes on as ours."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH", "")])])


def said(folder: Path, command: Sequence[str | Path], **environment: str) -> str:
    """What a command prints that comes to a good end in that folder."""
    told = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_commands_work_in_a_project_beside_a_persons_own_modules(home: Path) -> None:
    settings, _ = project(home, tumours(), "Malignant")
    put_theirs(settings.home)
    installed = Path(sys.executable).with_name("treadle")
    for told in ({}, {"PYTHONPATH": python_path(home)}):
        assert said(home, [installed, "--version"], **told).startswith("treadle ")
        assert "Usage: treadle" in said(home, [sys.executable, "-m", "treadle.flows.cli", "--help"], **told)
    assert "clinic" in said(home, [installed, "check"], PYTHONPATH=python_path(home))


def test_a_notebook_beside_a_persons_own_modules_imports_all_of_ours_and_none_of_theirs(theirs: Path) -> None:
    notebook = [sys.executable, "-W", "ignore", "-c", EVERYTHING]  # the current folder is the first on its path
    count, *bare = said(theirs, notebook, PYTHONPATH=python_path(theirs)).split()
    assert int(count) > 150
    assert bare == []


@pytest.mark.parametrize("named", [False, True], ids=["the current folder", "PYTHONPATH"])
def test_by_their_bare_names_a_person_gets_their_own_modules(theirs: Path, tmp_path: Path, named: bool) -> None:
    told = {"PYTHONPATH": python_path(theirs)} if named else {}
    imported = said(tmp_path if named else theirs, [sys.executable, "-c", f"import treadle\n{BARE}", *NAMES], **told)
    assert imported.splitlines() == [IMPORTED.format(name) for name in NAMES]


@pytest.mark.timeout(600)
def test_a_worker_runs_our_deployments_in_a_folder_with_a_persons_own_modules(migrated: Settings, theirs: Path) -> None:
    project(migrated.home, tumours(), "Malignant")
    put_theirs(migrated.home)
    deployments.apply_deployments(migrated)
    with flow_context(migrated), connected() as client:
        for one in client.read_automations():
            client.delete_automation(one.id)  # nothing is to follow
        ingest, monitor = (client.read_deployment_by_name(f"{work}/clinic").id for work in ("ingest", "monitor"))
        with worker(migrated, theirs, PYTHONPATH=python_path(theirs)):
            client.create_flow_run_from_deployment(ingest)
            client.create_flow_run_from_deployment(monitor, job_variables={"working_dir": str(theirs)})
            eventually(lambda: [over(run) for run in runs(migrated)] == [True, True])
    found = {run.deployment_id: run.state for run in runs(migrated)}
    assert [state for state in found.values() if not (state and state.is_completed())] == []
    accepted = found[ingest]
    assert accepted is not None
    assert accepted.message == "1 new file: 569 rows accepted, 0 quarantined, 0 labels new or revised"


def test_an_editable_install_has_no_other_name_than_treadle(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"
    said(ROOT, [sys.executable, "-c", build, tmp_path])
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    alone = said(tmp_path, [sys.executable, "-I", "-S", "-c", SPECS, tmp_path / "site"])
    assert alone.splitlines() == ["treadle", str(ROOT / "src" / "treadle" / "__init__.py")]
    here = said(tmp_path, [sys.executable, "-c", SPECS])
    assert here.splitlines()[0] == "treadle"


def test_the_wheel_holds_treadle_alone_with_every_file_of_the_four_packages(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    said(ROOT, [*pip, "--no-build-isolation", "--no-index", "-w", tmp_path, ROOT])
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {name.partition("/")[0] for name in names} == {"treadle", "treadle-0.1.0.dist-info"}
    git = shutil.which("git")
    assert git
    listed = said(ROOT, [git, "ls-files", "--cached", "--others", "--exclude-standard", *NAMES]).splitlines()
    ours = {f"treadle/{name}" for name in listed if (ROOT / name).exists()} | {"treadle/__init__.py"}
    assert {Path(name).suffix for name in ours} >= {".html", ".css", ".yaml", ".service", ".json"}
    assert {name for name in names if name.startswith("treadle/")} == ours
