"""Receivers of alerts that did not answer are left in peace for a while: what they were told may have arrived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings

FIRST_SECONDS, LONGEST_SECONDS, DOUBLINGS = 60.0, 3600.0, 6
KNOWN = TypeAdapter(dict[str, tuple[int, float]])


class Backoff:
    """By a receiver's name how often in a row it could not be told, and when last; for one process at a time."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.state / "alerts.json"
        try:
            self._known = KNOWN.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            self._known = {}

    def resting(self, name: str) -> bool:
        """Whether it is too soon to try again: 1, 2, 4, ... 60 minutes after the last attempt."""
        times, last = self._known.get(name, (0, 0.0))
        pause = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(times - 1, DOUBLINGS)) if times else 0.0
        return 0 <= time.time() - last < pause  # a clock that was set back does not silence anybody

    @property
    def pending(self) -> bool:
        """Whether there is anybody who could not be told at last."""
        return bool(self._known)

    def note(self, name: str, *, failed: bool) -> None:
        """Remember what became of an attempt."""
        before = dict(self._known)
        if failed:
            self._known[name] = self._known.get(name, (0, 0.0))[0] + 1, time.time()
        else:
            self._known.pop(name, None)
        if self._known != before:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            aside = self._file.with_suffix(".part")
            aside.write_bytes(KNOWN.dump_json(self._known))
            aside.replace(self._file)
