"""A run's device: which one its rows call for, and what the run keeps when that one's memory was too small."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from treadle.flows.context import events
from treadle.tasks.device import DeviceFallback, DeviceUse, choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.flows.context.workplace import Workplace
    from treadle.flows.train.run import RunRef


def device_for(place: Workplace, data_version: str) -> DeviceUse:
    """The device for the pipeline's labelled rows at `data_version`, which are counted for `auto` only.

    Raises ConfigError where the config names a GPU that is not there.
    """
    from treadle.infra.tables.labelled import count_labelled
    from treadle.tasks.training import feature_columns

    wanted = place.config.model.device
    if wanted != "auto":
        return choose_device(wanted, 0, 0)
    rows = count_labelled(place.stores.tables, place.labelled(data_version))
    return choose_device(wanted, rows, len(feature_columns(place.config, place.suite().schema)))


@contextmanager
def kept_fallbacks(ref: RunRef) -> Iterator[None]:
    """Report each DeviceFallback of the training inside and keep it on the run's workbench; other warnings pass."""
    bench = ref.bench
    pass_on = warnings.showwarning

    def keep(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, DeviceFallback):
            pass_on(message, category, filename, lineno, file, line)
            return
        events.emit("train", str(message))
        bench.put("fallbacks.json", tuple(dict.fromkeys((*ref.device_use.fell_back, str(message)))), tuple[str, ...])

    with warnings.catch_warnings():
        warnings.simplefilter("always", DeviceFallback)
        warnings.showwarning = keep
        yield
