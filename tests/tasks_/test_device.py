from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest
import xgboost
from xgboost.core import XGBoostError

from treadle.tasks import booster, device
from treadle.tasks.booster import MatrixRows
from treadle.tasks.device import DeviceFallback, DeviceUse, Placement
from treadle.tasks.errors import ConfigError
from treadle.tasks.search import TuneSpec, run_search
from treadle.tasks.search.course import LaneRows, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.tasks.search import Found
    from treadle.tasks.search.course import Course

NAMES = ("a", "b", "c")

GPU_IS_FULL = """[10:11:12] /workspace/src/common/device_vector.cu:23: Memory allocation error on worker 0: \
std::bad_alloc: cudaErrorMemoryAllocation: out of memory
- Free memory: 103.5MB
- Requested memory: 1.2GB

Stack trace:
  [bt] (0) /venv/xgboost/lib/libxgboost.so(+0x4f2c1a) [0x7f]
"""
THRUST_IS_FULL = "[10:11:12] /workspace/src/c_api.cc:9: parallel_for failed: cudaErrorMemoryAllocation: out of memory"
HOST_IS_FULL = "std::bad_alloc"


def rows(n: int = 400, seed: int = 0) -> MatrixRows:
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 3)).astype(np.float32)
    X[draw.random((n, 3)) < 0.1] = np.nan
    return MatrixRows(X, (np.nan_to_num(X[:, 0]) + 0.3 * draw.normal(size=n) > 0).astype(np.float32))


def params(device: str) -> dict[str, booster.Scalar]:
    settings = {"max_depth": 3, "nthread": 1}
    return booster.complete_parameters("binary", settings, classes=2, device=device, seed=1)


@dataclass
class FullGpu:
    """Stands for XGBoost's `train` or `update` on a GPU without free memory: the calls of `failing` (from 1) raise."""

    work: Callable[..., Any]
    failing: range
    text: str = GPU_IS_FULL
    calls: list[str] = field(default_factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        matrix = next(one for one in args if isinstance(one, xgboost.DMatrix))
        self.calls.append(type(matrix).__name__)
        if len(self.calls) in self.failing:
            raise XGBoostError(self.text)
        return self.work(*args, **kwargs)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FullGpu]:
    def make(failures: int, text: str = GPU_IS_FULL) -> FullGpu:
        fake = FullGpu(xgboost.train, range(1, failures + 1), text)
        monkeypatch.setattr(xgboost, "train", fake)
        return fake

    return make


@pytest.mark.parametrize(
    ("rows", "columns", "pays"),
    [(10_000, 30, False), (99_999, 30, False), (100_000, 30, True), (1_000_000, 2, False), (5_000, 600, True)],
)
def test_a_gpu_pays_by_rows_times_columns(rows: int, columns: int, pays: bool) -> None:
    assert device.gpu_pays(rows, columns) is pays


@pytest.mark.parametrize(
    ("wanted", "rows", "missing", "used"),
    [
        ("cpu", 10_000_000, "", DeviceUse("cpu", "cpu as configured")),
        ("cuda", 10, "", DeviceUse("cuda", "cuda as configured")),
        ("cuda:1", 10, "", DeviceUse("cuda:1", "cuda:1 as configured")),
        ("auto", 10_000_000, "", DeviceUse("cuda", "using the GPU")),
        ("auto", 10_000_000, "no GPU found", DeviceUse("cpu", "using the CPU: no GPU found")),
        ("auto", 999, "", DeviceUse("cpu", "using the CPU: 999 rows x 30 columns are too few for a GPU to pay")),
    ],
)
def test_the_device_is_chosen_with_its_reason(
    wanted: str, rows: int, missing: str, used: DeviceUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "why_no_gpu", lambda _device: missing)
    assert device.choose_device(wanted, rows, 30) == used


