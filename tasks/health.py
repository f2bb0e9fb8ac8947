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
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from treadle.tasks.features import FeatureSpec


MANY_UNSEEN = 0.05
"""From this share of rows with an unseen level on, and twice that of the training rows, people are warned."""


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


class UnseenLevels(BaseModel):
    """One column of categories in some rows: in how many the model does not know the level.

    `reference` is the share of such rows (of levels too rare to learn) in the model's training rows; None where it was
    not looked up, as no row has one.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    rows: int
    unseen: int
    reference: float | None = None

    def warning(self) -> str:
        """What to know where many levels are unseen, in a sentence; empty where they are few."""
        share = self.unseen / self.rows if self.rows else 0.0
        if share < max(MANY_UNSEEN, 2 * (self.reference or 0.0)):
            return ""
        known = "" if self.reference is None else f", {self.reference:.1%} of its training rows"
        return (
            f"column {self.column!r}: {self.unseen:,} of {self.rows:,} rows ({share:.1%}{known}) have a level that the "
            "model does not know; they are answered by their other columns"
        )


class UnseenCount:
    """Rows with an unseen level, counted for each column of categories while a stream of rows goes by."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec, self.rows = spec, 0
        self._columns = tuple(name for name in dict.fromkeys(spec.sources) if name in spec.levelled)
        self._unseen: Counter[str] = Counter()

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Count typed rows, which have all columns of the model."""
        self.rows += rows.num_rows
        self._unseen.update(features.unseen(self._spec, rows))

    def columns(self) -> dict[str, int]:
        """Rows with an unseen level by column, in the order of the features; also where there are none."""
        return {name: self._unseen[name] for name in self._columns}


def unseen_levels(
    unseen: Mapping[str, int], rows: int, reference: Iterable[ColumnShares] = ()
) -> tuple[UnseenLevels, ...]:
    """The counts of `UnseenCount` over `rows` rows, beside the shares of the training rows."""
    usual = {one.column: one.unseen for one in reference}
    return tuple(
        UnseenLevels(column=name, rows=rows, unseen=count, reference=usual.get(name)) for name, count in unseen.items()
    )


def unseen_in_batch(batch: BatchShares, reference: Iterable[ColumnShares]) -> tuple[UnseenLevels, ...]:
    """The unseen levels of a batch whose shares are known."""
    counts = {one.column: round(one.unseen * batch.rows) for one in batch.columns if one.unseen is not None}
    return unseen_levels(counts, batch.rows, reference)


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
