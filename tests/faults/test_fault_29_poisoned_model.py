"""FAULTS 29: a poisoned model directory is refused before anything of it is parsed or run, by us and by MLflow."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from treadle.flows import score
from treadle.flows.champion import history, rollback
from treadle.infra import stores
from treadle.infra.tracking.runs import quiet
from treadle.tasks.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

CANARY = "import pathlib; pathlib.Path({path!r}).touch()"


class Bomb:
    """Unpickled, it touches the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, (CANARY.format(path=str(self.canary)),))


def changed(bundle: Path, bomb: bytes) -> None:
    data = (bundle / "serving" / "model.ubj").read_bytes()
    (bundle / "serving" / "model.ubj").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def missing(bundle: Path, bomb: bytes) -> None:
    (bundle / "reference.parquet").unlink()


def added(bundle: Path, bomb: bytes) -> None:
    (bundle / "notes.txt").write_text("harmless?")


def a_pickle_in_the_bundle(bundle: Path, bomb: bytes) -> None:
    (bundle / "model.pkl").write_bytes(bomb)


def a_pickle_in_place_of_the_model(bundle: Path, bomb: bytes) -> None:
    (bundle / "serving" / "model.ubj").write_bytes(bomb)


def a_pickle_beside_the_bundle(bundle: Path, bomb: bytes) -> None:
    (bundle.parent / "model.pkl").write_bytes(bomb)


def a_pickle_beside_the_scorer(bundle: Path, bomb: bytes) -> None:
    (bundle.parents[1] / "python_model.pkl").write_bytes(bomb)


def a_loader_module_and_code(bundle: Path, bomb: bytes) -> None:
    (bundle.parents[1] / "code").mkdir()
    (bundle.parents[1] / "code" / "loader.py").write_bytes(bomb)


def a_hidden_file(bundle: Path, bomb: bytes) -> None:
    (bundle / ".hidden").write_bytes(bomb)


def a_link_to_the_same_bytes(bundle: Path, bomb: bytes) -> None:
    elsewhere = bundle.parents[2] / "elsewhere.json"
    (bundle / "serving" / "spec.json").rename(elsewhere)
    (bundle / "serving" / "spec.json").symlink_to(elsewhere)


def a_link_to_the_same_folder(bundle: Path, bomb: bytes) -> None:
    elsewhere = bundle.parents[2] / "elsewhere"
    bundle.rename(elsewhere)
    bundle.symlink_to(elsewhere)


POISONS: list[Callable[[Path, bytes], None]] = [
    changed,
    missing,
    added,
    a_pickle_in_the_bundle,
    a_pickle_in_place_of_the_model,
    a_pickle_beside_the_bundle,
    a_pickle_beside_the_scorer,
    a_loader_module_and_code,
    a_hidden_file,
    a_link_to_the_same_bytes,
    a_link_to_the_same_folder,
]


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever parses a model or a table fails the test."""
    import pyarrow.parquet as pq
    import xgboost

    def never(*_: object, **__: object) -> None:
        pytest.fail("something was parsed")

    monkeypatch.setattr(xgboost.Booster, "load_model", never)
    monkeypatch.setattr(pq, "read_table", never)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_a_poisoned_model_is_refused_before_any_parse(
    poison: Callable[[Path, bytes], None], clinic: tuple[Settings, PipelineConfig], tmp_path: Path
) -> None:
    import mlflow

    settings, config = clinic
    canary = tmp_path / "canary"
    folder = stores.open(settings, "clinic").bundle_folder(1)
    poison(folder, pickle.dumps(Bomb(canary)))
    with pytest.raises(BundleError):
        rollback.run_rollback(settings, config)
    assert history.run_models(settings, config).champion == 2
    with quiet(), pytest.raises(Exception, match="model bundle: "):
        mlflow.pyfunc.load_model(str(folder.parents[1]))
    assert not canary.exists()


@pytest.mark.usefixtures("prefect_server")
def test_a_poisoned_champion_scores_nothing(clinic: tuple[Settings, PipelineConfig], tmp_path: Path) -> None:
    settings, config = clinic
    opened = stores.open(settings, "clinic")
    bundle = opened.bundle_folder(2)
    a_pickle_beside_the_scorer(bundle, pickle.dumps(Bomb(tmp_path / "canary")))
    asked = tmp_path / "asked.csv"
    asked.write_text("Tumour ID\nT1\n")
    with pytest.raises(BundleError, match=r"python_model\.pkl"):
        score.run_score(settings, config, input=asked, output=tmp_path / "out.csv")
    assert not (tmp_path / "canary").exists()
