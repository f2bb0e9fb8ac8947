"""Pauses before a failed receiver of alerts is tried again: its last message may have arrived after all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from treadle.tasks.backoff import Backoff

if TYPE_CHECKING:
    from treadle.infra.settings import Settings

RETRIES = Backoff()
FAILURES = TypeAdapter(dict[str, tuple[int, float]])
"""By receiver's name: how many attempts in a row have failed, and when the last one was made (Unix seconds)."""


class FailedReceivers:
    """Remembers failed receivers in `alerts.json`; for one process at a time."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.state / "alerts.json"
        try:
            self._failures = FAILURES.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            self._failures = {}

    def applies_to(self, name: str) -> bool:
        """Whether it is too early to try the receiver again: 1, 2, 4, ... 60 minutes after the last attempt."""
        times, last = self._failures.get(name, (0, 0.0))
        return 0 <= time.time() - last < RETRIES.pause(times)  # a clock that was set back silences no receiver

    @property
    def has_failures(self) -> bool:
        """Whether the last attempt failed for any receiver."""
        return bool(self._failures)

    def record(self, name: str, *, failed: bool) -> None:
        """Store how an attempt ended."""
        from treadle.infra.files.atomic import write_atomically

        before = dict(self._failures)
        if failed:
            self._failures[name] = self._failures.get(name, (0, 0.0))[0] + 1, time.time()
        else:
            self._failures.pop(name, None)
        if self._failures != before:
            write_atomically(self._file, FAILURES.dump_json(self._failures))
