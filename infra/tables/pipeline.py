"""The four tables of a pipeline, and the questions that flows ask them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra.tables.delta import Delta
from infra.tables.scratch import connect
from tasks.dataset import quarantine_schema, quote
from tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

AT_ONCE = 50_000  # rows of a batch that we hand out
PARTITIONS = {"predictions": ("_batch_id", "purpose", "model_digest")}


class Tables:
    """`rows`, `labels`, `quarantine` and `predictions` under one root; none of them need exist."""

    def __init__(self, root: str, scratch: Path) -> None:
        """`root` is the pipeline's folder, `scratch` one that may be thrown away.

        Raises UsageError for a root that is not a folder.
        """
        if "://" in root:
            raise UsageError(
                f"tables cannot stand in {root.partition('://')[0]}:// yet",
                "let TREADLE_STORAGE_URL name a folder",
            )
        self.root = Path(root)
        self.scratch = scratch

    @property
    def refused_folder(self) -> Path:
        """Where files that could not be read are copied to."""
        return self.root / "refused"

    def version(self, name: str) -> int:
        """The newest version's number of the table `name`; -1 while there is none."""
        return self._delta(name).version()

    def overwrite_batch(self, name: str, batch_id: str, reader: pa.RecordBatchReader) -> int:
        """Put a batch's rows in the place of what the table has of that batch; return their number.

        One atomic commit, however often it is repeated; see `Delta.overwrite` for what it raises.
        """
        return self.overwrite(name, {"_batch_id": batch_id}, reader)

    def overwrite(self, name: str, where: dict[str, str], reader: pa.RecordBatchReader) -> int:
        """The same for the rows with the values `where`, for example of one batch, purpose and model."""
        return self._delta(name).overwrite(where, reader)

    def relation(self, name: str, *, version: int | None = None, batches: Sequence[str] | None = None) -> str:
        """SQL to stand after FROM: a version's rows (newest unless given), of all batches or of those named.

        Columns that a batch did not bring are null; without a table there are no rows, only the columns of
        ours.
        """
        return self._delta(name).relation(version, None if batches is None else {"_batch_id": batches})

    def quarantine_file(self, batch_id: str, label: str, sha256: str, message: str) -> None:
        """Note that a whole file could not be read: one quarantine row with scope `file`."""
        import pyarrow as pa

        row = {
            "_batch_id": batch_id,
            "file": label,
            "scope": "file",
            "_ordinal": None,
            "rules": ["readable"],
            "columns": [],
            "values": [],
            "reason": message,
            "row": json.dumps({"file": label, "sha256": sha256}, ensure_ascii=False),
            "quarantined_at": datetime.now(UTC),
        }
        schema = quarantine_schema()
        batch = pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names}], schema=schema)
        self.overwrite_batch("quarantine", batch_id, pa.RecordBatchReader.from_batches(schema, [batch]))

    def unlabelled(self, target: str) -> dict[str, int]:
        """How many rows of each batch have no `target`, oldest batch first; those with none are left out."""
        rows = self._delta("rows")
        missing = f"{quote(target)} IS NULL" if target in rows.columns().names else "true"
        query = (
            f"SELECT _batch_id, count(*) FROM {rows.relation()} WHERE {missing} "
            "GROUP BY _batch_id ORDER BY min(_ingested_at), _batch_id"
        )
        with connect(self.scratch) as con:
            return {str(batch_id): int(count) for batch_id, count in con.sql(query).fetchall()}

    def scored(self, digest: str | None) -> set[str]:
        """Batches with predictions by the model `digest`, or (None) by any that was champion at its time."""
        return {
            part["_batch_id"]
            for part in self._delta("predictions").partitions()
            if part["purpose"] != "shadow" and digest in (None, part["model_digest"])
        }

    def predictions_reader(self, batch_id: str, purpose: str, digest: str) -> pa.RecordBatchReader:
        """One set of predictions as a stream, in the order of the batch's rows."""
        import pyarrow as pa

        where = {"_batch_id": [batch_id], "purpose": [purpose], "model_digest": [digest]}
        delta = self._delta("predictions")

        def batches() -> Iterator[pa.RecordBatch]:
            with connect(self.scratch) as con:
                yield from con.sql(f"SELECT * FROM {delta.relation(None, where)} ORDER BY _ordinal").to_arrow_reader(
                    AT_ONCE
                )

        return pa.RecordBatchReader.from_batches(delta.columns(), batches())

    def training(self, version: int, target: str, key: Sequence[str]) -> pa.Table:
        """The labelled rows of a version of `rows`, with our own columns, in order of arrival.

        Of rows with the same key only the newest labelled one counts (by `_ingested_at`, then batch and
        place): that is how a corrected file corrects, while a later file without labels takes none away.
        Without a key every labelled row counts.
        """
        delta = self._delta("rows")
        rows, labelled = delta.relation(version), f"{quote(target)} IS NOT NULL"
        if target not in delta.columns(version).names:
            return delta.columns(version).empty_table()
        newest = ""
        if key:
            newest = (
                f"SEMI JOIN (SELECT _batch_id, _ordinal FROM {rows} WHERE {labelled} "
                f"QUALIFY row_number() OVER (PARTITION BY {', '.join(quote(name) for name in key)} "
                "ORDER BY _ingested_at DESC, _batch_id DESC, _ordinal DESC) = 1) USING (_batch_id, _ordinal) "
            )
        query = f"SELECT * FROM {rows} {newest}WHERE {labelled} ORDER BY _ingested_at, _batch_id, _ordinal"
        with connect(self.scratch) as con:
            return con.sql(query).to_arrow_table()

    def _delta(self, name: str) -> Delta:
        return Delta(self.root / name, self.scratch, _known(name), PARTITIONS.get(name, ("_batch_id",)))


def _known(name: str) -> pa.Schema:
    """The columns that we give a table ourselves, whatever the pipeline."""
    import pyarrow as pa

    if name == "quarantine":
        return quarantine_schema()
    identity = {"_batch_id": pa.string(), "_ordinal": pa.int64()}
    arrived = {"_ingested_at": pa.timestamp("us", tz="UTC"), "_row_hash": pa.string()}
    lineage = {
        "purpose": pa.string(),
        "model_version": pa.int64(),
        "model_digest": pa.string(),
        "data_version": pa.string(),
        "_run_id": pa.string(),
        "_scored_at": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema({**identity, **(lineage if name == "predictions" else arrived)})
