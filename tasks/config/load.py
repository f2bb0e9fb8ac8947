"""A pipeline's file, read and checked."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - part of a public signature

from pydantic import ValidationError

from treadle.tasks.config.locate import ConfigFile
from treadle.tasks.config.spec import PipelineConfig


def load_config(path: Path) -> PipelineConfig:
    """Read and check a pipeline file.

    Raises ConfigError with `file:line`, key, value and what is allowed; the name must be the file's own.
    """
    file = ConfigFile.read(path)
    try:
        # JSON, not Python objects: strict models take TOML's arrays as tuples only from there
        config = PipelineConfig.model_validate_json(file.as_json())
    except ValidationError as error:
        raise file.explain(error) from None
    if config.name != path.stem:
        raise file.refuse("name", config.name, f"the file's own name, '{path.stem}'")
    return config
