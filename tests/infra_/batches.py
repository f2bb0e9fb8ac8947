"""Small batches of orders, written to tables and read back, for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from treadle.infra.tables import connect

if TYPE_CHECKING:
    from treadle.infra.tables import Tables

NOON = datetime(2013, 9, 1, 12, tzinfo=UTC)


def rows(batch: str, keys: list[int], *, label: int | None = 1, minute: int = 0, **columns: pa.Array) -> pa.Table:
    count = len(keys)
    return pa.table(
        {
            "Order No": pa.array(keys, pa.int64()),
            "y": pa.array([label] * count, pa.int64()),
            **columns,
            "_batch_id": pa.array([batch] * count, pa.string()),
            "_ordinal": pa.array(range(count), pa.int64()),
            "_ingested_at": pa.array([NOON + timedelta(minutes=minute)] * count, pa.timestamp("us", tz="UTC")),
            "_row_hash": pa.array([f"{batch}{key}" for key in keys], pa.string()),
        }
    )


def predictions(batch: str, purpose: str, digest: str, values: list[float]) -> pa.RecordBatchReader:
    count = len(values)
    return pa.table(
        {
            "prediction": pa.array(values, pa.float64()),
            "_batch_id": [batch] * count,
            "_ordinal": pa.array(range(count), pa.int64()),
            "purpose": [purpose] * count,
            "model_digest": [digest] * count,
        }
    ).to_reader()


def put(tables: Tables, batch: str, keys: list[int], **more: object) -> int:
    return tables.overwrite_batch("rows", batch, rows(batch, keys, **more).to_reader())


def ask(tables: Tables, query: str) -> list[tuple[object, ...]]:
    with connect(tables.scratch) as con:
        return con.sql(query).fetchall()


def keys_of(tables: Tables, version: int | None = None) -> list[tuple[object, ...]]:
    return ask(tables, f'SELECT _batch_id, "Order No" FROM {tables.relation("rows", version=version)} ORDER BY ALL')
