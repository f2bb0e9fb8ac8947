"""What the quarantine keeps of a batch, and what is known of it besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import QuarantineDecision


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch of which the quarantine has rows.

    `scope`: `row` (refused on their own account), `batch` (refused whole) or `file` (could not be read; no rows).
    `decisions` are what people made of it so far, oldest first.
    """

    batch_id: str
    file: str
    scope: Literal["row", "batch", "file"]
    rows: int
    at: datetime
    decisions: tuple[QuarantineDecision, ...]

    @property
    def labels(self) -> bool:
        """Whether it is a file of late labels."""
        return self.batch_id.startswith("labels-")

    @property
    def dropped(self) -> QuarantineDecision | None:
        """The decision that settled it; None while it is open."""
        return next((one for one in self.decisions if one.action == "drop"), None)

    @property
    def interrupted(self) -> QuarantineDecision | None:
        """A release that a kill left half done; None where there is none."""
        return next((one for one in self.decisions if one.pending), None)


def held_batches(place: Workplace, con: duckdb.DuckDBPyConnection) -> list[HeldBatch]:
    """All batches in quarantine, oldest first, settled ones too."""
    stores, pipeline = place.stores, place.config.name
    decisions = stores.ledger.decisions(pipeline)
    found = con.sql(
        "SELECT _batch_id, any_value(file), any_value(scope), count(_ordinal), min(quarantined_at) "
        f"FROM {stores.tables.relation('quarantine')} GROUP BY _batch_id ORDER BY min(quarantined_at), _batch_id"
    ).fetchall()
    return [
        HeldBatch(batch_id, file, scope, rows, at, tuple(one for one in decisions if one.batch_id == batch_id))
        for batch_id, file, scope, rows, at in found
    ]


def choose_batch(batches: Sequence[HeldBatch], wanted: str) -> HeldBatch:
    """The batch called `wanted`: its id or the first digits of it, or its file's name.

    Raises UsageError where there is none, or more than one.
    """
    found = [one for one in batches if one.batch_id == wanted]
    found = found or [one for one in batches if one.file == wanted]
    found = found or [one for one in batches if wanted and one.batch_id.removeprefix("labels-").startswith(wanted)]
    found = found or [one for one in batches if wanted and one.batch_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(f"{one.batch_id} ({one.at:%Y-%m-%d %H:%M})" for one in found)
        raise UsageError(f"{wanted!r} may be any of {len(found)} batches: {told}", "say which by its id")
    there = ", ".join(f"{one.batch_id} ({one.file})" for one in batches if not one.dropped) or "nothing"
    raise UsageError(f"the quarantine has no batch {wanted!r}; in it: {there}", "see: treadle quarantine list")
