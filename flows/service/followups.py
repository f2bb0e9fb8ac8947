"""Work that accepted data requires and that has not been done: its event was lost, or the run failed.

New rows and labels require `score`, `train` where it is due, and `monitor`. The event of their arrival starts these
runs at once; this module checks periodically for runs that did not follow. The ledger says whether data was accepted
since, the server says which runs have completed since. No clock of one machine is compared with that of another.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from treadle.tasks.backoff import Backoff
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.flows.project.deployment_plans import WorkKind
    from treadle.infra.orchestrator.runs import Runs, WorkRun
    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.up")

CHAIN: tuple[WorkKind, ...] = ("score", "train", "monitor")
WORKS: tuple[WorkKind, ...] = ("ingest", *CHAIN)

GRACE_SECONDS = 45.0
"""Grace period for the runs that the event starts; after it they are started directly."""

CHECK_SECONDS = 15.0
"""Between two checks of a pipeline; a run is started after two checks in a row that find the pipeline idle."""

RETRIES = Backoff()
MAX_TRAININGS = 3
"""Failed trainings on the same data before training is given up; the other kinds of work are retried without limit."""

BUSY_WITHIN = timedelta(seconds=60)
"""A run that is scheduled within this time counts as active."""


@dataclass(slots=True)
class PendingFollowup:
    """Accepted data of one pipeline whose follow-up runs have not all completed.

    `data_token` changes whenever data is accepted. `before`: the page of the newest run of each kind of work when the
    data was noticed. `next_check_at` and `retry_at` are seconds of the monotonic clock. `idle`: the last check found no
    active run. `attempts` counts also the starts that the server refused, `starts` does not.
    """

    data_token: str
    before: Mapping[str, str]
    next_check_at: float
    idle: bool = False
    starts: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)


class Followups:
    """Starts the runs of a home that accepted data requires; a failed one again after 1, 2, 4, ... 60 minutes.

    The data whose runs are complete is stored beside the locks of `up`. A run that a person cancelled counts as
    complete.
    """

    def __init__(self, settings: Settings) -> None:
        from treadle.infra import supervisor
        from treadle.infra.databases.ledger import Ledger

        self._settings = settings
        self._ledger = Ledger(settings.ledger)
        self._settled_file = supervisor.locks_folder(settings) / "settled.json"
        self._pending: dict[str, PendingFollowup] = {}
        try:
            self._settled: dict[str, str] = json.loads(self._settled_file.read_text())
        except (OSError, ValueError):
            self._settled = {}

    def start_missing(self, runs: Runs) -> None:
        """Start the first missing run of each idle pipeline.

        Raises ServiceError where the ledger does not answer, OSError or ValueError where the server does not.
        """
        now = time.monotonic()
        for pipeline in (file.stem for file in self._settings.pipelines):
            data_token = self._ledger.arrivals_token(pipeline)
            withdrawn = self._ledger.withdrawn(pipeline) is not None
            # rows accepted before the first champion, or while it is out of service, wait for one that answers
            if data_token and not withdrawn and self._ledger.champion(pipeline):
                data_token += ", champion"
            pending = self._pending.get(pipeline)
            if not data_token or data_token == self._settled.get(pipeline):
                self._pending.pop(pipeline, None)
            elif pending is None or pending.data_token != data_token:
                last = runs.last(WORKS)
                before: dict[str, str] = {work: last[pipeline, work].page for work in CHAIN if (pipeline, work) in last}
                self._pending[pipeline] = PendingFollowup(data_token, before, now + GRACE_SECONDS)
            elif now >= pending.next_check_at:
                pending.next_check_at = now + CHECK_SECONDS
                was_idle = pending.idle
                pending.idle = pipeline not in runs.busy(WORKS, datetime.now(UTC) + BUSY_WITHIN)
                if was_idle and pending.idle:
                    chain = CHAIN[1:] if withdrawn else CHAIN
                    self._start_next(pipeline, pending, runs.last(WORKS), now, chain)

    def _start_next(
        self,
        pipeline: str,
        pending: PendingFollowup,
        last: Mapping[tuple[str, str], WorkRun],
        now: float,
        chain: Sequence[WorkKind],
    ) -> None:
        from treadle.flows.service import deployments

        missing = [work for work in chain if not _done(pending, work, last.get((pipeline, work)))]
        if not missing:
            self._settle(pipeline, pending.data_token)
        for work in missing:
            if now < pending.retry_at.get(work, 0.0):
                continue
            attempts = pending.attempts[work] = pending.attempts.get(work, 0) + 1
            pending.retry_at[work] = now + RETRIES.pause(attempts)
            try:
                deployments.start_run(self._settings, pipeline, work, **({"if_due": True} if work == "train" else {}))
            except ServiceError as error:  # no such deployment: the pipeline's file is invalid
                log.warning("%s: `%s` cannot be started: %s", pipeline, work, error.message)
                continue
            pending.starts[work] = pending.starts.get(work, 0) + 1
            log.info("%s: starting `%s`: no run followed the new data", pipeline, work)
            pending.idle = False
            return

    def _settle(self, pipeline: str, data_token: str) -> None:
        from treadle.infra.files.atomic import write_atomically

        self._settled[pipeline] = data_token
        write_atomically(self._settled_file, json.dumps(self._settled))


def _done(pending: PendingFollowup, work: WorkKind, last: WorkRun | None) -> bool:
    """Whether a run newer than the data has completed, or training has been started `MAX_TRAININGS` times."""
    from treadle.infra.orchestrator.runs import settled

    if work == "train" and pending.starts.get(work, 0) >= MAX_TRAININGS:
        return True
    return last is not None and last.page != pending.before.get(work) and settled(last.state, last.message)
