"""Find new files in the sources and start an ingest for them; reads names, sizes and times, never the content."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from treadle.tasks.backoff import Backoff
from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

log = logging.getLogger("treadle.up")

SCAN_SECONDS = 3.0
IDLE_FACTOR = 50
"""The pause after a scan is at least this many times as long as the scan, so that large inboxes cost at most 2%."""
RETRIES = Backoff()
NOT_FOUND = 404


class FileState(NamedTuple):
    """A file at one scan; `changed_ns` is its modification time."""

    path: str
    size: int
    changed_ns: int


class Inboxes:
    """The sources of all pipelines of a home, scanned repeatedly.

    A file counts as new once two scans in a row found it unchanged, so that a file that is still being written is left
    alone.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configs: dict[Path, tuple[int, PipelineConfig | None]] = {}
        self._previous: dict[str, frozenset[FileState]] = {}
        self._handled: dict[str, frozenset[FileState]] = {}
        self._stable: dict[str, frozenset[FileState]] = {}

    def scan(self) -> list[str]:
        """The pipelines with new files in their sources; returned at every scan until `mark_handled`."""
        states = {name: self._file_states(config) for name, config in self._valid_configs()}
        self._stable = {name: files & self._previous.get(name, frozenset()) for name, files in states.items()}
        self._previous = states
        # a file that is gone is no longer handled: it may come back
        self._handled = {name: self._handled.get(name, frozenset()) & files for name, files in states.items()}
        return [name for name, stable in self._stable.items() if stable - self._handled[name]]

    def mark_handled(self, pipeline: str) -> None:
        """Count the new files that the last scan found as handled: an ingest was started for them."""
        self._handled[pipeline] |= self._stable[pipeline]

    def forget(self, pipeline: str) -> None:
        """Count all files of the pipeline's sources as new again."""
        self._handled.pop(pipeline, None)

    def _valid_configs(self) -> list[tuple[str, PipelineConfig]]:
        """The pipelines whose config can be read; a file is read again when it has changed."""
        from treadle.tasks.config.load import load_config

        files = self._settings.pipelines
        for file in files:
            changed = file.stat().st_mtime_ns
            if self._configs.get(file, (None, None))[0] != changed:
                try:
                    self._configs[file] = changed, load_config(file)
                except TreadleError as error:
                    self._configs[file] = changed, None
                    log.warning("%s is not watched: %s", file.stem, error.message)
        return [(file.stem, config) for file in files if (config := self._configs[file][1]) is not None]

    def _file_states(self, config: PipelineConfig) -> frozenset[FileState]:
        from treadle.infra import sources

        states: set[FileState] = set()
        for source in (config.data.source, config.labels.source):
            for path in sources.find_files(self._settings.home, source, warn=False) if source else []:
                try:
                    status = path.stat()
                except OSError:  # deleted since
                    continue
                states.add(FileState(str(path), status.st_size, status.st_mtime_ns))
        return frozenset(states)


@dataclass(slots=True)
class IngestAttempt:
    """A run of `ingest` that was started: its id, and how many will have failed in a row if it fails too.

    `retry_at` is a second of the monotonic clock; None until the run is known to have failed.
    """

    run: str
    failures: int
    retry_at: float | None = None


class Intake:
    """Starts an ingest for new files; a failed one again after 1, 2, 4, ... 60 minutes.

    A killed ingest is rescheduled by the server, and one that a person cancelled is not retried.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inboxes = Inboxes(settings)
        self._attempts: dict[str, IngestAttempt] = {}
        self._next_at = 0.0

    def start_ingests(self) -> None:
        """Scan the sources, where a scan is due, and start an ingest for each pipeline with new files.

        Raises ServiceError where the server does not answer.
        """
        from treadle.flows.service import deployments

        began = time.monotonic()
        if began < self._next_at:
            return
        pipelines = self._inboxes.scan()
        ended = time.monotonic()
        self._next_at = began + max(SCAN_SECONDS, IDLE_FACTOR * (ended - began))
        for pipeline in pipelines:
            run = deployments.start_run(self._settings, pipeline, "ingest")
            before = self._attempts.get(pipeline)
            self._attempts[pipeline] = IngestAttempt(run, before.failures + 1 if before else 1)
            self._inboxes.mark_handled(pipeline)
            log.info("%s: new files, ingest started", pipeline)

    def check_ingests(self, api: str) -> None:
        """Read how the started ingests ended, and count the files of a failed one as new again after its pause.

        Raises OSError or ValueError where the server does not answer.
        """
        from urllib.error import HTTPError

        from treadle.infra.orchestrator.api import ask
        from treadle.infra.orchestrator.runs import settled

        for pipeline, attempt in list(self._attempts.items()):
            if attempt.retry_at is None:
                try:
                    state = json.loads(ask(api, f"/flow_runs/{attempt.run}"))["state"] or {}
                except HTTPError as error:
                    if error.code != NOT_FOUND:
                        raise
                    state = {"type": "FAILED"}  # the run was deleted, or the server's database is a new one
                kind = state.get("type", "")
                if settled(kind, state.get("message")):
                    del self._attempts[pipeline]
                elif kind in ("FAILED", "CANCELLED"):
                    attempt.retry_at = time.monotonic() + RETRIES.pause(attempt.failures)
            elif time.monotonic() > attempt.retry_at:
                self._inboxes.forget(pipeline)
