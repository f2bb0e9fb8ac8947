"""A cheap look at the files that wait in the sources: names, sizes and times, never their content."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import TreadleError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from tasks.config import PipelineConfig

log = logging.getLogger("treadle.up")


class Sight(NamedTuple):
    """A file as it was seen."""

    path: str
    size: int
    changed_ns: int


class Inboxes:
    """The sources of all pipelines of a home, looked at again and again.

    A file counts once two looks, one after the other, have seen it the same: one that is still being written does not.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configs: dict[Path, tuple[int, PipelineConfig | None]] = {}
        self._before: dict[str, frozenset[Sight]] = {}
        self._told: dict[str, frozenset[Sight]] = {}
        self._new: dict[str, frozenset[Sight]] = {}

    def look(self) -> list[str]:
        """The pipelines in whose sources something is new; to be said again until it is `taken`."""
        sights = {name: self._sights(config) for name, config in self._obeyed()}
        self._new = {name: seen & self._before.get(name, frozenset()) for name, seen in sights.items()}
        self._before = sights
        # what has gone is forgotten: it may come again
        self._told = {name: self._told.get(name, frozenset()) & seen for name, seen in sights.items()}
        return [name for name, steady in self._new.items() if steady - self._told[name]]

    def taken(self, pipeline: str) -> None:
        """What the last look saw of the pipeline is in somebody's hands."""
        self._told[pipeline] = self._told[pipeline] | self._new[pipeline]

    def _obeyed(self) -> list[tuple[str, PipelineConfig]]:
        """The pipelines whose files can be read; a file is read again when it has changed."""
        from tasks import config as config_

        files = sorted((self._settings.home / "pipelines").glob("[!.]*.toml"))
        for file in files:
            changed = file.stat().st_mtime_ns
            if self._configs.get(file, (None, None))[0] != changed:
                try:
                    self._configs[file] = changed, config_.load(file)
                except TreadleError as error:
                    self._configs[file] = changed, None
                    log.warning("%s is not looked after: %s", file.stem, error.message)
        return [(file.stem, config) for file in files if (config := self._configs[file][1]) is not None]

    def _sights(self, config: PipelineConfig) -> frozenset[Sight]:
        from infra import sources

        found: set[Sight] = set()
        for source in (config.data.source, config.labels.source):
            for path in sources.find(self._settings.home, source, told=False) if source else []:
                try:
                    status = path.stat()
                except OSError:  # gone since
                    continue
                found.add(Sight(str(path), status.st_size, status.st_mtime_ns))
        return frozenset(found)
