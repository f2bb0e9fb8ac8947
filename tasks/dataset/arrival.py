"""When rows arrived, as a time to split by where no column dates them (`[data] order = "file"`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def arrivals(rows: pa.Table) -> np.ndarray:
    """The place of each row in the order of arrival, int64 [n], all different.

    It is the moment at which the row's batch arrived, in microseconds since 1970 (UTC), plus the row's position in its
    file. So it belongs to the row: more data leaves it as it is, a late label too. Where a batch arrived before the one
    before it had counted so many microseconds, its rows follow that one's. A corrected row arrived with its correction.
    Rows that no batch brought (no `_ingested_at`) are numbered as they stand.
    """
    import numpy as np
    import pyarrow as pa

    if "_ingested_at" not in rows.column_names:
        return np.arange(len(rows), dtype=np.int64)
    moment = rows["_ingested_at"].combine_chunks().cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
    arrived = np.asarray(moment, dtype=np.int64)
    ordinal, batch = np.arange(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    if {"_batch_id", "_ordinal"} <= set(rows.column_names):
        ordinal = np.asarray(rows["_ordinal"].combine_chunks(), dtype=np.int64)
        batch = np.unique(np.asarray(rows["_batch_id"].to_pylist(), dtype=object), return_inverse=True)[1]
    order = np.lexsort((ordinal, batch, arrived))
    step = np.arange(len(rows), dtype=np.int64)
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.maximum.accumulate((arrived + ordinal)[order] - step) + step
    return place


def arrival_moment(place: int) -> datetime:
    """A value of `arrivals` as a moment."""
    return EPOCH + timedelta(microseconds=place)


def arrival_place(value: object) -> float:
    """The value of `arrivals` that a moment of `arrival_moment` has; numbers stay as they are.

    Raises TypeError for anything else.
    """
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is no moment")
