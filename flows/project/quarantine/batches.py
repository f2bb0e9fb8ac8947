"""The batches in quarantine, with the decisions about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import QuarantineDecision


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch that has rows in the quarantine.

    `scope`: `row` (rows that broke a rule), `batch` (refused whole) or `file` (could not be read; no rows). `decisions`
    of people about it, oldest first.
    """

    batch_id: str
    file: str
    scope: Literal["row", "batch", "file"]
    rows: int
    at: datetime
    decisions: tuple[QuarantineDecision, ...]

    @property
    def labels(self) -> bool:
        """Whether it holds late labels."""
        return self.batch_id.startswith("labels-")

    @property
    def dropped(self) -> QuarantineDecision | None:
        """The decision to drop it; None while there is none."""
        return next((decision for decision in self.decisions if decision.action == "drop"), None)

    @property
    def interrupted(self) -> QuarantineDecision | None:
        """A release that was interrupted by a kill; None where there is none."""
        return next((decision for decision in self.decisions if decision.pending), None)


def held_batches(place: Workplace, con: duckdb.DuckDBPyConnection) -> list[HeldBatch]:
    """All batches in quarantine, oldest first, including dropped ones."""
    stores, pipeline = place.stores, place.config.name
    decisions = stores.ledger.decisions(pipeline)
    rows_by_batch = con.sql(
        "SELECT _batch_id, any_value(file), any_value(scope), count(_ordinal), min(quarantined_at) "
        f"FROM {stores.tables.relation('quarantine')} GROUP BY _batch_id ORDER BY min(quarantined_at), _batch_id"
    ).fetchall()
    return [
        HeldBatch(batch_id, file, scope, rows, at, tuple(one for one in decisions if one.batch_id == batch_id))
        for batch_id, file, scope, rows, at in rows_by_batch
    ]


def choose_batch(batches: Sequence[HeldBatch], wanted: str) -> HeldBatch:
    """The batch called `wanted`: its id or the first digits of it, or its file's name.

    Raises UsageError where there is none, or more than one.
    """
    matches = [batch for batch in batches if batch.batch_id == wanted]
    matches = matches or [batch for batch in batches if batch.file == wanted]
    matches = matches or [
        batch for batch in batches if wanted and batch.batch_id.removeprefix("labels-").startswith(wanted)
    ]
    matches = matches or [batch for batch in batches if wanted and batch.batch_id.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f"{batch.batch_id} ({batch.at:%Y-%m-%d %H:%M})" for batch in matches)
        raise UsageError(f"{wanted!r} may be any of {len(matches)} batches: {listed}", "name one by its id")
    listed = ", ".join(f"{batch.batch_id} ({batch.file})" for batch in batches if not batch.dropped) or "nothing"
    raise UsageError(f"the quarantine has no batch {wanted!r}; in it: {listed}", ("see: ", Command("quarantine list")))
