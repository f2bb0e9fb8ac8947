"""What a version's training run recorded in the ledger, as far as later commands read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import VersionRecord


class RecordedResult(BaseModel):
    """The part of a run's `TrainResult` that is read later; without importing Prefect, as that module would.

    The fields mean what they mean there. A result of an earlier version lacks some: they have their defaults.
    """

    model_config = ConfigDict(frozen=True)

    report: str = ""
    judged_rows: int = 0
    value_lower: float | None = None
    value_upper: float | None = None
    unsettled: str = ""
    basis: str = ""
    gain: float | None = None
    gain_error: float | None = None


def recorded_result(record: VersionRecord) -> RecordedResult:
    """The recorded result of a version; of one without any, the defaults."""
    return RecordedResult.model_validate_json(record.result or "{}")
