"""The four tables of a pipeline, and the questions that flows ask them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.infra.tables import labelled
from treadle.infra.tables import truth as truth_
from treadle.infra.tables.delta import Delta
from treadle.infra.tables.labelled import DataVersion, Maturity
from treadle.infra.tables.scratch import connect
from treadle.tasks.dataset import literal, quarantine_schema, quote
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from treadle.infra.tables.upkeep import Spare

ANY_AGE = Maturity()
ROWS_AT_ONCE = 131_072
PARTITIONS = {"predictions": ("_batch_id", "purpose", "model_digest")}


class Tables:
    """`rows`, `labels`, `quarantine` and `predictions` under one root; none of them need exist."""

    def __init__(self, root: str, scratch: Path) -> None:
        """`root` is the pipeline's folder, `scratch` one that may be thrown away.

        Raises UsageError for a root that is not a folder.
        """
        if "://" in root:
            raise UsageError(
                f"tables cannot be in {root.partition('://')[0]}:// yet",
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

    def columns(self, name: str, version: int | None = None) -> pa.Schema:
        """The columns of a version of the table `name` (newest unless given); only ours while there is none (-1)."""
        return _own_columns(name) if version == -1 else self._delta(name).columns(version)

    def overwrite_batch(self, name: str, batch_id: str, reader: pa.RecordBatchReader) -> int:
        """Put a batch's rows in the place of what the table has of that batch; return their number.

        One atomic commit, however often it is repeated; see `Delta.overwrite` for what it raises.
        """
        return self.overwrite(name, {"_batch_id": batch_id}, reader)

    def clear_batch(self, name: str, batch_id: str) -> None:
        """Take away what the table has of a batch, if anything; raises as `overwrite_batch` does."""
        import pyarrow as pa

        if batch_id in self.batches(name):
            self.overwrite_batch(name, batch_id, pa.RecordBatchReader.from_batches(self.columns(name), []))

    def correcting(self) -> set[str]:
        """The batches whose rows are marked as correcting earlier ones."""
        if truth_.CORRECTS not in self.columns("rows").names:
            return set()
        with connect(self.scratch) as con:
            query = f"SELECT DISTINCT _batch_id FROM {self.relation('rows')} WHERE {truth_.CORRECTS}"
            return {batch_id for (batch_id,) in con.sql(query).fetchall()}

    def mark_correcting(self, batch_id: str) -> None:
        """Mark a batch's rows as correcting earlier ones, in one atomic commit; raises as `overwrite_batch` does."""
        names = [name for name in self.columns("rows").names if name != truth_.CORRECTS]
        listed = ", ".join(quote(name) for name in names)
        with connect(self.scratch) as con:
            rows = con.sql(
                f"SELECT {listed}, true AS {truth_.CORRECTS} FROM {self.relation('rows', batches=[batch_id])} "
                "ORDER BY _ordinal"
            )
            self.overwrite_batch("rows", batch_id, rows.to_arrow_reader(ROWS_AT_ONCE))

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
            "required": [],
            "reason": message,
            "row": json.dumps({"file": label, "sha256": sha256}, ensure_ascii=False),
            "types": None,
            "quarantined_at": datetime.now(UTC),
        }
        schema = quarantine_schema()
        batch = pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names}], schema=schema)
        self.overwrite_batch("quarantine", batch_id, pa.RecordBatchReader.from_batches(schema, [batch]))

    def batches(self, name: str) -> set[str]:
        """The batches of which the table `name` has rows."""
        return {part["_batch_id"] for part in self._delta(name).partitions()}

    def spare(self, name: str, keep: Iterable[int], days: int) -> Spare:
        """Files of the table `name` that no needed version has: see `Delta.spare`."""
        return self._delta(name).spare(keep, days)

    def compact(self, name: str, *, dry_run: bool) -> int:
        """Make many small files of the table `name` few: see `Delta.compact`."""
        return self._delta(name).compact(dry_run=dry_run)

    def truth(
        self,
        target: str,
        key: Sequence[str],
        *,
        rows_version: int | None = None,
        labels_version: int | None = None,
    ) -> str:
        """SQL to stand after FROM: the newest label per key (its columns and `target`), over `rows` and `labels`.

        Versions are the newest unless given; -1 stands for a table that was not there yet. See `truth.py`.
        """
        return truth_.newest_labels(*self.label_sources(target, rows_version, labels_version), target, key)

    def last_words(self, target: str, key: Sequence[str]) -> str:
        """SQL to stand after FROM: `truth` of the newest versions, with `own` (it stands in a row) and `observed`."""
        sources = self.label_sources(target, None, None)
        if not any(sources):
            return f"(SELECT *, NULL::BOOLEAN AS own, NULL::TIMESTAMPTZ AS observed FROM {self.truth(target, key)})"
        return f"({truth_.last_words(*sources, target, key)})"

    def without_label(self, target: str, key: Sequence[str], batches: Sequence[str] | None = None) -> str:
        """SQL to stand after FROM: the rows without a `target` of their own for which no late label came either."""
        rows = self._delta("rows")
        missing = f"{quote(target)} IS NULL" if target in rows.columns().names else "true"
        late = ""
        if key and self.version("labels") >= 0:
            late = f"ANTI JOIN {self.relation('labels')} USING ({', '.join(quote(name) for name in key)}) "
        return f"(SELECT * FROM {self.relation('rows', batches=batches)} {late}WHERE {missing})"

    def unlabelled(self, target: str, key: Sequence[str] = ()) -> dict[str, int]:
        """How many rows of each batch have no label at all, oldest batch first; those with none are left out."""
        query = (
            f"SELECT _batch_id, count(*) FROM {self.without_label(target, key)} "
            "GROUP BY _batch_id ORDER BY min(_ingested_at), _batch_id"
        )
        with connect(self.scratch) as con:
            return {str(batch_id): int(count) for batch_id, count in con.sql(query).fetchall()}

    def labels_before(self, batch_id: str, target: str, key: Sequence[str]) -> int:
        """How many rows of a batch have a late label already, which came before them."""
        if not key or target not in self.columns("labels").names:
            return 0
        query = (
            f"SELECT count(*) FROM {self.relation('rows', batches=[batch_id])} SEMI JOIN {self.relation('labels')} "
            f"USING ({', '.join(quote(name) for name in key)})"
        )
        with connect(self.scratch) as con:
            return int(con.sql(query).fetchall()[0][0])

    def label_effects(
        self,
        con: DuckDBPyConnection,
        fresh: str,
        *,
        batch_id: str,
        arrived: datetime,
        target: str,
        key: Sequence[str],
    ) -> dict[str, int]:
        """How many labels of a batch are new, revised, repeated, outdated or for rows that have not come (orphan).

        `fresh` selects them in `con`; see `truth.effect`. What the table has of the batch itself, from
        before a kill, is left out.
        """
        rows, labels = self.label_sources(target, None, None)
        others = f"(SELECT * FROM {labels} WHERE _batch_id <> {literal(batch_id)})" if labels else ""
        existing = truth_.all_labels(rows, others, target, key) if rows or labels else ""
        moment = f"CAST({literal(arrived.isoformat())} AS TIMESTAMPTZ)"
        names = set(self._delta("rows").columns().names)
        came = self.relation("rows") if names.issuperset(key) else f"(SELECT * FROM ({fresh}) WHERE false)"
        query = truth_.effect(fresh, existing, came, target, key, batch_id, moment)
        return {str(effect): int(count) for effect, count in con.sql(query).fetchall()}

    def scored(self, digest: str | None) -> set[str]:
        """Batches with predictions by the model `digest`, or (None) by any that was champion at its time."""
        return {
            part["_batch_id"]
            for part in self._delta("predictions").partitions()
            if part["purpose"] != "shadow" and digest in (None, part["model_digest"])
        }

    def training(
        self,
        rows_version: int,
        target: str,
        key: Sequence[str],
        labels_version: int | None = None,
        maturity: Maturity = ANY_AGE,
    ) -> pa.Table:
        """The rows of a version that have a label which counts: see `labelled.training_rows`."""
        return labelled.training_rows(self, DataVersion(target, tuple(key), rows_version, labels_version, maturity))

    def label_sources(self, target: str, rows_version: int | None, labels_version: int | None) -> tuple[str, str]:
        """SQL to read labels from, of `rows` and of `labels`; each empty where the table has no labels.

        Versions are the newest where None.
        """
        rows = target in self.columns("rows", rows_version).names
        labels = target in self.columns("labels", labels_version).names
        return (
            self.relation("rows", version=rows_version) if rows else "",
            self.relation("labels", version=labels_version) if labels else "",
        )

    def _delta(self, name: str) -> Delta:
        return Delta(self.root / name, self.scratch, _own_columns(name), PARTITIONS.get(name, ("_batch_id",)))


def _own_columns(name: str) -> pa.Schema:
    """The columns that we give a table ourselves, whatever the pipeline."""
    import pyarrow as pa

    if name == "quarantine":
        return quarantine_schema()
    identity = {"_batch_id": pa.string(), "_ordinal": pa.int64()}
    moment = pa.timestamp("us", tz="UTC")
    if name == "labels":
        return pa.schema({**identity, "observed_at": moment, "_ingested_at": moment})
    arrived = {"_ingested_at": moment, "_row_hash": pa.string()}
    lineage = {
        "purpose": pa.string(),
        "model_version": pa.int64(),
        "model_digest": pa.string(),
        "data_version": pa.string(),
        "_run_id": pa.string(),
        "_scored_at": moment,
    }
    return pa.schema({**identity, **(lineage if name == "predictions" else arrived)})