@pytest.mark.parametrize("wanted", ["cuda", "cuda:2"])
def test_a_gpu_that_is_not_there_is_refused_by_name(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_no_gpu", lambda _device: "no GPU found")
    with pytest.raises(ConfigError, match=f"'{wanted}' cannot be used: no GPU found") as caught:
        device.choose_device(wanted, 10, 10)
    assert caught.value.key == "model.device"


@pytest.mark.parametrize(
    ("wanted", "used", "missing"),
    [
        ("cuda", "cuda:0", ""),
        ("cuda:0", "cuda:0", ""),
        ("cuda:3", "cuda:3", ""),
        ("cuda:3", "cuda:1", "there is no GPU 3"),  # XGBoost takes the number modulo the GPUs that there are
        ("cuda", "cpu", "no GPU found"),
        ("cuda:1", "cpu", "no GPU found"),
    ],
)
def test_what_xgboost_trained_on_decides_whether_the_gpu_is_there(
    wanted: str, used: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "booster_device", lambda _booster: used)
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": True})
    assert device.why_no_gpu(wanted) == missing


def test_an_xgboost_without_cuda_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": False})
    assert device.why_no_gpu() == "this XGBoost is built without CUDA"


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_is_read(text: str) -> None:
    assert booster.BoosterSpec(device=text).device == text


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:-1", "cuda:01", "CUDA", "", "cpu:0", "cuda:1 "])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="'cuda' or 'cuda:N'"):
        booster.BoosterSpec(device=text)


@pytest.mark.parametrize(
    ("error", "of_the_gpu"),
    [
        (XGBoostError(GPU_IS_FULL), True),
        (XGBoostError(THRUST_IS_FULL), True),
        (XGBoostError("cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY"), True),
        (XGBoostError("Memory allocation error on worker 0: cannot map\n- Free memory: 1.5GB"), True),
        (XGBoostError(HOST_IS_FULL), False),
        (XGBoostError("Check failed: labels contain NaN"), False),
        (MemoryError(), False),
    ],
)
def test_only_the_gpus_lack_of_memory_is_taken_for_it(error: Exception, of_the_gpu: bool) -> None:
    assert device.out_of_device_memory(error) is of_the_gpu


@pytest.mark.parametrize("text", [GPU_IS_FULL, THRUST_IS_FULL])
def test_a_full_gpu_goes_on_in_host_memory_then_on_the_cpu(full: Callable[..., FullGpu], text: str) -> None:
    fake = full(2, text)
    with pytest.warns(DeviceFallback) as caught:
        model = booster.fit_booster(params("cuda"), rows(), rounds=5, names=NAMES)
    assert fake.calls == ["QuantileDMatrix", "DMatrix", "QuantileDMatrix"]
    said = [str(one.message) for one in caught]
    assert said[0].startswith("cuda ran out of memory (")
    assert said[0].endswith("cudaErrorMemoryAllocation: out of memory): trained on cuda with rows in host memory")
    assert said[1].startswith("cuda with rows in host memory ran out of memory (")
    assert said[1].endswith("trained on cpu")
    on_cpu = booster.fit_booster(params("cpu"), rows(), rounds=5, names=NAMES)
    assert model.get_dump(with_stats=True) == on_cpu.get_dump(with_stats=True)


def test_a_curve_is_measured_where_the_model_was_trained_at_last(full: Callable[..., FullGpu]) -> None:
    full(2)
    halves = rows(), rows(seed=1)
    with pytest.warns(DeviceFallback):
        _, fell_back = booster.fit_with_curve(params("cuda"), *halves, rounds=5, names=NAMES)
    _, on_cpu = booster.fit_with_curve(params("cpu"), *halves, rounds=5, names=NAMES)
    assert fell_back == on_cpu


def test_a_matrix_that_does_not_fit_falls_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True, False])
    real = booster.quantile_matrix

    def matrix(*args: Any, external: bool = False, **kwargs: Any) -> xgboost.DMatrix:
        if next(failures):
            raise XGBoostError(GPU_IS_FULL)
        return real(*args, external=external, **kwargs)

    monkeypatch.setattr(booster, "quantile_matrix", matrix)
    monkeypatch.setattr(device, "placements", lambda _device: (Placement("cpu"), Placement("cpu")))
    with pytest.warns(DeviceFallback):
        booster.fit_booster(params("cpu"), rows(), rounds=2, names=NAMES)


@pytest.mark.parametrize("text", [HOST_IS_FULL, "Check failed: labels contain NaN"])
def test_any_other_error_of_xgboost_ends_the_training(full: Callable[..., FullGpu], text: str) -> None:
    fake = full(1, text)
    with pytest.raises(XGBoostError, match=text):
        booster.fit_booster(params("cuda"), rows(), rounds=2, names=NAMES)
    assert len(fake.calls) == 1


def test_the_cpus_own_lack_of_memory_is_not_swallowed(full: Callable[..., FullGpu]) -> None:
    full(1, GPU_IS_FULL)
    with pytest.raises(XGBoostError, match="out of memory"):  # on the CPU there is nowhere to go
        booster.fit_booster(params("cpu"), rows(), rounds=2, names=NAMES)

    def no_memory(_place: Placement) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        device.first_that_fits("cuda", no_memory)


def test_what_did_not_fit_is_freed_before_the_next_attempt() -> None:
    import weakref

    class Matrix:
        pass

    alive: list[weakref.ref[Matrix]] = []

    def attempt(_place: Placement) -> None:
        assert all(one() is None for one in alive)
        matrix = Matrix()
        alive.append(weakref.ref(matrix))
        if len(alive) < 3:
            raise XGBoostError(GPU_IS_FULL)

    with pytest.warns(DeviceFallback):
        device.first_that_fits("cuda", attempt)
    assert len(alive) == 3


