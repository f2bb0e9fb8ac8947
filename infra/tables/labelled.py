"""Which rows have a label that counts, at a version of the tables: what trains, how many there are, what is left out.

A data version says which rows and labels there are. Which predictions there were is not part of it, so only those are
looked at that were made until the newest of its rows and labels arrived. A row whose label is among these is never
scored again, so the same data version gives the same rows whenever it is read. The exception: a prediction that began
before the label arrived and was committed after the first reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from treadle.infra.tables import truth
from treadle.infra.tables.scratch import connect
from treadle.tasks.dataset import literal, quote

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from treadle.infra.tables.pipeline import Tables

SCORED = {"_batch_id", "_ordinal", "purpose", "_scored_at"}


@dataclass(frozen=True, slots=True)
class Maturity:
    """How old a row must be for its label to count.

    Its age runs from its value of `time`, if that column holds dates or timestamps, else from its arrival, to the
    newest arrival of the data version. A date is its midnight in `timezone` (empty: UTC).
    """

    after: timedelta = timedelta(0)
    time: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class NotTrained:
    """What a data version holds besides the rows that train.

    `young` rows have a label and are younger than `mature_after`; `versions` are other versions of labelled rows;
    `orphans` are keys with a label and no row yet.
    """

    young: int = 0
    versions: int = 0
    orphans: int = 0


@dataclass(frozen=True, slots=True)
class DataVersion:
    """Versions of `rows` and `labels` (None: the newest; -1: no table yet) and the roles of columns."""

    target: str
    key: tuple[str, ...]
    rows: int | None = None
    labels: int | None = None
    maturity: Maturity = Maturity()


def training_rows(tables: Tables, asked: DataVersion) -> pa.Table:
    """The rows with a label that counts, with our own columns, in order of arrival: one for each key.

    Which version of a row it is: `truth.labelled_rows`. Without a key every labelled row counts.
    """
    columns = tables.columns("rows", asked.rows)
    with connect(tables.scratch) as con:
        relation = _labelled(tables, asked, con)
        if not relation:
            return columns.empty_table()
        query = f"SELECT * FROM {relation} WHERE NOT _young ORDER BY _ingested_at, _batch_id, _ordinal"
        found = con.sql(query).to_arrow_table()
    names = [name for name in columns.names if name != truth.CORRECTS]
    return found.select([*names, *([] if asked.target in names else [asked.target])])


def count_labelled(tables: Tables, asked: DataVersion) -> int:
    """How many rows `training_rows` has."""
    with connect(tables.scratch) as con:
        relation = _labelled(tables, asked, con)
        return int(con.sql(f"SELECT count(*) FROM {relation} WHERE NOT _young").fetchall()[0][0]) if relation else 0


def not_trained(tables: Tables, asked: DataVersion) -> NotTrained:
    """What of the data version is not in `training_rows`, although it has to do with a label."""
    with connect(tables.scratch) as con:
        relation = _labelled(tables, asked, con)
        if not relation:
            return NotTrained()
        ((young,),) = con.sql(f"SELECT count(*) FROM {relation} WHERE _young").fetchall()
        if not asked.key:
            return NotTrained(young=young)
        names = ", ".join(quote(name) for name in asked.key)
        labels = tables.truth(asked.target, asked.key, rows_version=asked.rows, labels_version=asked.labels)
        came = tables.relation("rows", version=asked.rows)
        query = (
            f"WITH known AS (SELECT {names} FROM {labels}), came AS (SELECT {names} FROM {came}) "
            f"SELECT (SELECT count(*) FROM came SEMI JOIN known USING ({names})) - "
            f"(SELECT count(*) FROM known SEMI JOIN came USING ({names})), "
            f"(SELECT count(*) FROM known ANTI JOIN came USING ({names}))"
        )
        ((versions, orphans),) = con.sql(query).fetchall()
    return NotTrained(young=young, versions=versions, orphans=orphans)


def newest_data(
    tables: Tables, con: DuckDBPyConnection, rows: int | None = None, labels: int | None = None
) -> datetime | None:
    """When the newest row or label of a data version arrived; None before the first."""
    named = {"rows": rows, "labels": labels}
    parts = [tables.relation(name, version=version) for name, version in named.items() if version != -1]
    queries = [f"SELECT max(_ingested_at) AS newest FROM {part}" for part in parts]
    if not queries:
        return None
    ((newest,),) = con.sql(f"SELECT max(newest) FROM ({' UNION ALL '.join(queries)})").fetchall()
    return newest  # type: ignore[no-any-return]


def age_begins(tables: Tables, maturity: Maturity, row: str, version: int | None = None) -> str:
    """SQL for the instant from which the age of `row` (a table's alias) runs: its time, else its arrival."""
    import pyarrow as pa

    columns = tables.columns("rows", version)
    arrived, time = f"{row}._ingested_at", f"{row}.{quote(maturity.time)}"
    kind = columns.field(maturity.time).type if maturity.time in columns.names else None
    if kind is not None and pa.types.is_timestamp(kind):
        return f"coalesce({time}, {arrived})"
    if kind is not None and pa.types.is_date(kind):
        zone = literal(maturity.timezone or "UTC")
        return f"coalesce(timezone({zone}, CAST({time} AS TIMESTAMP)), {arrived})"
    return arrived


def is_young(tables: Tables, maturity: Maturity, row: str, newest: datetime | None, version: int | None = None) -> str:
    """SQL for whether `row` is younger than `maturity` allows at the `newest` arrival."""
    if not maturity.after or newest is None:
        return "false"
    limit = _instant(newest - maturity.after)
    return f"({age_begins(tables, maturity, row, version)} > {limit})"


def _labelled(tables: Tables, asked: DataVersion, con: DuckDBPyConnection) -> str:
    """SQL to stand after FROM: a data version's labelled rows, and whether each is too `_young`; empty for none."""
    columns = tables.columns("rows", asked.rows)
    rows, labels = tables.label_sources(asked.target, asked.rows, asked.labels)
    if asked.rows == -1 or not (rows or (labels and asked.key)) or not set(columns.names).issuperset(asked.key):
        return ""
    relation, newest = tables.relation("rows", version=asked.rows), newest_data(tables, con, asked.rows, asked.labels)
    if asked.key:
        scored = _scored(tables, newest) if labels else ""
        relation = truth.labelled_rows(relation, rows, labels, columns.names, asked.target, asked.key, scored=scored)
    young = is_young(tables, asked.maturity, "one", newest, asked.rows)
    return f"(SELECT one.*, {young} AS _young FROM {relation} AS one WHERE one.{quote(asked.target)} IS NOT NULL)"


def _scored(tables: Tables, newest: datetime | None) -> str:
    """SQL for the row versions that a champion had scored when the newest data arrived; empty where none was."""
    if newest is None or not set(tables.columns("predictions").names) >= SCORED:
        return ""
    return (
        f"(SELECT _batch_id, _ordinal, min(_scored_at) AS _first_scored FROM {tables.relation('predictions')} "
        f"WHERE purpose <> 'shadow' AND _scored_at <= {_instant(newest)} GROUP BY _batch_id, _ordinal)"
    )


def _instant(moment: datetime) -> str:
    return f"CAST({literal(moment.isoformat())} AS TIMESTAMPTZ)"
