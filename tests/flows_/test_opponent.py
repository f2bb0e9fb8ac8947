"""A challenger under another config is judged only by what is new to the champion too, or not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from treadle.flows import train
from treadle.flows.champion import history
from treadle.flows.context.workplace import open_workplace
from treadle.flows.train.opponent import fitted_by
from treadle.infra import stores
from treadle.tasks import bundle
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

pytestmark = pytest.mark.usefixtures("prefect_server")


def changed(settings: Settings, was: str, becomes: str) -> PipelineConfig:
    file = settings.home / "pipelines" / "clinic.toml"
    text, times = re.subn(was, becomes, file.read_text())
    assert times == 1
    file.write_text(text)
    return load_config(file)


def test_without_its_key_most_of_the_holdout_is_known_to_the_champion_and_nothing_is_compared(clinic: Clinic) -> None:
    settings, _ = clinic
    changed(settings, r"(?ms)^\[labels\].*?(?=^\[|\Z)", "")  # late labels need a key
    config = changed(settings, r"(?m)^key = .*$", "key = []")
    result = train.run_train(settings, config, trials=1, budget=60)
    assert (result.decision, result.promoted, result.exit_code()) == ("NOT_COMPARABLE", False, 4)
    assert (result.against, result.champion_value) == (2, None)
    assert result.value is not None
    assert result.holdout_reads == 1
    said = re.fullmatch(
        r"only (\d+) of (\d+) holdout rows are new to both the challenger and version 2, which is too few to compare "
        r"them; about ([\d,]+) would do, and version 2 stays champion",
        result.headline,
    )
    assert said is not None
    new, held_out = int(said[1]), int(said[2])
    assert 5 < new < 50 < held_out == result.judged_rows
    assert int(said[3].replace(",", "")) >= 50
    assert result.reasons[0] == f"{held_out - new} holdout rows do not judge: the champion was fitted on them"
    assert history.run_models(settings, config).champion == 2


def test_a_larger_holdout_judges_by_the_rows_that_the_champion_held_out(clinic: Clinic) -> None:
    settings, before = clinic
    place = open_workplace(str(settings.home), "clinic")
    champion = fitted_by(place, 2, "judged")
    assert not isinstance(champion, str)
    every = place.stores.tables.training(place.stores.tables.version("rows"), "Malignant", before.data.key)
    config = changed(settings, r"\Z", "\n[split]\nholdout = 0.4\n")
    result = train.run_train(settings, config, trials=1, budget=60)
    assert result.decision in ("KEEP", "NOT_COMPARABLE", "PROMOTE")
    assert result.champion_value is not None
    assert result.judged_rows == len(every) - len(champion.rows)
    assert any("the champion was fitted on them" in reason for reason in result.reasons)


def test_a_bundle_says_how_its_rows_were_parted_and_holds_its_certificate(clinic: Clinic) -> None:
    settings, config = clinic
    folder = stores.open(settings, "clinic").bundle_folder(2)
    facts, certificate = bundle.read_facts(folder), bundle.certificate(folder)
    assert facts.split == config.split
    assert certificate.disagreement == ""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(certificate.files) == there - {"manifest.json", "parity.json"}
    assert certificate.rows > 100
    assert certificate.rows_with_nulls > 0
    assert certificate.rows_at_split_edges > 0
    assert {"mlflow", "xgboost", "python"} <= certificate.libraries.keys()


def test_where_nobody_can_tell_what_the_champion_was_fitted_on_nothing_is_compared(clinic: Clinic) -> None:
    import shutil

    settings, config = clinic
    shutil.rmtree(settings.home / "data" / "clinic")  # somebody began anew with their tables
    with stores.open(settings, "clinic").ledger._write() as con:
        con.exec_driver_sql("DELETE FROM batches")
    folder = stores.open(settings, "clinic").bundle_folder(2)
    data_version = bundle.read_facts(folder).data_version
    assert fitted_by(open_workplace(str(settings.home), "clinic"), 2, "judged") == (
        f"the rows that version 2 was fitted on ({data_version}) are not in the tables any more"
    )
    assert config.data.key
