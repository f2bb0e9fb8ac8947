"""Where a model is trained: the device, whether a GPU pays, and what happens where its memory is too small.

A training begins at the device that `choose_device` gave and moves to the next of `placements` where the GPU runs out
of memory: the same rows in batches that stay in the host's memory, then the CPU. Each move is a `DeviceFallback`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, NamedTuple, ParamSpec, TypeVar

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from xgboost import Booster, DMatrix

T = TypeVar("T")
P = ParamSpec("P")

DEVICES = "'auto', 'cpu', 'cuda' or 'cuda:N' (N: number of the GPU, from 0)"
DEVICE_FORM = re.compile(r"auto|cpu|cuda(?::(?:0|[1-9][0-9]?))?")

PAYS_FROM_VALUES = 3_000_000
"""From so many values (rows x columns) `auto` takes a GPU. Published for XGBoost 3: 10 million rows, 100 trees of depth
10 take 22 s on 16 cores and 3.6 s on an H100, so a row costs 22 ns a tree on these cores and 3.6 ns on the GPU. The GPU
also takes some 2 milliseconds a tree whatever the rows (assumed, as the figures do not say): on about 100,000 rows of
30 columns both are as fast. An estimate for 16 cores, late for fewer; `make bench-gpu` measures it on a machine."""

BATCH_BYTES = 256_000_000
"""Of the float32 rows of one batch in external memory: the GPU holds a few of them at a time."""

OUT_OF_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "Memory allocation error on worker")
"""What XGBoost's error says when the GPU has no memory left (its `device_vector.cu`, Thrust, and CUDA's driver). Host
memory reads `std::bad_alloc` alone, or is Python's MemoryError: neither is answered by another device."""


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """The device of a run ('cpu', 'cuda' or 'cuda:N'), why it was chosen, and when its memory was too small."""

    device: str
    why: str
    fell_back: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Why this device, then the fallbacks."""
        return "; ".join((self.why, *self.fell_back))


class DeviceFallback(UserWarning):
    """The GPU ran out of memory and the training goes on elsewhere; the message says where and for which reason."""


class Placement(NamedTuple):
    """A device, and whether its rows stay in the host's memory and come in batches."""

    device: str
    external: bool = False

    def __str__(self) -> str:
        return f"{self.device} with rows in host memory" if self.external else self.device


def check_device(text: str) -> str:
    """The device as it stands; a validation error where it names none."""
    if DEVICE_FORM.fullmatch(text) is None:
        raise PydanticCustomError("device", "{why}", {"why": DEVICES})
    return text


DeviceName = Annotated[
    str, AfterValidator(check_device), WithJsonSchema({"type": "string", "pattern": f"^(?:{DEVICE_FORM.pattern})$"})
]
"""'auto', 'cpu', 'cuda' or 'cuda:N'."""


def gpu_pays(rows: int, columns: int) -> bool:
    """Whether a GPU trains on so many rows and columns faster than the CPU does."""
    return rows * columns >= PAYS_FROM_VALUES


def choose_device(wanted: str, rows: int, columns: int) -> DeviceUse:
    """The device to train on, and why, in words; `auto` takes the GPU where one works and the rows make it pay.

    Raises ConfigError for 'cuda' and 'cuda:N' where XGBoost finds no such GPU that it can use.
    """
    if wanted == "cpu":
        return DeviceUse("cpu", "cpu as configured")
    if wanted == "auto" and not gpu_pays(rows, columns):
        return DeviceUse("cpu", f"using the CPU: {rows:,} rows x {columns} columns are too few for a GPU to pay")
    missing = why_no_gpu("cuda" if wanted == "auto" else wanted)
    if not missing:
        return DeviceUse("cuda", "using the GPU") if wanted == "auto" else DeviceUse(wanted, f"{wanted} as configured")
    if wanted == "auto":
        return DeviceUse("cpu", f"using the CPU: {missing}")
    raise ConfigError(f"{wanted!r} cannot be used: {missing}", "set it to 'auto' or 'cpu'", key="model.device")


def why_no_gpu(device: str = "cuda") -> str:
    """Empty where a one-round training on `device` ('cuda' or 'cuda:N') stays there, else what is missing."""
    import warnings

    import numpy as np
    import xgboost

    if not xgboost.build_info().get("USE_CUDA"):
        return "this XGBoost is built without CUDA"
    probe = np.arange(8, dtype=np.float32).reshape(-1, 1)
    with warnings.catch_warnings():
        # without that GPU XGBoost warns and goes on with another device: the configuration afterwards shows it
        warnings.simplefilter("ignore")
        try:
            trained = xgboost.train({"device": device}, xgboost.DMatrix(probe, probe[:, 0]), num_boost_round=1)
        except xgboost.core.XGBoostError as error:
            return f"XGBoost cannot use the GPU ({_first_line(error)})"
    used = booster_device(trained)
    if not used.startswith("cuda"):
        return "no GPU found"
    asked = device if ":" in device else f"{device}:0"
    return "" if used in (device, asked) else f"there is no GPU {asked.partition(':')[2]}"