@pytest.mark.filterwarnings("ignore")  # XGBoost's own, that it goes on with the CPU
def test_a_training_that_did_not_stay_on_the_gpu_is_an_error() -> None:
    if not device.why_no_gpu():
        model = booster.fit_booster(params("cuda"), rows(), rounds=2, names=NAMES)
        assert device.booster_device(model) == "cpu"  # where it predicts
        return
    with pytest.raises(ConfigError, match="'cuda' was to be used, but XGBoost trained on 'cpu'"):
        booster.fit_booster(params("cuda"), rows(), rounds=2, names=NAMES)


def test_rows_in_host_memory_train_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "BATCH_BYTES", 4 * 3 * 90)  # 90 rows a batch, the last one shorter
    part = rows(400)
    trained = [
        xgboost.train(params("cpu"), booster.quantile_matrix(part, NAMES, external=external), 8)
        for external in (False, True)
    ]
    assert trained[0].feature_names == trained[1].feature_names == list(NAMES)
    assert trained[0].get_dump(with_stats=True) == trained[1].get_dump(with_stats=True)


def test_batches_carry_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "BATCH_BYTES", 4 * 3 * 90)
    part, weight = rows(400), np.arange(1, 401, dtype=np.float32)
    matrix = device.batched_matrix(part.X, part.y, NAMES, weight, nthread=1)
    assert (matrix.get_weight() == weight).all()
    assert (matrix.get_label() == part.y).all()


def test_a_matrix_answers_as_its_rows_do() -> None:
    train, new = rows(800), rows(300, seed=2)
    on_host = lay_out([LaneRows(train, new)], params("cpu"), task="binary", metric="log_loss", names=NAMES)
    on_device = replace(on_host, fixed={**on_host.fixed, "device": "cuda"})  # its rows are those of the matrix
    models = on_host.models({})
    for iteration in range(20):
        on_host.grow(models, iteration)
    for rounds in (1, 7, 20):
        assert (on_device.margins(models, rounds)[0] == on_host.margins(models, rounds)[0]).all()
        assert (on_host.margins(models, rounds)[0] == booster.predict_margin(models[0][:rounds], new.X)).all()


class OnGpu(xgboost.Booster):
    """Stands for a booster that is set to a GPU: XGBoost would warn of rows in host memory and copy them."""

    place = "cuda:0"

    def save_config(self) -> str:
        return json.dumps({"learner": {"generic_param": {"device": self.place}}})

    def set_param(self, params: Any, value: str | None = None) -> None:
        if "device" in params:
            self.place = params["device"]

    def inplace_predict(self, data: Any, **_: Any) -> np.ndarray:
        assert self.place == "cpu", "mismatched devices"
        return np.zeros(len(data), dtype=np.float32)


def test_rows_in_host_memory_are_predicted_by_the_cpu() -> None:
    model = OnGpu()
    model.place = "cuda:0"
    assert len(booster.predict_raw(model, rows().X)) == 400


def searched(on: str, trials: int = 3) -> Found:
    def course(on: str, external: bool) -> Course:
        lanes = [LaneRows(rows(600), rows(300, seed=1))]
        return lay_out(lanes, params(on), task="binary", metric="log_loss", names=NAMES, external=external)

    spec = TuneSpec(trials=trials, budget_seconds=60)
    storage = optuna.storages.InMemoryStorage()
    return run_search(storage, "study", course, spec=spec, device=on, on_trial=lambda *_: None)


def test_a_search_on_a_full_gpu_goes_on_and_finds_what_the_cpu_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = searched("cpu")
    fake = FullGpu(xgboost.Booster.update, range(90, 92))  # in the second trial

    def update(*args: Any, **kwargs: Any) -> None:
        fake(*args, **kwargs)

    on_host = Placement("cpu"), Placement("cpu", external=True), Placement("cpu")  # there is no GPU to begin on
    monkeypatch.setattr(device, "placements", lambda _device: on_host)
    monkeypatch.setattr(xgboost.Booster, "update", update)
    with pytest.warns(DeviceFallback) as caught:
        found = searched("cpu")
    assert len(caught) == 2
    assert fake.calls[88:92] == ["QuantileDMatrix", "QuantileDMatrix", "DMatrix", "QuantileDMatrix"]
    assert [trial.state for trial in found.trials].count("failed") == 2
    assert (found.params, found.rounds, found.value) == (on_cpu.params, on_cpu.rounds, on_cpu.value)


def test_a_search_works_on_rows_in_host_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "placements", lambda _device: (Placement("cpu", external=True),))
    assert searched("cpu").value == pytest.approx(_without(monkeypatch), abs=0.02)


def _without(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.undo()
    return searched("cpu").value
