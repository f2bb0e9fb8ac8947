"""What accepted data calls for and nobody has done: an event was lost, or the run that it began has failed.

New rows and labels call for `score`, for `train` where it is due, and for `monitor`. The event of their arrival says so
to the server at once; who looks here now and then finds what did not come of it. The ledger tells that there is more
than before, the server's runs what has ended well since; no clock is compared with another.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.flows.project.deployment_plans import WorkKind
    from treadle.infra.orchestrator.runs import Runs, WorkRun
    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.up")

CHAIN: tuple[WorkKind, ...] = ("score", "train", "monitor")
WORKS: tuple[WorkKind, ...] = ("ingest", *CHAIN)

FIRST_SECONDS = 45.0
"""So long what the event begins may take to begin; then it is asked for."""

LOOK_SECONDS = 15.0
"""Between two looks; both must have found nothing at work before anything is started."""

FIRST_PAUSE, LONGEST_PAUSE, DOUBLINGS = 60.0, 3600.0, 6
TRAININGS = 3
"""So often the same data is trained on where that fails; the rest costs little, and is tried for ever."""

SOON = timedelta(seconds=60)


@dataclass(slots=True)
class PendingFollowup:
    """Data whose work is not known to be done. `before`: the newest runs when it was seen, by their pages.

    `tries` counts also where the server would not start a run, `starts` does not.
    """

    data: str
    before: Mapping[str, str]
    next_at: float
    quiet: bool = False
    starts: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    again_at: dict[str, float] = field(default_factory=dict)


class Followups:
    """Starts what is owed in a home; where that fails, again after 1, 2, 4, ... 60 minutes.

    What is settled is remembered beside the locks of `up`. A run that a person has cancelled settles it as well.
    """

    def __init__(self, settings: Settings) -> None:
        from treadle.infra import supervisor
        from treadle.infra.databases.ledger import Ledger

        self._settings = settings
        self._ledger = Ledger(settings.ledger)
        self._memory = supervisor.locks_folder(settings) / "settled.json"
        self._owing: dict[str, PendingFollowup] = {}
        try:
            self._settled: dict[str, str] = json.loads(self._memory.read_text())
        except (OSError, ValueError):
            self._settled = {}

    def look(self, runs: Runs) -> None:
        """See what there is to do, and start one thing of each pipeline that is at rest.

        Raises ServiceError where the ledger does not answer, OSError or ValueError where the server does not.
        """
        now = time.monotonic()
        for pipeline in (file.stem for file in self._settings.pipelines):
            data = self._ledger.arrivals_token(pipeline)
            if data and self._ledger.champion(pipeline):  # rows that came before the first one wait for it
                data += ", champion"
            known = self._owing.get(pipeline)
            if not data or data == self._settled.get(pipeline):
                self._owing.pop(pipeline, None)
            elif known is None or known.data != data:
                last = runs.last(WORKS)
                before: dict[str, str] = {work: last[pipeline, work].page for work in CHAIN if (pipeline, work) in last}
                self._owing[pipeline] = PendingFollowup(data, before, now + FIRST_SECONDS)
            elif now >= known.next_at:
                known.next_at = now + LOOK_SECONDS
                rested, known.quiet = known.quiet, pipeline not in runs.busy(WORKS, datetime.now(UTC) + SOON)
                if rested and known.quiet:
                    self._go_on(pipeline, known, runs.last(WORKS), now)

    def _go_on(
        self, pipeline: str, known: PendingFollowup, last: Mapping[tuple[str, str], WorkRun], now: float
    ) -> None:
        from treadle.flows.service import deployments

        left = [work for work in CHAIN if not _done(known, work, last.get((pipeline, work)))]
        if not left:
            self._settle(pipeline, known.data)
        for work in left:
            if now < known.again_at.get(work, 0.0):
                continue
            tries = known.tries[work] = known.tries.get(work, 0) + 1
            known.again_at[work] = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, DOUBLINGS))
            try:
                deployments.start_run(self._settings, pipeline, work, **({"if_due": True} if work == "train" else {}))
            except ServiceError as error:  # no such deployment: its file cannot be obeyed
                log.warning("%s: `%s` cannot be started: %s", pipeline, work, error.message)
                continue
            known.starts[work] = known.starts.get(work, 0) + 1
            log.info("%s: `%s` has not followed on what came; it is started", pipeline, work)
            known.quiet = False
            return

    def _settle(self, pipeline: str, data: str) -> None:
        self._settled[pipeline] = data
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        aside = self._memory.with_suffix(".part")
        aside.write_text(json.dumps(self._settled))
        aside.replace(self._memory)


def _done(known: PendingFollowup, work: WorkKind, last: WorkRun | None) -> bool:
    """Whether a run that began after the data was seen has ended well, or there have been enough of them."""
    from treadle.infra.orchestrator.runs import settled

    if work == "train" and known.starts.get(work, 0) >= TRAININGS:
        return True
    return last is not None and last.page != known.before.get(work) and settled(last.state, last.message)
