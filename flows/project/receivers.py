"""The receivers of alerts that `[alerts]` in the pipelines' files names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from treadle.tasks.alerts import AlertsSpec
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.infra.settings import Settings


class Receiver(BaseModel):
    """A receiver and its pipelines. `name` is the variable that holds its address.

    `address` is the address without its secret parts; empty where the variable is not set.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    pipelines: tuple[str, ...]


def configured_receivers(settings: Settings) -> tuple[Receiver, ...]:
    """All receivers of the home, sorted by name."""
    return receivers_of({file.stem: alerts_spec(settings, file.stem) for file in settings.pipelines})


def receivers_of(specs: Mapping[str, AlertsSpec]) -> tuple[Receiver, ...]:
    """The receivers in these `[alerts]` sections, by pipeline; sorted by name."""
    from treadle.infra.notifications import address

    variables = sorted({name for spec in specs.values() for name in spec.receivers})
    return tuple(
        Receiver(
            name=name,
            address=address(name),
            pipelines=tuple(pipeline for pipeline in specs if name in specs[pipeline].receivers),
        )
        for name in variables
    )


def alerts_spec(settings: Settings, pipeline: str) -> AlertsSpec:
    """The `[alerts]` section of the pipeline's file, also where another section is invalid."""
    from treadle.tasks.config.load import load_config
    from treadle.tasks.config.locate import ConfigFile

    file = settings.home / "pipelines" / f"{pipeline}.toml"
    try:
        return load_config(file).alerts
    except ConfigError:
        try:
            return AlertsSpec.model_validate_json(
                json.dumps(ConfigFile.read(file).document.get("alerts", {}), default=str)
            )
        except (ConfigError, ValidationError):
            return AlertsSpec()
