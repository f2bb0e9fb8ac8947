"""A home after months is cleared up: with the bytes that were said, and without what anybody may come back to."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pandas as pd
import pytest

from tests import aged
from tests.conftest import environment_restored
from treadle.flows import ingest, maintain
from treadle.flows.champion import history, promote, rollback
from treadle.flows.context.workplace import open_workplace
from treadle.flows.project import backup, quarantine, report
from treadle.flows.train.opponent import fitted_by
from treadle.infra import failpoint, stores
from treadle.infra import settings as settings_
from treadle.infra.databases import studies
from treadle.infra.locks import file_lock
from treadle.infra.orchestrator import connected, flow_context, server
from treadle.infra.tables import connect
from treadle.infra.tracking.cleanup import Cleanup
from treadle.infra.tracking.runs import client, quiet
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import BundleError, Conflict, DataError
from treadle.tasks.search import Trial

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig

NAME = "parcels"
KEPT = Path(__file__).parents[1] / "formats" / "1.tar.xz"
FOLDERS = ("data", "mlruns/artifacts", ".treadle/runs")
PLACES = [f"{name}:{side}" for name in failpoint.NAMES for side in ("before", "after") if name.startswith("maintain.")]


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project after 100 days, and a day after them.

    Versions 1 and 2 were champion, 3 and 4 never, and 4 is young. Batches were written anew before and after version 3
    was trained, so that nobody else refers to files of those in between. One batch waits in quarantine; a training was
    killed in the middle.
    """
    folder = tmp_path_factory.mktemp("months")
    with tarfile.open(KEPT) as tar:
        tar.extractall(folder, filter="data")
    backup.run_restore(folder / "backup", folder / "home")
    settings = settings_.at(folder / "home")
    with environment_restored():
        opened = stores.open(settings, NAME)
        registered(opened, 2)
        moved = opened.ledger.version(NAME, 2)
        assert moved is not None
        told = {"verdict": "BY HAND", "reason": "", "who": "", "bundle": moved.bundle, "digest": moved.digest}
        opened.ledger.complete(NAME, opened.ledger.promote(NAME, expected=1, to=2, **told).seq)
        opened.registry.set_champion(2)
        written_anew(opened)
        registered(opened, 3)
        written_anew(opened)
        monitored(opened, "old")
        opened.tables.quarantine_file("b" * 12, "bad.csv", "b" * 64, "no table")
        killed = settings.state / "runs" / NAME / "0123456789abcdef" / "0123456789abcdef-2"
        killed.mkdir(parents=True)
        (killed / "train.arrow").write_bytes(b"x" * 100_000)
        aged.home(settings.home, 100)
        registered(opened, 4)
        monitored(opened, "young")
    file = settings.home / "pipelines" / f"{NAME}.toml"
    file.write_text(f"{file.read_text()}\n[retention]\nversions = 1\n")
    return settings.home


def registered(opened: Stores, version: int) -> None:
    """Another version, as training leaves it: the first one's bundle, with a run, two trials, a study and a report."""
    first, work = opened.ledger.version(NAME, 1), f"{version:016x}-1"
    assert first is not None
    run = opened.tracking.open_run(work, f"{NAME} {version}", {"data_version": opened.data_version()})
    trials = [Trial(number=number, state="complete", value=0.5, rounds=3, seconds=0.1, params={}) for number in (0, 1)]
    opened.tracking.log_trials(run, "roc_auc", trials)
    page = opened.settings.state / "told" / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"<p>{version}</p>")
    opened.tracking.log_folder(run, page.parent)
    shutil.rmtree(page.parent)
    uri = opened.registry.log_model(run, opened.bundle_folder(1))
    assert opened.registry.register(run, uri, work, {}, "") == version
    opened.tracking.finish(run, {})
    with opened.studies() as storage:
        study = optuna.create_study(storage=storage, study_name=f"{NAME}/{work}")
        study.add_trial(optuna.trial.create_trial(value=0.5))
    told = {"version": version, "run_key": work, "run_id": run, "decision": "KEEP"}
    told |= {"data_version": opened.data_version(), "bundle": opened.bundle_address(version)}
    opened.ledger.add_version(replace(first, created_at=datetime.now(UTC), **told))


