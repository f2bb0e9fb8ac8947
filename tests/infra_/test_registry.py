from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests import shop
from tests.infra_.test_ledger import VERSION
from tests.mlflow_server import STORES, stored
from treadle.infra import stores
from treadle.infra.databases.ledger import VersionRecord
from treadle.infra.tracking.runs import client, quiet
from treadle.tasks import bundle, parity
from treadle.tasks.errors import BundleError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.stores import Stores


@pytest.fixture(scope="module", params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """A home with one run whose bundle is not yet registered."""
    with stored(request, tmp_path_factory.mktemp("the home")) as settings:
        opened = stores.open(settings, "shop")
        shop.write(made(opened), shop.model("binary"))
        yield opened


def made(opened: Stores) -> Path:
    return opened.settings.state / "runs" / "k1" / "bundle"


def registered(opened: Stores, run_key: str = "k1") -> int:
    run_id = opened.tracking.open_run(run_key, "shop", {})
    uri = opened.registry.log_model(run_id, made(opened))
    return opened.registry.register(run_id, uri, run_key, {"verdict": "PROMOTE"}, "Better by 0.1")


def models_of(opened: Stores, run_id: str) -> list[str]:
    with quiet():
        found = client(opened.settings).search_logged_models(
            [opened.tracking.experiment_id], f"source_run_id = '{run_id}'"
        )
    return [str(model.status) for model in found]


def test_the_same_run_again_gives_the_same_model_and_version_without_a_word(
    opened: Stores, capfd: pytest.CaptureFixture[str]
) -> None:
    first = registered(opened)
    assert registered(opened) == first
    assert models_of(opened, opened.tracking.open_run("k1", "shop", {})) == ["READY"]
    assert registered(opened, "k2") == first + 1
    assert capfd.readouterr() == ("", "")


def test_a_model_whose_logging_was_killed_is_replaced(opened: Stores) -> None:
    run_id = opened.tracking.open_run("killed", "shop", {})
    with quiet():
        client(opened.settings).create_logged_model(opened.tracking.experiment_id, "shop", run_id)
    opened.registry.log_model(run_id, made(opened))
    assert models_of(opened, run_id) == ["READY"]


def test_a_version_says_where_it_comes_from(opened: Stores) -> None:
    version = registered(opened)
    with quiet():
        found = client(opened.settings).get_model_version("shop", str(version))
    assert found.description == "Better by 0.1"
    assert found.tags == {"treadle.run_key": "k1", "verdict": "PROMOTE"}
    assert found.run_id == opened.tracking.open_run("k1", "shop", {})


def test_the_registered_bundle_is_whole_and_its_golden_rows_come_out(opened: Stores) -> None:
    folder = opened.registry.bundle(registered(opened))
    bundle.check_golden(bundle.load_bundle(folder, digest=bundle.digest(made(opened))), folder)


def test_mlflow_scores_raw_rows_as_the_bundle_does(opened: Stores) -> None:
    uri = opened.registry.log_model(opened.tracking.open_run("k1", "shop", {}), made(opened))
    rows, expected = bundle.golden(made(opened))
    assert not parity.disagreement(expected, opened.registry.scores(uri, rows.to_pandas()))


def test_any_mlflow_client_loads_the_champion_without_treadle(opened: Stores, tmp_path: Path) -> None:
    opened.registry.set_champion(registered(opened))
    rows, expected = bundle.golden(made(opened))
    rows.to_pandas().to_parquet(tmp_path / "raw.parquet", index=False)
    script = (
        "import mlflow, pandas as pd, sys\n"
        "model = mlflow.pyfunc.load_model('models:/shop@champion')\n"
        "model.predict(pd.read_parquet('raw.parquet')).to_csv('out.csv', index=False)\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('tasks', 'infra', 'flows')]\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": opened.settings.tracking}
    subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    scored = pd.read_csv(tmp_path / "out.csv")
    assert scored["probability"].tolist() == pytest.approx(expected["probability"].to_pylist(), abs=1e-6)
    assert scored["prediction"].tolist() == expected["prediction"].to_pylist()


def test_a_frame_that_lacks_a_column_is_refused_by_name(opened: Stores) -> None:
    uri = opened.registry.log_model(opened.tracking.open_run("k1", "shop", {}), made(opened))
    rows, _ = bundle.golden(made(opened))
    with pytest.raises(ServiceError, match=r"missing inputs .*Items"):
        opened.registry.scores(uri, rows.to_pandas().drop(columns="Items"))


def test_the_alias_points_where_it_was_set(opened: Stores) -> None:
    first, second = registered(opened), registered(opened, "k2")
    for version in (first, second, first):
        opened.registry.set_champion(version)
        assert opened.registry.champion_alias() == version
        with quiet():
            found = client(opened.settings).search_runs([opened.tracking.experiment_id], "tags.champion = 'yes'")
        assert [run.data.tags["treadle.run_key"] for run in found] == [{first: "k1", second: "k2"}[version]]
    assert stores.open(opened.settings, "never trained").registry.champion_alias() is None


def test_an_unknown_version_is_one_clear_error(opened: Stores) -> None:
    registered(opened)
    with pytest.raises(BundleError, match="no version 99 of shop"):
        opened.registry.bundle(99)


def test_a_folder_that_is_no_bundle_is_refused_before_anything_is_logged(opened: Stores, tmp_path: Path) -> None:
    run_id = opened.tracking.open_run("no bundle", "shop", {})
    with pytest.raises(BundleError, match="no bundle"):
        opened.registry.log_model(run_id, tmp_path)
    assert models_of(opened, run_id) == []


def test_the_ledgers_address_outlives_a_move_of_the_home(opened: Stores, tmp_path: Path) -> None:
    version = registered(opened)
    address = opened.bundle_address(version)
    assert not Path(address).is_absolute()
    record = VersionRecord(**{**_fields(VERSION), "version": version, "bundle": address})
    opened.ledger.add_version(record)
    assert opened.bundle_folder(version) == opened.registry.bundle(version)
    moved = tmp_path / "moved"
    opened.settings.home.rename(moved)
    try:
        there = opened.settings.model_copy(update={"home": moved})
        elsewhere = stores.open(there, "shop").bundle_folder(version)
        assert elsewhere.is_relative_to(moved)
        bundle.load_bundle(elsewhere)
    finally:
        moved.rename(opened.settings.home)


def test_a_bundle_that_is_gone_is_one_clear_error(opened: Stores) -> None:
    gone = VersionRecord(**{**_fields(VERSION), "version": 77, "run_key": "gone", "bundle": "mlruns/artifacts/gone"})
    opened.ledger.add_version(gone)
    with pytest.raises(BundleError, match="version 77 of shop"):
        opened.bundle_folder(77)


def _fields(record: VersionRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in VersionRecord.__dataclass_fields__}
