"""Limits that a config may name: a model that is too large or too slow is refused, however good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.tasks.gate.values import GateSpec


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs at work: its boosters' files in MB (1,000,000 bytes), and ms to predict 1,000 rows."""

    model_mb: float
    ms_per_1000_rows: float

    def __str__(self) -> str:
        return f"{self.model_mb:.4g} MB, {self.ms_per_1000_rows:.3g} ms for 1,000 rows"


def over_limits(spec: GateSpec, cost: Cost) -> Iterator[str]:
    """A sentence for each limit of `spec` that the model exceeds; an unset limit is none."""
    if spec.max_model_mb is not None and cost.model_mb > spec.max_model_mb:
        yield f"the model takes {cost.model_mb:.4g} MB (gate.max_model_mb: {spec.max_model_mb:g})"
    if spec.max_ms_per_1000_rows is not None and cost.ms_per_1000_rows > spec.max_ms_per_1000_rows:
        yield (
            f"predicting 1,000 rows takes {cost.ms_per_1000_rows:.3g} ms on this machine "
            f"(gate.max_ms_per_1000_rows: {spec.max_ms_per_1000_rows:g})"
        )
