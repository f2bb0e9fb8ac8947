"""The demo keeps to itself: its own home, its own stores, the example's name in one place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.flows.demo import scene, stage
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIG = 'name = "mine"\n[data]\nsource = "data/*.csv"\ntarget = "y"\ntask = "binary"\n'


@pytest.fixture
def played(tmp_path: Path) -> Iterator[scene.Scene]:
    """A scene whose program folder is not ours, speaking into two files."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        yield scene.Scene(tmp_path / "program", tmp_path / "demo", out, err)


def test_commands_run_in_the_demos_home_whatever_the_environment_names(
    played: scene.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (played.home / "pipelines").mkdir(parents=True)
    (played.home / "pipelines" / "mine.toml").write_text(CONFIG)
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "person"))
    monkeypatch.setenv("TREADLE_LEDGER_URL", "sqlite:////nowhere/at/all.db")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://nobody@nowhere/db")
    assert played.run("models", "--json") == 0
    command, shown = (tmp_path / "out").read_text().lstrip().split("\n", 1)
    assert command == "$ treadle models --json"
    assert json.loads(shown)["pipeline"] == "mine"
    assert played.settings.ledger == f"sqlite:///{played.home}/mlruns/treadle.db"
    assert played.settings.prefect_database_url == ""


def test_a_failed_commands_exit_code_is_handed_on(played: scene.Scene, tmp_path: Path) -> None:
    played.home.mkdir()
    assert played.run("models", "-p", "nobody") == 2
    assert "treadle: " in (tmp_path / "err").read_text()


def test_config_and_suite_are_copied_once_and_never_overwritten(played: scene.Scene) -> None:
    for name in ("pipelines/x.toml", "pipelines/pipeline.schema.json", "expectations/x.json"):
        (played.program / name).parent.mkdir(parents=True, exist_ok=True)
        (played.program / name).write_text("example")
    assert scene.copy_example(played, "x")
    (played.home / "pipelines" / "x.toml").write_text("a person's experiment")
    assert not scene.copy_example(played, "x")
    assert (played.home / "pipelines" / "x.toml").read_text() == "a person's experiment"


def test_without_a_clone_the_demo_says_what_to_do(played: scene.Scene) -> None:
    with pytest.raises(DataError, match="make install"):
        scene.copy_example(played, "x")


def test_the_examples_name_stands_where_its_files_are_staged_only() -> None:
    named = {
        str(path.relative_to(ROOT))
        for room in ("flows", "tasks", "infra")
        for path in (ROOT / room).rglob("*.py")
        if re.search(rf"\b{stage.PIPELINE}\b", path.read_text())
    }
    assert named == {"flows/demo/mishaps.py", "flows/demo/stage.py"}
