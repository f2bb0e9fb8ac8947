"""FAULTS 30: `../`, links and bombs in any path that we are given are refused, and nothing changes."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, project, tumours
from treadle.flows import ingest, score
from treadle.flows.cli.runtime import pipeline_choice
from treadle.flows.project import init
from treadle.infra import sources, stores, tables
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import BundleError, ConfigError, DataError, HomeError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

OUTSIDE = ["../clinic", "../../etc/passwd", "/etc/passwd", "clinic/../clinic", "..", "clinic\0"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_pipeline_is_a_name_and_no_path(clinic: Clinic, name: str) -> None:
    settings, _ = clinic
    with pytest.raises(HomeError, match="no pipeline named"):
        pipeline_choice.pipeline_file(settings, name)
    with pytest.raises((UsageError, DataError)):
        init.run_init(settings, settings.home.parent / "clinic.csv", "Malignant", name=name)


@pytest.mark.parametrize("name", OUTSIDE[:-1])
def test_a_config_cannot_name_another_place_for_its_tables(clinic: Clinic, name: str) -> None:
    settings, _ = clinic
    file = settings.home / "pipelines" / "clinic.toml"
    file.write_text(file.read_text().replace('name = "clinic"', f'name = "{name}"'))
    with pytest.raises(ConfigError, match="name"):
        load_config(file)


@pytest.mark.usefixtures("prefect_server")
def test_a_link_in_the_inbox_that_leads_out_is_left_alone_and_said(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, config = project(home, tumours()[:60], "Malignant")
    ingest.run_ingest(settings, config)
    secret = home.parent / "secret.csv"
    tumours()[60:90].to_csv(secret, index=False)
    (inbox(home) / "june.csv").symlink_to(secret)
    (home.parent / "elsewhere").mkdir()
    tumours()[90:100].to_csv(home.parent / "elsewhere" / "more.csv", index=False)
    (inbox(home) / "july").symlink_to(home.parent / "elsewhere")
    before = stores.open(settings, config.name).data_version()
    result = ingest.run_ingest(settings, config)
    assert (result.batches, result.data_version) == ((), before)
    assert "june.csv: a link leads out of the project" in caplog.text
    assert ingest.run_ingest(settings, config, [inbox(home) / "june.csv"]).accepted == 30, "a person may name it"


def test_a_link_within_the_home_and_a_source_that_is_a_link_are_fine(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "big disk"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text("x\n1\n")
    (home / "data").mkdir()
    (home / "data" / "inbox").symlink_to(elsewhere)
    (home / "b.csv").write_text("x\n2\n")
    (elsewhere / "b.csv").symlink_to(home / "b.csv")
    found = [path.name for path in sources.find_files(home, "data/inbox/*")]
    assert found == [path.name for path in sources.find_files(home, "data/inbox")] == ["a.csv", "b.csv"]


def test_a_gzip_bomb_is_refused_before_it_is_unpacked_whole(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.csv.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        file.write(b"x,y\n")
        for _ in range(100):
            file.write(b"0,0\n" * 250_000)
    assert bomb.stat().st_size < 300_000
    with tables.connect(tmp_path / "scratch") as con, pytest.raises(DataError, match="times its size"):
        sources.open_raw(con, bomb, "bomb")


def test_a_bundle_with_a_link_or_a_manifest_that_names_other_places_is_refused(clinic: Clinic) -> None:
    settings, _ = clinic
    folder = stores.open(settings, "clinic").bundle_folder(1)
    manifest = (folder / "manifest.json").read_text()
    named = json.loads(manifest)
    named["files"]["../../../secret"] = named["files"]["serving/spec.json"]
    (folder / "manifest.json").write_text(json.dumps(named))
    with pytest.raises(BundleError, match="is missing"):
        bundle.load_bundle(folder)
    (folder / "manifest.json").write_text(manifest)
    aside = folder.parent / "spec.json"
    (folder / "serving" / "spec.json").rename(aside)
    (folder / "serving" / "spec.json").symlink_to(aside)
    with pytest.raises(BundleError, match="no plain file"):
        bundle.load_bundle(folder)


@pytest.mark.usefixtures("prefect_server")
def test_an_answer_is_never_written_through_a_file_that_was_brought(clinic: Clinic, tmp_path: Path) -> None:
    settings, config = clinic
    asked = tmp_path / "asked.csv"
    tumours()[:5].drop(columns="Malignant").to_csv(asked, index=False)
    text = asked.read_text()
    with pytest.raises(UsageError):
        score.run_score(settings, config, input=asked, output=asked)
    assert asked.read_text() == text
