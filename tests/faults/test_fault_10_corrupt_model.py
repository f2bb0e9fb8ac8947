"""FAULTS 10: a corrupt or truncated model is refused, and the champion stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, tumours
from treadle.flows import score
from treadle.flows.champion import history, promote, rollback
from treadle.infra import stores
from treadle.tasks.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Clinic = tuple[Settings, PipelineConfig]

FILES = (
    *(f"{part}/{name}" for part in ("judged", "serving") for name in ("model.ubj", "spec.json")),
    *("recipe.json", "schema.json", "golden.parquet", "reference.parquet", "parity.json", "manifest.json"),
)


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "flipped":
        path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :])
    elif how == "truncated":
        path.write_bytes(data[: len(data) * 2 // 3])
    else:
        path.unlink()


def test_a_damaged_file_of_any_kind_keeps_a_model_from_the_chair(clinic: Clinic) -> None:
    settings, config = clinic
    folder = stores.open(settings, "clinic").bundle_folder(1)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(FILES)
    for name in FILES:
        for how in ("flipped", "truncated", "gone"):
            whole = (folder / name).read_bytes()
            damage(folder / name, how)
            with pytest.raises(BundleError) as caught:
                rollback.run_rollback(settings, config)
            assert caught.value.fix
            with pytest.raises(BundleError):
                promote.run_promote(settings, config, 1, "try it")
            (folder / name).write_bytes(whole)
    shown = history.run_models(settings, config)
    assert (shown.champion, len(shown.history), shown.alias) == (2, 2, "")
    assert rollback.run_rollback(settings, config).to == 1


@pytest.mark.usefixtures("prefect_server")
def test_a_damaged_champion_scores_nothing(clinic: Clinic) -> None:
    settings, config = clinic
    opened = stores.open(settings, "clinic")
    tumours()[:20].drop(columns="Malignant").to_csv(inbox(settings.home) / "new.csv", index=False)
    damage(opened.bundle_folder(2) / "serving" / "model.ubj", "truncated")
    with pytest.raises(BundleError, match=r"model\.ubj"):
        score.run_score(settings, config)
    assert opened.tables.version("predictions") == -1
    assert history.run_models(settings, config).champion == 2