def booster_device(booster: Booster) -> str:
    """The device on which `booster` trains and predicts, as XGBoost's configuration names it."""
    import json

    return str(json.loads(booster.save_config())["learner"]["generic_param"]["device"])


def check_trained_on(booster: Booster, device: str) -> None:
    """Raises ConfigError where `booster` was trained elsewhere: without a GPU, XGBoost warns and takes the CPU."""
    if device != "cpu" and not (used := booster_device(booster)).startswith("cuda"):
        raise ConfigError(
            f"{device!r} was to be used, but XGBoost trained on {used!r}",
            "see that nvidia-smi lists the GPU, then start again; or set it to 'auto' or 'cpu'",
            key="model.device",
        )


def placements(device: str) -> tuple[Placement, ...]:
    """Where to train, in order: each is for the case that the memory of the one before was too small."""
    if device == "cpu":
        return (Placement("cpu"),)
    return Placement(device), Placement(device, external=True), Placement("cpu")


def out_of_device_memory(error: Exception) -> bool:
    """Whether XGBoost's `error` says that the GPU has no memory left."""
    return any(text in str(error) for text in OUT_OF_MEMORY)


def first_that_fits(device: str, attempt: Callable[[Placement], T]) -> T:
    """The result of `attempt` at the first of `placements` whose memory suffices; warns of each that did not.

    All other errors pass, and so does the CPU's own lack of memory. What `attempt` made is dropped before the next one.
    """
    import warnings

    from xgboost.core import XGBoostError

    *gpu, last = places = placements(device)
    for place, following in zip(gpu, places[1:], strict=True):
        try:
            return attempt(place)
        except XGBoostError as error:
            if not out_of_device_memory(error):
                raise
            reason = _first_line(error)
        warnings.warn(f"{place} ran out of memory ({reason}): trained on {following}", DeviceFallback, stacklevel=2)
    return attempt(last)


def falls_back(train: Callable[P, T]) -> Callable[P, T]:
    """`train`, called again at the next placement where the GPU's memory is too small.

    Its keyword arguments `device` and `external` are that placement; a caller gives `device` only.
    """

    @wraps(train)
    def at_each_placement(*args: P.args, **kwargs: P.kwargs) -> T:
        def attempt(place: Placement) -> T:
            kwargs.update(place._asdict())
            return train(*args, **kwargs)

        return first_that_fits(str(kwargs["device"]), attempt)

    return at_each_placement


def batched_matrix(
    X: np.ndarray, y: np.ndarray, names: Sequence[str], weight: np.ndarray | None = None, *, nthread: int = 0
) -> DMatrix:
    """`X` float32 [n, features] with NaN for missing, `weight` [n], as external memory: XGBoost reads it in batches.

    The plain DMatrix, because ExtMemQuantileDMatrix takes batches for a GPU from the GPU's own memory only, by CuPy.
    XGBoost keeps the batches of raw values in files of the folder for temporary files and deletes them with the matrix;
    what the GPU trains on it keeps in the host's memory.
    """
    import tempfile
    import uuid
    from pathlib import Path

    import xgboost

    step = max(BATCH_BYTES // (4 * max(X.shape[1], 1)), 1)

    class Batches(xgboost.DataIter):  # type: ignore[misc]
        def __init__(self) -> None:
            self.first = 0
            # no pages are joined: only ExtMemQuantileDMatrix can do that
            super().__init__(cache_prefix=str(Path(tempfile.gettempdir()) / uuid.uuid4().hex), min_cache_page_bytes=0)

        def reset(self) -> None:
            self.first = 0

        def next(self, input_data: Callable[..., None]) -> bool:
            if self.first >= len(y):
                return False
            at = slice(self.first, self.first + step)
            self.first += step
            weights = {} if weight is None else {"weight": weight[at]}
            input_data(data=X[at], label=y[at], feature_names=list(names), **weights)
            return True

    return xgboost.DMatrix(Batches(), nthread=nthread or None)


def _first_line(error: Exception) -> str:
    """What XGBoost's `error` says, without the place in its source and without the stack."""
    line = str(error).strip().splitlines()[0]
    return re.sub(r"^\[[0-9:]+\] \S+?:\s?[0-9]+: ", "", line).removeprefix("Check failed: ")