def monitored(opened: Stores, key: str) -> None:
    """A run of monitor, which has nothing but its page."""
    opened.tracking.finish(opened.tracking.open_run(f"monitor-{key}", "monitor", {"kind": "monitor"}), {})


def written_anew(opened: Stores) -> None:
    """Every batch is cleared, as by a changed suite, and comes again."""
    tables = opened.tables
    for batch in sorted(tables.batches("rows")):
        with connect(tables.scratch) as con:
            rows = con.sql(f"SELECT * FROM {tables.relation('rows', batches=[batch])}").to_arrow_table()
        tables.clear_batch("rows", batch)
        tables.overwrite_batch("rows", batch, rows.to_reader())


@pytest.fixture
def old(months: Path, tmp_path: Path, prefect_server: str) -> tuple[Settings, PipelineConfig]:
    return copied(months, tmp_path / "old")


def copied(months: Path, folder: Path) -> tuple[Settings, PipelineConfig]:
    home = shutil.copytree(months, folder)
    return settings_.at(home), load_config(home / "pipelines" / f"{NAME}.toml")


def files(home: Path) -> dict[str, int]:
    found = (path for folder in FOLDERS for path in (home / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(home)): path.stat().st_size for path in found}


def state(settings: Settings) -> dict[str, object]:
    """What a home is made of, but for when things were done."""
    opened = stores.open(settings, NAME)
    with opened.studies() as storage:
        known = sorted(studies.touched(storage, NAME))
    with quiet():
        versions = client(settings).search_model_versions(f"name = '{NAME}'")
    return {
        "files": files(settings.home),
        "runs": [(run.id, len(run.trials)) for run in Cleanup(settings, NAME).runs()],
        "versions": sorted(int(one.version) for one in versions),
        "studies": known,
        "retired": sorted(opened.ledger.retired(NAME)),
        "tables": {name: opened.tables.version(name) for name in ("rows", "labels", "quarantine", "predictions")},
    }


def test_a_dry_run_says_what_a_run_frees_and_another_finds_nothing(old: tuple[Settings, PipelineConfig]) -> None:
    settings, config = old
    before = state(settings)
    said = maintain.run_maintain(settings, config, dry_run=True)
    assert state(settings) == before
    done = maintain.run_maintain(settings, config)
    after = state(settings)
    assert done.cleared == said.cleared
    assert said.bytes == done.bytes == freed(before, after) > 100_000
    assert {one.what: one.count for one in done.cleared} == {
        "models": 1,
        "runs of monitor": 1,
        "runs of trials": 2,
        "studies": 1,
        "files of rows": 2,
        "files of unfinished runs": 1,
    }
    assert (after["versions"], after["retired"]) == ([1, 2, 4], [3])
    assert after["tables"] == before["tables"]
    again = maintain.run_maintain(settings, config)
    assert (again.cleared, again.bytes) == ((), 0)
    assert state(settings) == after
    assert again.kept == done.kept


def freed(before: dict[str, object], after: dict[str, object]) -> int:
    first, last = before["files"], after["files"]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert last.items() <= first.items(), "nothing that stays was changed"
    return sum(first.values()) - sum(last.values())


def test_what_live_versions_refer_to_is_there_and_a_model_that_went_is_told_of(
    old: tuple[Settings, PipelineConfig],
) -> None:
    settings, config = old
    waits = quarantine.run_list(settings, config).batches
    assert len(waits) == 1
    maintain.run_maintain(settings, config)
    place, opened = open_workplace(str(settings.home), NAME), stores.open(settings, NAME)
    for version in (1, 2, 4):
        assert not isinstance(fitted_by(place, version, "judged"), str)
        folder = opened.bundle_folder(version)
        bundle.check_golden(bundle.load_bundle(folder, digest=None), folder)
        assert report.run_report(settings, config, str(version)).version == version
    assert quarantine.run_list(settings, config).batches == waits
    with quiet():
        import mlflow

        mlflow.set_tracking_uri(settings.tracking)
        rows, expected = bundle.golden(opened.bundle_folder(2))
        answers = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(rows.to_pandas())
    pd.testing.assert_series_equal(
        answers["prediction"], expected.to_pandas()["prediction"], check_dtype=False, check_index=False
    )
    assert rollback.run_rollback(settings, config).to == 1

    gone = {one.version: one.cleared_at is not None for one in history.run_models(settings, config).versions}
    assert gone == {1: False, 2: False, 3: True, 4: False}
    with pytest.raises(BundleError, match="version 3 of parcels was cleared away on"):
        promote.run_promote(settings, config, 3, "because")
    with pytest.raises(DataError, match="not in MLflow's artifacts any more"):
        report.run_report(settings, config, "3")


