"""A backup that was taken while commands ran, restored elsewhere: the commands' end there is the same."""

from __future__ import annotations

import json
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import FINE, LIFE, NAME, difference, litter, snapshot
from treadle.flows.project import backup
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.tasks.errors import DataError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Stages


def restored(home: Path, folder: Path) -> Path:
    """A home made of a backup of `home`."""
    backup.run_backup(settings_.at(home), folder / "backup")
    backup.run_restore(folder / "backup", folder / "elsewhere" / "home")
    return folder / "elsewhere" / "home"


def test_a_restored_home_has_the_same_ledger_predictions_and_models_and_goes_on(stages: Stages, tmp_path: Path) -> None:
    home = stages.home("rollback")
    there = restored(home, tmp_path)
    assert snapshot(there) == snapshot(home), difference(snapshot(home), snapshot(there))
    shutil.rmtree(home)
    opened = stores.open(settings_.at(there), NAME)
    newest = opened.ledger.versions(NAME)[0]
    report = opened.tracking.report_file(newest.run_id)
    assert report is not None
    assert report.is_relative_to(there)
    assert "<html" in report.read_text()
    assert opened.registry.bundle(newest.version).is_relative_to(there)
    stages.check(there, "rollback", "restored")


def test_a_backup_does_without_the_hint_at_a_checkpoint_that_came_after_its_moment(
    stages: Stages, tmp_path: Path
) -> None:
    home = stages.home("rollback")
    log = home / "data" / NAME / "rows" / "_delta_log"
    version = stores.open(settings_.at(home), NAME).tables.version("rows")
    (log / "_last_checkpoint").write_text(json.dumps({"version": version + 1, "size": 3}))
    there = stores.open(settings_.at(restored(home, tmp_path)), NAME)
    assert there.tables.version("rows") == version
    assert there.tables.batches("rows")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("stage", "looks"),
    [pytest.param(stage, 6, marks=pytest.mark.slow) for stage in ("ingest", "train", "score", "labels")],
)
def test_a_backup_under_load_is_as_good_as_a_kill_at_its_moment(
    stages: Stages, tmp_path: Path, stage: str, looks: int
) -> None:
    draw = random.Random(f"{stage}{looks}")
    for look in range(looks):
        home = stages.home(stage)
        command = stages.workshop.start(home, LIFE[stage])
        while not command.at_work() and not command.ended():
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.8 * stages.seconds[stage]))
        there = restored(home, tmp_path / str(look))
        assert command.wait() in FINE, command.said()
        stages.check(there, stage, f"backup {look}")


def test_a_backup_goes_where_nothing_is_lost(stages: Stages, tmp_path: Path) -> None:
    settings = settings_.at(stages.home("train"))
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        backup.run_backup(settings, tmp_path)
    with pytest.raises(UsageError, match="a part of what is backed up"):
        backup.run_backup(settings, settings.home / "data" / "backup")
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(UsageError, match="is not empty"):
        backup.run_restore(backup_of(stages, tmp_path / "backup"), tmp_path)


def backup_of(stages: Stages, folder: Path) -> Path:
    backup.run_backup(settings_.at(stages.home("score")), folder)
    return folder


@pytest.mark.parametrize("victim", ["mlruns/treadle.db", "pipelines/parcels.toml", "data"])
def test_a_damaged_backup_is_told_and_leaves_nothing(stages: Stages, tmp_path: Path, victim: str) -> None:
    folder = backup_of(stages, tmp_path / "backup")
    file = next(path for path in (folder / victim, *sorted((folder / victim).rglob("*.parquet"))) if path.is_file())
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    with pytest.raises(DataError, match=f"{file.relative_to(folder)} is not what it was"):
        backup.run_restore(folder, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
    file.unlink()
    with pytest.raises(DataError, match="is missing"):
        backup.run_restore(folder, tmp_path / "home")


@pytest.mark.parametrize(
    ("key", "value", "error", "told"),
    [
        ("format", 2, UsageError, "is of format 2, made by a newer treadle; this one knows format 1"),
        ("files", {"pipelines/../../x": {"sha256": "0", "size": 1}}, DataError, "no file of a project"),
        ("files", {"/etc/passwd": {"sha256": "0", "size": 1}}, DataError, "no file of a project"),
    ],
)
def test_a_strange_manifest_is_refused(
    stages: Stages, tmp_path: Path, key: str, value: object, error: type[Exception], told: str
) -> None:
    folder = backup_of(stages, tmp_path / "backup")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(error, match=told):
        backup.run_restore(folder, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_backup_that_was_killed_is_none_and_the_same_command_makes_one(stages: Stages, tmp_path: Path) -> None:
    home, folder = stages.home("score"), tmp_path / "backup"
    killed = stages.workshop.run(home, ("backup", str(folder)), TREADLE_FAILPOINT="backup.manifest:before")
    assert killed.status < 0
    with pytest.raises(UsageError, match="no backup, or one that was not finished"):
        backup.run_restore(folder, tmp_path / "home")
    assert stages.workshop.run(home, ("backup", str(folder))).status == 0
    (tmp_path / "home").mkdir()
    done = stages.workshop.run(tmp_path / "home", ("restore", str(folder)))
    assert done.status == 0, done.said()
    assert snapshot(tmp_path / "home") == snapshot(home)
    assert litter(tmp_path / "home") == []
