"""How later batches look beside the rows that a model was fitted on: values that are missing, categories it never saw.

Shares and nothing else: whether a difference is more than chance, and worth an alarm, is for drift statistics to say,
which compare the same batches with the same reference.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks import features

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from tasks.features import FeatureSpec


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


class Change(BaseModel):
    """How far a column's share moved from the reference in the newest batches; `what` is `missing` or `unseen`."""

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
    coded = {feature.source for feature in spec.features if feature.kind == "code"}
    for part in rows:
        total += part.num_rows
        there = [name for name in sources if name in part.schema.names]
        for name in sources:
            missing[name] += part[name].null_count if name in there else part.num_rows
        known = [feature for feature in spec.features if feature.source in there]
        unseen.update(features.unseen(spec.model_copy(update={"features": tuple(known)}), part))
    over = total or 1
    return total, tuple(
        ColumnShares(column=name, missing=missing[name] / over, unseen=unseen[name] / over if name in coded else None)
        for name in sources
    )


def changes(reference: Sequence[ColumnShares], batches: Sequence[BatchShares], newest: int = 1) -> tuple[Change, ...]:
    """By how much each column's shares differ from the reference in the `newest` batches, the most changed first."""
    last = batches[-newest:]
    rows = sum(batch.rows for batch in last) or 1
    found = []
    for before in reference:
        for what in ("missing", "unseen"):
            then = getattr(before, what)
            if then is None or not last:
                continue
            now = sum(share * batch.rows for batch in last for share in [_of(batch, before.column, what)]) / rows
            found.append(Change(column=before.column, what=what, reference=then, newest=now))
    return tuple(sorted(found, key=lambda one: (-abs(one.newest - one.reference), one.column, one.what)))


def course(batches: Sequence[BatchShares], column: str, what: str) -> list[float]:
    """One share of one column, batch by batch."""
    return [_of(batch, column, what) for batch in batches]


def _of(batch: BatchShares, column: str, what: str) -> float:
    by_name: Mapping[str, ColumnShares] = {one.column: one for one in batch.columns}
    return float(getattr(by_name[column], what) or 0.0)