def test_what_became_champion_in_between_is_not_cleared_away_and_the_other_way_round(
    months: Path, tmp_path: Path
) -> None:
    ledger = stores.open(copied(months, tmp_path / "home")[0], NAME).ledger
    with pytest.raises(Conflict, match="both"):
        ledger.retire(NAME, 1)
    assert ledger.retired(NAME) == {}
    ledger.retire(NAME, 7)
    with pytest.raises(Conflict, match="both"):
        ledger.promote(NAME, expected=2, to=7, verdict="", reason="", who="", bundle="", digest="")
    champion = ledger.champion(NAME)
    assert champion is not None
    assert champion.version_to == 2


@pytest.mark.slow
def test_it_waits_for_a_command_that_is_at_work_on_the_pipeline(old: tuple[Settings, PipelineConfig]) -> None:
    settings, _ = old
    command = [sys.executable, "-m", "treadle.flows.cli", "maintain", "--json"]
    with file_lock.hold_file_lock(settings, NAME, "ingest", print):
        process = subprocess.Popen(
            command, cwd=settings.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        said = next(line for line in process.stderr if "waiting for" in line)
        assert "`ingest` of parcels" in said
        before = {name for name in files(settings.home) if name.startswith("data")}
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["bytes"] > 100_000
    assert {name for name in files(settings.home) if name.startswith("data")} < before


@pytest.mark.parametrize("words", [["maintain"], ["backup", "../copy"]], ids=["maintain", "backup"])
def test_a_backup_and_maintain_wait_for_one_another(old: tuple[Settings, PipelineConfig], words: list[str]) -> None:
    settings, _ = old
    command = [sys.executable, "-m", "treadle.flows.cli", *words, "--json"]
    with file_lock.hold_file_lock(settings, NAME, "maintain", print):
        process = subprocess.Popen(
            command, cwd=settings.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert "`maintain` of parcels" in next(line for line in process.stderr if "waiting for" in line)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_runs_on_prefects_pages_go_when_they_are_old_and_of_this_home(
    old: tuple[Settings, PipelineConfig], months: Path, tmp_path: Path, server_home: Settings
) -> None:
    settings, config = old
    other, _ = copied(months, tmp_path / "another")
    for one in (settings, other):
        ingest.run_ingest(one, config)
    with closing(sqlite3.connect(server.server_folder(server_home) / server.DATABASE, timeout=60)) as con, con:
        for one in (settings, other):
            older = "UPDATE flow_run SET end_time = datetime(end_time, '-31 days') WHERE parameters LIKE ?"
            assert con.execute(older, (f"%{one.home}%",)).rowcount == 1
    said = maintain.run_maintain(settings, config, dry_run=True)
    (runs,) = (one for one in said.cleared if "Prefect" in one.what)
    assert runs.count == 1
    assert runs in maintain.run_maintain(settings, config).cleared
    with flow_context(settings), connected() as known:
        homes = [run.parameters.get("home") for run in known.read_flow_runs() if run.name == f"ingest {NAME}"]
    assert str(other.home) in homes
    assert str(settings.home) not in homes


@pytest.mark.slow
@pytest.mark.parametrize("place", [*PLACES, "ledger.retired:before", "ledger.retired:after"])
def test_a_kill_at_any_point_is_made_good_by_the_next(
    old: tuple[Settings, PipelineConfig], months: Path, tmp_path: Path, place: str
) -> None:
    settings, config = old
    killed = subprocess.run(
        [sys.executable, "-m", "treadle.flows.cli", "maintain"],
        cwd=settings.home,
        env={**os.environ, "TREADLE_FAILPOINT": place},
        capture_output=True,
        check=False,
    )
    alone, _ = copied(months, tmp_path / "alone")
    assert killed.returncode == -9, killed.stderr
    maintain.run_maintain(settings, config)
    maintain.run_maintain(alone, config)
    assert state(settings) == state(alone)
