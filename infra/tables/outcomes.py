"""What became of predictions: every prediction beside the label that its row has by now, and the groups of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from treadle.infra.tables.labelled import Maturity, age_begins, is_young, newest_data
from treadle.infra.tables.scratch import connect
from treadle.infra.tables.truth import CORRECTS
from treadle.tasks.dataset import literal, quote
from treadle.tasks.performance import MONDAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from treadle.infra.tables.pipeline import Tables

By = Literal["_version", "_batch", "_window"]

MOMENT = "_moment"
"""The column of a prediction's row's time, local wall clock."""

WEIGHT = "_weight"
"""The column of a prediction's row's weight; null where it has none."""

GROUP = "_group"
"""The column of a prediction's row's group, as text; null where it has none."""

WINDOW = "_window"
"""The column of the first day of a prediction's window."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that one model version predicted: all of them, those of a batch, or those of a window.

    `window` is the window's first day. Of the `rows`, `labelled` have a label that counts and `young` are too young for
    one. `repeated` predictions are of a row that counts by another prediction of the same version: a batch has them
    among its rows, all others leave them out.
    """

    version: int
    rows: int
    labelled: int
    young: int = 0
    batch_id: str | None = None
    window: date | None = None
    repeated: int = 0


def relation(
    tables: Tables,
    target: str,
    key: Sequence[str],
    *,
    time: str = "",
    timezone: str = "",
    mature_after: timedelta = timedelta(0),
    newest: datetime | None = None,
    weight: str = "",
    group: str = "",
) -> str:
    """SQL to stand after FROM: one row for each prediction by a model that was champion, with its row's label.

    The columns of `predictions`, then `_moment` (local wall clock in `timezone`, else UTC): the row's value of
    `time`, a date or timestamp; without one, when the row arrived; and `_label`: the newest label of the row's key,
    or without a key the row's own; null where there is none yet, or where the row is `_young`: by less than
    `mature_after` older than the `newest` data. `_age` are the days from the row to the newest data, `_delay` those
    from the row to the moment at which its late label was observed (null without one), `_weight` is the row's value of
    `weight` and `_group` that of `group` as text (null where it has none).

    `_counts` is true for one prediction of each row by each version: see `_first_prediction`.
    """
    maturity = Maturity(mature_after, time, timezone)
    moment = f"r.{quote(time)}" if time else "r._ingested_at"
    local = f"CASE WHEN {moment} IS NOT NULL THEN {_local(tables, time, moment, timezone)} END"
    known = f"CAST({literal(newest.isoformat())} AS TIMESTAMPTZ)" if newest else "NULL::TIMESTAMPTZ"
    instant = age_begins(tables, maturity, "r")
    if key and set(key) <= set(tables.columns("predictions").names):
        label, observed = f"t.{quote(target)}", "CASE WHEN NOT t.own THEN t.observed END"
        same = " AND ".join(f"p.{quote(name)} = t.{quote(name)}" for name in key)
        truth = f"LEFT JOIN {tables.last_words(target, key)} t ON {same}"
    else:
        own = not key and target in tables.columns("rows").names
        label, observed, truth = (f"r.{quote(target)}" if own else "NULL"), "NULL::TIMESTAMPTZ", ""
    young = is_young(tables, maturity, "r", newest)
    came = tables.relation("rows")
    if not key:
        nth = "row_number() OVER (PARTITION BY _batch_id, _row_hash ORDER BY _ordinal) AS _nth"
        came = f"(SELECT *, {nth} FROM {came})"
    there = tables.columns("rows").names
    weighed = f"r.{quote(weight)}" if weight and weight in there else "NULL"
    grouped = f"CAST(r.{quote(group)} AS VARCHAR)" if group and group in there else "NULL::VARCHAR"
    return (
        f"(SELECT p.*, {local} AS _moment, {young} AS _young, CASE WHEN NOT {young} THEN {label} END AS _label, "
        f"{_days(instant, known)} AS _age, {_days(instant, observed)} AS _delay, "
        f"TRY_CAST({weighed} AS DOUBLE) AS _weight, {grouped} AS _group, {_first_prediction(tables, key)} AS _counts "
        f"FROM {tables.relation('predictions')} p "
        f"LEFT JOIN {came} r ON p._batch_id = r._batch_id AND p._ordinal = r._ordinal {truth} "
        "WHERE p.purpose <> 'shadow')"
    )


def _first_prediction(tables: Tables, key: Sequence[str]) -> str:
    """SQL for whether a prediction is the one by which its row counts for its version.

    Rows are the same if their key is, whatever else they hold, because there is one outcome for a key. Without a key
    they are the same if their content is; equal rows of one batch are different rows. The prediction that was made
    first counts: it was there while it could still change something, and no later one changes what was measured. The
    exception: where a batch was declared to correct, its row takes the place of the versions before it, as it does in
    training (`truth.labelled_rows`).
    """
    names, rows = set(tables.columns("predictions").names), tables.columns("rows").names
    same = ", ".join(f"p.{quote(name)}" for name in key) if set(key) <= names else "p._batch_id, p._ordinal"
    if not key:
        same = "coalesce(r._row_hash, concat_ws(' ', p._batch_id, p._ordinal)), r._nth"
    corrects = f"coalesce(r.{CORRECTS}, false)" if CORRECTS in rows else "false"
    scored = "p._scored_at, " if "_scored_at" in names else ""
    return (
        f"row_number() OVER (PARTITION BY p.model_version, {same} ORDER BY {corrects} DESC, "
        f"CASE WHEN {corrects} THEN r._ingested_at END DESC, {scored}r._ingested_at, p._batch_id, p._ordinal) = 1"
    )


def _days(since: str, until: str) -> str:
    return f"(epoch({until}) - epoch({since})) / 86400"


def _local(tables: Tables, time: str, moment: str, timezone: str) -> str:
    """A moment as wall clock: dates at midnight."""
    import pyarrow as pa

    kind = tables.columns("rows").field(time).type if time else pa.timestamp("us", "UTC")
    if pa.types.is_timestamp(kind):
        return f"timezone({literal(timezone or 'UTC')}, {moment})"
    return f"CAST({moment} AS TIMESTAMP)"


class Outcomes:
    """The outcomes of one moment, kept in a scratch database with the columns that are asked for, and no other."""

    def __init__(self, con: DuckDBPyConnection) -> None:
        self._con = con

    def groups(self, by: By) -> list[Group]:
        """Groups by version, or within each version by batch or by window, in order of time.

        By version or window a row counts once; a batch has all of its own.
        """
        column = {"_version": "NULL", "_batch": "_batch_id", "_window": "_window"}[by]
        where = "WHERE _window IS NOT NULL" if by == "_window" else ""
        of = "true" if by == "_batch" else "_counts"
        found = self._con.sql(
            f"SELECT model_version, {column} AS part, count_if({of}), count(_label) FILTER ({of}), "
            f"count_if(_young AND {of}), count_if(NOT _counts) FROM outcomes {where} "
            f"GROUP BY ALL HAVING count_if({of}) > 0 ORDER BY model_version, min(_moment), part"
        ).fetchall()
        return [
            Group(
                version=version,
                rows=rows,
                labelled=labelled,
                young=young,
                batch_id=part if by == "_batch" else None,
                window=part if by == "_window" else None,
                repeated=repeated,
            )
            for version, part, rows, labelled, young, repeated in found
        ]

    def recent(self, version: int, days: int, *, settled_days: float = 0.0) -> Group:
        """The rows that a version predicted in the `days` days that end with its newest labelled one, each once.

        Only rows that are `settled_days` old or older, from their time to the newest data.
        """
        where = self._recently(version, days, settled_days)
        counted = f"SELECT count(*), count(_label), count_if(_young) FROM outcomes WHERE {where}"
        ((rows, labelled, young),) = self._con.sql(counted).fetchall()
        return Group(version=version, rows=rows, labelled=labelled, young=young)

    def read(
        self, group: Group, columns: Sequence[str], *, recent_days: int | None = None, settled_days: float = 0.0
    ) -> pa.Table:
        """The labelled predictions of a group: `_label` and the prediction `columns`."""
        where = [f"model_version = {group.version}", "_label IS NOT NULL"]
        where.append("_counts" if group.batch_id is None else f"_batch_id = {literal(group.batch_id)}")
        if group.window is not None:
            where.append(f"_window = DATE {literal(group.window.isoformat())}")
        if recent_days is not None:
            where.append(self._recently(group.version, recent_days, settled_days))
        listed = ", ".join(quote(name) for name in columns)
        return self._con.sql(f"SELECT _label, {listed} FROM outcomes WHERE {' AND '.join(where)}").to_arrow_table()

    def read_since(
        self, version: int, since: datetime, columns: Sequence[str], *, settled_days: float = 0.0
    ) -> pa.Table:
        """The labelled rows that a version predicted first at `since` or later, each once: `_label` and `columns`.

        Only rows that have a time and are `settled_days` old or older; in order of time.
        """
        listed = ", ".join(quote(name) for name in columns)
        old = f"AND _age >= {settled_days!r}" if settled_days else ""
        return self._con.sql(
            f"SELECT _label, {listed} FROM outcomes WHERE model_version = {version} AND _counts AND _label IS NOT NULL "
            f"AND _window IS NOT NULL {old} AND coalesce(_scored_at >= CAST({literal(since.isoformat())} AS "
            "TIMESTAMPTZ), true) ORDER BY _moment"
        ).to_arrow_table()

    def delays(self) -> tuple[np.ndarray, np.ndarray]:
        """Of every predicted row the days from it to the newest data, and to its late label (NaN: none yet)."""
        import numpy as np

        once = "SELECT any_value(_age) AS _age, any_value(_delay) AS _delay FROM outcomes WHERE _counts"
        found = self._con.sql(f"{once} AND _age IS NOT NULL GROUP BY _batch_id, _ordinal").fetchnumpy()
        masked: list[np.ma.MaskedArray] = [np.ma.asarray(found[name], dtype=float) for name in ("_age", "_delay")]
        return masked[0].filled(np.nan), masked[1].filled(np.nan)

    def _recently(self, version: int, days: int, settled_days: float) -> str:
        mine = f"model_version = {version} AND _counts"
        if settled_days:
            mine += f" AND _age >= {settled_days!r}"
        newest = f"(SELECT max(_moment) FROM outcomes WHERE {mine} AND _label IS NOT NULL)"
        return f"{mine} AND _moment <= {newest} AND _moment > {newest} - INTERVAL {days} DAY"


@contextmanager
def open_outcomes(
    tables: Tables,
    target: str,
    key: Sequence[str],
    *,
    time: str = "",
    timezone: str = "",
    window_days: int = 7,
    mature_after: timedelta = timedelta(0),
    weight: str = "",
    group: str = "",
) -> Iterator[Outcomes]:
    """Join once, in bounded memory, and answer for the block.

    Of the tables only the key, the time, label and prediction columns are read.
    """
    names = tables.columns("predictions").names
    own = ("prediction", "lower", "upper", "probability")
    shown = [name for name in names if name in own or name.startswith("probability_")]
    listed = "".join(f", {quote(name)}" for name in shown)
    since = f"DATE {literal(MONDAY.isoformat())}"
    past = f"floor(date_diff('day', {since}, CAST(_moment AS DATE)) / {window_days})"
    with connect(tables.scratch) as con:
        joined = relation(
            tables,
            target,
            key,
            time=time,
            timezone=timezone,
            mature_after=mature_after,
            newest=newest_data(tables, con),
            weight=weight,
            group=group,
        )
        scored = "_scored_at" if "_scored_at" in names else "NULL::TIMESTAMPTZ AS _scored_at"
        con.execute(
            "CREATE TABLE outcomes AS SELECT model_version, _batch_id, _ordinal, _counts, _moment, _label, _young, "
            f"_age, _delay, _weight, _group, {scored}{listed}, "
            f"{since} + {window_days} * CAST({past} AS INTEGER) AS _window "
            f"FROM {joined} ORDER BY model_version, _moment"
        )
        yield Outcomes(con)
