"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds between attempts: the first one, doubled after every further failure up to the longest."""

    first: float = 60.0
    longest: float = 3600.0

    def pause(self, failures: int) -> float:
        """The pause in seconds after this number of failures in a row; 0 after none.

        >>> [Backoff(60.0, 3600.0).pause(failures) for failures in (0, 1, 2, 3, 7, 999)]
        [0.0, 60.0, 120.0, 240.0, 3600.0, 3600.0]
        """
        doublings = min(failures - 1, 64)  # keeps the power within a float
        return min(self.longest, self.first * 2.0**doublings) if failures > 0 else 0.0
