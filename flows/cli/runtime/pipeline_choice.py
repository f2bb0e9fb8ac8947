"""Which home and which pipeline a command works on."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from treadle.tasks.errors import HomeError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


def open_pipeline(pipeline: str) -> tuple[Settings, PipelineConfig]:
    """Return the home around the current folder and the config of `pipeline` (empty: its only one).

    Raises HomeError where there is no home or no such pipeline, ConfigError for a file that breaks a rule.
    """
    from treadle.infra import settings as settings_
    from treadle.tasks.config.load import load_config

    settings = settings_.find_home()
    return settings, load_config(pipeline_file(settings, pipeline))


def pipeline_file(settings: Settings, pipeline: str) -> Path:
    """Return the TOML file of `pipeline`, or of the home's only pipeline where it is empty.

    Raises HomeError, with the nearest name or the names there are.
    """
    files, folder = {file.stem: file for file in settings.pipelines}, settings.home / "pipelines"
    names = list(files)
    if pipeline in files:
        return files[pipeline]
    if pipeline:
        near = get_close_matches(pipeline, names, n=1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        raise HomeError(f"no pipeline named {pipeline!r} in {folder}{suggestion}", _choose(names))
    if not names:
        raise HomeError(f"{folder} holds no pipeline yet", _choose(names))
    if len(names) > 1:
        raise HomeError(f"this home has {len(names)} pipelines: {', '.join(names)}", f"say which: -p {names[0]}")
    return files[names[0]]


def complete_pipeline(incomplete: str) -> list[str]:
    """Return the pipeline names that the shell can complete to; none outside a home."""
    from treadle.infra import settings as settings_

    try:
        return [file.stem for file in settings_.find_home().pipelines if file.stem.startswith(incomplete)]
    except HomeError:
        return []


def _choose(names: list[str]) -> str:
    return f"choose one of {', '.join(names)}" if names else "make one: treadle init DATA --target COLUMN"
