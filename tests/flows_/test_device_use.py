"""A run's device: chosen from its rows, and what the run keeps where the GPU's memory was too small."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from xgboost.core import XGBoostError

from tests.tasks_.test_device import GPU_IS_FULL
from treadle.flows import train
from treadle.flows.context.workplace import open_workplace
from treadle.flows.train import fallbacks
from treadle.flows.train.fallbacks import device_for, kept_fallbacks
from treadle.flows.train.run import RunRef
from treadle.infra.tracking.runs import client
from treadle.tasks import booster, device
from treadle.tasks.device import DeviceFallback, DeviceUse, Placement

if TYPE_CHECKING:
    from pathlib import Path

    import xgboost

    from tests.flows_.alerting import Place


def reference(home: Path) -> RunRef:
    return RunRef(
        home=str(home),
        pipeline="clinic",
        run_key="k",
        data_version="rows 0",
        rows_version=0,
        labels_version=-1,
        config_digest="d",
        seed=0,
        trials=1,
        budget_seconds=1,
        wanted_device="auto",
        device="cuda",
        device_why="using the GPU",
        champion=None,
    )


def train_with_warnings(ref: RunRef) -> None:
    with kept_fallbacks(ref):
        for text in ("first", "second", "first"):
            warnings.warn(text, DeviceFallback, stacklevel=1)
        warnings.warn("of another kind", UserWarning, stacklevel=1)


def test_a_run_keeps_each_fallback_once_and_other_warnings_pass(home: Path) -> None:
    ref = reference(home)
    assert ref.device_use == DeviceUse("cuda", "using the GPU")
    assert "device_fell_back" not in ref.lineage()
    with pytest.warns(UserWarning, match="of another kind") as passed:
        train_with_warnings(ref)
    assert len(passed) == 1
    assert ref.device_use.fell_back == ("first", "second")
    assert ref.device_use.sentence == "using the GPU; first; second"
    assert ref.lineage()["device_fell_back"] == "first; second"
    assert ref.facts("10")["device"] == "cuda (using the GPU; first; second)"


@pytest.fixture
def narrow(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A pipeline on a machine whose GPU has no room for the search: the CPU stands for it and raises twice."""
    real, failures = booster.quantile_matrix, [True, True]

    def places(device: str) -> tuple[Placement, ...]:
        if device == "cpu":
            return (Placement("cpu"),)
        return Placement("cpu"), Placement("cpu", external=True), Placement("cpu")

    def matrix(*args: Any, external: bool = False, **kwargs: Any) -> xgboost.DMatrix:
        if failures and failures.pop():
            raise XGBoostError(GPU_IS_FULL)
        return real(*args, external=external, **kwargs)

    monkeypatch.setattr(fallbacks, "choose_device", lambda *_: DeviceUse("cuda", "using the GPU"))
    monkeypatch.setattr(device, "placements", places)
    monkeypatch.setattr(booster, "quantile_matrix", matrix)
    return place


@pytest.mark.usefixtures("prefect_server")
def test_a_full_gpu_does_not_end_a_run_and_the_run_says_so(narrow: Place) -> None:
    settings, config = narrow
    result = train.run_train(settings, config, trials=1, budget=4)
    assert isinstance(result, train.TrainResult)
    assert (result.device, len(result.fell_back)) == ("cuda", 2)
    assert "ran out of memory" in result.fell_back[0]
    version = client(settings).get_model_version(config.name, str(result.version))
    run = client(settings).get_run(result.run_id)
    for tags in (version.tags, run.data.tags):
        assert tags["device_fell_back"] == "; ".join(result.fell_back)


@pytest.mark.usefixtures("prefect_server")
def test_auto_counts_the_labelled_rows(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from treadle.flows import ingest

    settings, config = place
    ingest.run_ingest(settings, config)
    opened = open_workplace(str(settings.home), config.name)
    data_version = opened.stores.data_version()
    assert device_for(opened, data_version).why == "using the CPU: 569 rows x 30 columns are too few for a GPU to pay"
    monkeypatch.setattr(device, "PAYS_FROM_VALUES", 569 * 30)
    monkeypatch.setattr(device, "why_no_gpu", lambda _device: "")
    assert device_for(opened, data_version) == DeviceUse("cuda", "using the GPU")
