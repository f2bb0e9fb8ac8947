"""Crashed runs that the server did not reschedule are rescheduled by `treadle up`.

The server's automation reschedules them within seconds (`automations`). A server that was restarted can miss a crash:
it holds the event back until it sees the preceding one, which only the server before it has received.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.infra.orchestrator.runs import Runs

log = logging.getLogger("treadle.up")

BEGUN_SECONDS, UNBEGUN_SECONDS = 30.0, 180.0
"""Time left to the server's automation, for a run that had begun and for one that had not."""

LOOKBACK = timedelta(minutes=15)
"""Runs that crashed earlier stay crashed: they were given up, or a person has seen them."""


class CrashedRuns:
    """Remembers since when each run is crashed, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._crashed_at: dict[tuple[str, datetime | None], float] = {}

    def reschedule(self, runs: Runs) -> None:
        """Reschedule runs that stay crashed; raises OSError or ValueError where the server does not answer."""
        now = time.monotonic()
        crashed = runs.crashed(datetime.now(UTC) - LOOKBACK)
        self._crashed_at = {(run.id, run.since): self._crashed_at.get((run.id, run.since), now) for run in crashed}
        for run in crashed:
            if now - self._crashed_at[run.id, run.since] > (BEGUN_SECONDS if run.begun else UNBEGUN_SECONDS):
                runs.begin_again(run.id)
                log.warning("the run %s crashed and the server did not reschedule it; it is rescheduled now", run.name)
