"""Which home and which pipeline a command means."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from treadle.tasks.errors import HomeError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


def opened(pipeline: str) -> tuple[Settings, PipelineConfig]:
    """The home around the current folder and the config of `pipeline` (empty: its only one).

    Raises HomeError where there is no home or no such pipeline, ConfigError for a file that we do not obey.
    """
    from treadle.infra import settings as settings_
    from treadle.tasks.config.load import load_config

    settings = settings_.find_home()
    return settings, load_config(path(settings, pipeline))


def path(settings: Settings, pipeline: str) -> Path:
    """The TOML file of `pipeline`, or of the home's only pipeline.

    Raises HomeError, with the nearest name or the names there are.
    """
    files, place = {file.stem: file for file in settings.pipelines}, settings.home / "pipelines"
    known = list(files)
    if pipeline in known:
        return files[pipeline]
    if pipeline:
        near = get_close_matches(pipeline, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise HomeError(f"no pipeline named {pipeline!r} in {place}{meant}", _choose(known))
    if not known:
        raise HomeError(f"{place} holds no pipeline yet", _choose(known))
    if len(known) > 1:
        raise HomeError(f"this home has {len(known)} pipelines: {', '.join(known)}", f"say which: -p {known[0]}")
    return files[known[0]]


def complete(incomplete: str) -> list[str]:
    """Pipeline names for the shell's completion; nothing outside a home."""
    from treadle.infra import settings as settings_

    try:
        return [file.stem for file in settings_.find_home().pipelines if file.stem.startswith(incomplete)]
    except HomeError:
        return []


def _choose(known: list[str]) -> str:
    return f"choose one of {', '.join(known)}" if known else "make one: treadle init DATA --target COLUMN"
