"""How later batches look beside the rows that a model was fitted on: missing values, unseen categories.

Shares and nothing else: whether a difference is more than chance, and worth an alarm, is for drift statistics to say,
which compare the same batches with the same reference.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks import features

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from treadle.tasks.features import FeatureSpec


class Freshness(BaseModel):
    """How old data and champion are.

    `newest_row` is the newest value of the time column (empty without one), `newest_batch` when a batch was accepted
    last, `newest_label` when a label arrived last (in a row, or late). `champion_made` is when the champion was
    registered, `champion_since` when it was promoted; `trained_until` the last time value that it has learned from,
    `days_unseen` how many days of data came after it.
    """

    model_config = ConfigDict(frozen=True)

    newest_row: str
    newest_batch: datetime | None
    batch_age_days: float | None
    newest_label: datetime | None
    champion_made: datetime
    champion_since: datetime
    champion_age_days: float
    trained_until: str
    days_unseen: float | None


class ColumnShares(BaseModel):
    """One column: the share of rows without a value, and (categories only, else None) of those that are unseen."""

    model_config = ConfigDict(frozen=True)

    column: str
    missing: float
    unseen: float | None


class BatchShares(BaseModel):
    """The columns that a model reads, in one batch."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    label: str
    rows: int
    columns: tuple[ColumnShares, ...]


class ShareChange(BaseModel):
    """How far a column's share changed from the reference in the newest batch; `what` is `missing` or `unseen`."""

    model_config = ConfigDict(frozen=True)

    column: str
    what: str
    reference: float
    newest: float


def shares(spec: FeatureSpec, rows: Iterable[pa.Table | pa.RecordBatch]) -> tuple[int, tuple[ColumnShares, ...]]:
    """Rows and shares of a stream of typed rows, which is read once; a column that is not there is missing in all.

    A category counts as unseen where the model has no code for it, rare ones of its training included.
    """
    total = 0
    missing: Counter[str] = Counter()
    unseen: Counter[str] = Counter()
    sources = tuple(dict.fromkeys(spec.sources))
    coded = spec.levelled
    for part in rows:
        total += part.num_rows
        there = {name for name in sources if name in part.schema.names}
        for name in sources:
            missing[name] += part[name].null_count if name in there else part.num_rows
        present = [feature for feature in spec.features if there.issuperset(feature.sources)]
        unseen.update(features.unseen(spec.model_copy(update={"features": tuple(present)}), part))
    over = total or 1
    return total, tuple(
        ColumnShares(column=name, missing=missing[name] / over, unseen=unseen[name] / over if name in coded else None)
        for name in sources
    )


def changes(reference: Sequence[ColumnShares], batches: Sequence[BatchShares]) -> tuple[ShareChange, ...]:
    """Each column's shares in the reference and in the newest batch, the most changed first; none without batches."""
    if not batches:
        return ()
    found = []
    for before in reference:
        found.append(ShareChange(column=before.column, what="missing", reference=before.missing, newest=0.0))
        if before.unseen is not None:
            found.append(ShareChange(column=before.column, what="unseen", reference=before.unseen, newest=0.0))
    found = [one.model_copy(update={"newest": course(batches[-1:], one.column, one.what)[0]}) for one in found]
    return tuple(sorted(found, key=lambda one: (-abs(one.newest - one.reference), one.column, one.what)))


def course(batches: Sequence[BatchShares], column: str, what: str) -> list[float]:
    """One share of one column, `missing` or `unseen`, batch by batch."""
    shares_of = [{one.column: one for one in batch.columns}[column] for batch in batches]
    return [one.missing if what == "missing" else one.unseen or 0.0 for one in shares_of]
