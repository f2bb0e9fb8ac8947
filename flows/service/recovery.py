"""Runs that crashed, taken up again by `treadle up` where the server has not done so.

The server's automation does it within seconds (`automations`). But a server that was started anew takes the news
of a crash for one that came too early: it waits for the news before it, which the server before it has seen.
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
"""What the automation needs, and some more."""

LOOKBACK = timedelta(minutes=15)
"""What crashed before that was left, or a person has seen it."""


class CrashedRuns:
    """Remembers since when which run is crashed."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, datetime | None], float] = {}

    def look(self, runs: Runs) -> None:
        """Take up what has been crashed for too long; raises OSError or ValueError where the server does not answer."""
        now = time.monotonic()
        found = runs.crashed(datetime.now(UTC) - LOOKBACK)
        self._seen = {(one.id, one.since): self._seen.get((one.id, one.since), now) for one in found}
        for one in found:
            if now - self._seen[one.id, one.since] > (BEGUN_SECONDS if one.begun else UNBEGUN_SECONDS):
                runs.begin_again(one.id)
                log.warning("the run %s crashed, and nobody has taken it up again; a worker does now", one.name)
