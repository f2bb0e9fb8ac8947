"""A cheap look at the files that wait in the sources: names, sizes and times, never their content."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

log = logging.getLogger("treadle.up")

LOOK_SECONDS = 3.0
REST = 50
"""Looking at large inboxes costs at most one part in so many of the time."""
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
NOT_FOUND = 404


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
        self._told[pipeline] |= self._new[pipeline]

    def forget(self, pipeline: str) -> None:
        """What is there counts as new again."""
        self._told.pop(pipeline, None)

    def _obeyed(self) -> list[tuple[str, PipelineConfig]]:
        """The pipelines whose files can be read; a file is read again when it has changed."""
        from treadle.tasks.config.load import load_config

        files = self._settings.pipelines
        for file in files:
            changed = file.stat().st_mtime_ns
            if self._configs.get(file, (None, None))[0] != changed:
                try:
                    self._configs[file] = changed, load_config(file)
                except TreadleError as error:
                    self._configs[file] = changed, None
                    log.warning("%s is not looked after: %s", file.stem, error.message)
        return [(file.stem, config) for file in files if (config := self._configs[file][1]) is not None]

    def _sights(self, config: PipelineConfig) -> frozenset[Sight]:
        from treadle.infra import sources

        found: set[Sight] = set()
        for source in (config.data.source, config.labels.source):
            for path in sources.find_files(self._settings.home, source, warn=False) if source else []:
                try:
                    status = path.stat()
                except OSError:  # gone since
                    continue
                found.add(Sight(str(path), status.st_size, status.st_mtime_ns))
        return frozenset(found)


@dataclass(slots=True)
class Taking:
    """A run that takes files in: when to try again, once it is known to have failed, and how long to wait then."""

    run: str
    pause: float
    again_at: float | None = None


class Intake:
    """Starts an ingest for what is new; where that failed, again after 1, 2, 4, ... 60 minutes.

    One that was killed goes on by itself, and one that a person has cancelled stays so.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inboxes = Inboxes(settings)
        self._taking: dict[str, Taking] = {}
        self._next_at = 0.0

    def look(self) -> None:
        """Where it is time, look at all sources and start what there is to start.

        Raises ServiceError where the server is away.
        """
        from treadle.flows.service import deployments

        began = time.monotonic()
        if began < self._next_at:
            return
        new = self._inboxes.look()
        ended = time.monotonic()
        self._next_at = began + max(LOOK_SECONDS, REST * (ended - began))
        for pipeline in new:
            run = deployments.start_run(self._settings, pipeline, "ingest")
            before = self._taking.get(pipeline)
            self._taking[pipeline] = Taking(run, min(LONGEST_PAUSE, 2 * before.pause) if before else FIRST_PAUSE)
            self._inboxes.taken(pipeline)
            log.info("%s: new files, being taken in", pipeline)

    def follow(self, api: str) -> None:
        """See how what was started has ended; raises OSError or ValueError where the server does not answer."""
        from urllib.error import HTTPError

        from treadle.infra.orchestrator.api import ask
        from treadle.infra.orchestrator.runs import settled

        for pipeline, taking in list(self._taking.items()):
            if taking.again_at is None:
                try:
                    state = json.loads(ask(api, f"/flow_runs/{taking.run}"))["state"] or {}
                except HTTPError as error:
                    if error.code != NOT_FOUND:
                        raise
                    state = {"type": "FAILED"}  # somebody took it away, or the server's database is a new one
                kind = state.get("type", "")
                if settled(kind, state.get("message")):
                    del self._taking[pipeline]
                elif kind in ("FAILED", "CANCELLED"):
                    taking.again_at = time.monotonic() + taking.pause
            elif time.monotonic() > taking.again_at:
                self._inboxes.forget(pipeline)
