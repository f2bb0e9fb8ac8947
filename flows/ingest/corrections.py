"""Batches that correct: their rows take the place of earlier versions for training, of labelled rows too.

The ledger keeps what was declared. The rows of such a batch say it too (`_corrects`), so that a version of the table
trains the same rows for ever, whatever is declared later. After a kill in between, the next run marks the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def declare(place: Workplace, batches: Sequence[str]) -> None:
    """Note of batches of rows, by their ids, that they correct, before anything of them is written.

    Raises UsageError for a pipeline without a key.
    """
    if not place.config.data.key:
        raise UsageError(
            "a correction finds the rows that it corrects by data.key, which names no column", "set data.key"
        )
    for batch_id in batches:
        place.stores.ledger.declare_correction(place.config.name, batch_id)


@retried_task("mark corrections")
def mark_corrections(home: str, pipeline: str) -> tuple[str, ...]:
    """Mark the rows of batches that were declared to correct, and return the files' names; see `mark_declared`."""
    place = open_workplace(home, pipeline)
    names = {batch.batch_id: batch.label for batch in place.stores.ledger.batches(pipeline)}
    return tuple(names.get(batch_id, batch_id) for batch_id in mark_declared(place))


def mark_declared(place: Workplace) -> list[str]:
    """Mark the rows of declared batches, and of what was released of them; the batches that were not marked before."""
    stores = place.stores
    declared = stores.ledger.corrections(place.config.name)
    if not declared:
        return []
    # a released batch is called like the one that it was released from, with -r1 and so on
    batches = {one for one in stores.tables.batches("rows") if one in declared or one.partition("-r")[0] in declared}
    new = sorted(batches - stores.tables.correcting())
    for batch_id in new:
        stores.tables.mark_correcting(batch_id)
    return new
