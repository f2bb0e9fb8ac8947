"""What every test may count on: an environment of its own, a home, and one Prefect server for the session."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

    from tests.postgres import Cluster
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

LIBRARIES = pytest.StashKey[Path]()
PERSONAL = ("TREADLE_", "PREFECT_", "MLFLOW_")

STAGED = (
    "test_bench.py",
    "test_fault_01_kills.py",
    "test_fault_02_kill_between_register_and_promote.py",
    "test_fault_03_kill_while_scoring.py",
    "test_fault_04_lost_replies.py",
    "test_fault_06_zombie.py",
    "test_fault_13_concurrent_retrains.py",
    "test_backup.py",
    "test_home_moved.py",
)
"""They use the homes of `stages`, which take half a minute to make."""

# Warnings are errors. These come out of libraries as they are imported, and say nothing about our own calls.
IMPORT_WARNINGS = (
    # great_expectations 1.24 carries an old pyparsing
    "ignore:module 'sre_(constants|parse|compile)' is deprecated:DeprecationWarning",
    # mlflow 3.17 warns of the type hints of its own agents
    "ignore:.*Any type hint is inferred as AnyType:UserWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Settle what must stand before anything is imported: nobody is told, nothing of the person's own is read."""
    for name in [name for name in os.environ if name.startswith(PERSONAL)]:
        del os.environ[name]
    os.environ.update(DO_NOT_TRACK="1", MLFLOW_DISABLE_TELEMETRY="true", MPLBACKEND="agg")
    os.environ["GOMP_SPINCOUNT"] = "1000"  # as every command sets it: beside a busy process spinning is slow
    config.stash[LIBRARIES] = place = Path(tempfile.mkdtemp(prefix="treadle-libraries-"))
    os.environ.update(PREFECT_HOME=str(place / "prefect"), MPLCONFIGDIR=str(place / "matplotlib"))
    for line in IMPORT_WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    # two cores are shared with servers that the tests start: a slow example is no failure
    hypothesis_settings.register_profile("treadle", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis_settings.load_profile("treadle")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Among several processes a file's tests stay together, and so do the files that share the homes of `stages`."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "stages" if file.endswith(STAGED) else file

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process is left with it at the end."""
    items.sort(key=lambda item: not item.path.name.endswith((*STAGED, "test_docs.py")))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take away what libraries kept."""
    shutil.rmtree(config.stash[LIBRARIES], ignore_errors=True)


@contextmanager
def environment_restored() -> Iterator[None]:
    """Whatever the block does to the environment ends with it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True)
def _clean_environment() -> Iterator[None]:
    """No variable that a test sets, or that a library sets in it, reaches the next one."""
    with environment_restored():
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of an empty project: a home, because it has pipelines/."""
    folder = tmp_path / "home"
    (folder / "pipelines").mkdir(parents=True)
    return folder.resolve()


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with our own Prefect server at work, for the session."""
    from tests.projects import keep_pristine
    from treadle.infra import orchestrator
    from treadle.infra import settings as settings_

    folder = tmp_path_factory.mktemp("server")
    (folder / "pipelines").mkdir()
    settings = settings_.at(folder)
    with environment_restored(), orchestrator.flow_context(settings):
        keep_pristine(settings)
    yield settings
    orchestrator.stop_servers(settings)


@pytest.fixture
def migrated(home: Path, server_home: Settings) -> Iterator[Settings]:
    """A home with a Prefect database (so that its server starts in seconds), and no server left afterwards."""
    from tests.projects import prefect_database
    from treadle.infra import orchestrator
    from treadle.infra import settings as settings_

    prefect_database(home, server_home)
    settings = settings_.at(home)
    yield settings
    orchestrator.stop_servers(settings)


@pytest.fixture
def prefect_server(server_home: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The session's Prefect server, as `PREFECT_API_URL`: flows of any home, and of child processes, use it."""
    from treadle.infra import orchestrator

    url = orchestrator.server_state(server_home).url
    monkeypatch.setenv("PREFECT_API_URL", url)
    return url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL of this session's own."""
    from tests.postgres import cluster

    with cluster() as made:
        yield made


@pytest.fixture(scope="session")
def _clinic(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Path:
    """A home whose pipeline has two versions: the gate promoted the first, a person the second."""
    from tests.projects import project, tumours
    from treadle.flows import train
    from treadle.flows.champion import promote
    from treadle.infra import orchestrator

    home = tmp_path_factory.mktemp("clinic") / "home"
    (home / "pipelines").mkdir(parents=True)
    with environment_restored():
        os.environ["PREFECT_API_URL"] = orchestrator.server_state(server_home).url
        settings, config = project(home, tumours(), "Malignant", trees=True, quick=True)
        train.run_train(settings, config, trials=1, budget=60)
        train.run_train(settings, config, trials=2, budget=60, again=True)
        promote.run_promote(settings, config, 2, "the clinic asked for it")
    return home


@pytest.fixture
def clinic(_clinic: Path, tmp_path: Path) -> tuple[Settings, PipelineConfig]:
    """A copy of that home for the test alone; version 2 of `clinic` is the champion, version 1 was before it."""
    from treadle.infra import settings as settings_
    from treadle.tasks.config.load import load_config

    home = shutil.copytree(_clinic, tmp_path / "clinic")
    return settings_.at(home), load_config(home / "pipelines" / "clinic.toml")
