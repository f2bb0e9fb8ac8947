"""`treadle quarantine list` and `show`: what was refused, by which rules, and what can be done about it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context.workplace import open_workplace
from treadle.flows.project.quarantine.batches import HeldBatch, choose_batch, held_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import BatchRecord, LabelRecord
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

RULES_NAMED = 3
COMPARED = 200_000
"""Batches with more rows than this are not searched for rows that have come again."""


class Broken(BaseModel):
    """A rule that rows of a batch broke: in words, how many, and one of the values."""

    model_config = ConfigDict(frozen=True)

    rule: str
    columns: str
    words: str
    rows: int
    example: str | None


class OpenBatch(BaseModel):
    """A batch in quarantine that nobody has settled.

    `again`: how many of its rows came again in a later batch (same key); None where that cannot be told.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    file: str
    kind: str
    scope: str
    rows: int
    reason: str
    rules: tuple[Broken, ...]
    at: datetime
    again: int | None
    advice: str


class Made(BaseModel):
    """A decision of the past: who did what with how many rows, when and why."""

    model_config = ConfigDict(frozen=True)

    seq: int
    batch_id: str
    action: str
    rows: int
    left: int
    reason: str
    who: str
    at: datetime


class ListResult(BaseModel):
    """Open batches, oldest first, and the decisions of the past."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batches: tuple[OpenBatch, ...]
    decisions: tuple[Made, ...]

    def exit_code(self) -> int:
        """Always 0: something in quarantine is no failure."""
        return 0


class Row(BaseModel):
    """A refused row: its place in the file (from 0), what it broke, and the row as it came (JSON).

    `rules`, `columns`, `values` and `words` (what the rule wants) run in parallel.
    """

    model_config = ConfigDict(frozen=True)

    ordinal: int | None
    rules: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[str | None, ...]
    words: tuple[str, ...]
    reason: str
    row: str | None


class ShowResult(BaseModel):
    """Rows of one batch in quarantine in the file's order, those first that broke a rule themselves."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batch_id: str
    file: str
    scope: str
    reason: str
    total: int
    rows: tuple[Row, ...]
    settled: str
    advice: str

    def exit_code(self) -> int:
        """Always 0: a batch that is not there raises."""
        return 0


def run_list(settings: Settings, config: PipelineConfig) -> ListResult:
    """What waits for a person, and what people have decided before."""
    from treadle.infra.tables import connect

    place = open_workplace(str(settings.home), config.name)
    with connect(settings.state / "duckdb") as con:
        found = [_open(place, con, one) for one in held_batches(place, con) if not one.dropped]
    decisions = place.stores.ledger.decisions(config.name)
    return ListResult(
        pipeline=config.name,
        batches=tuple(found),
        decisions=tuple(Made.model_validate(one, from_attributes=True) for one in decisions if not one.pending),
    )


def run_show(settings: Settings, config: PipelineConfig, batch: str, limit: int) -> ShowResult:
    """The first `limit` rows of a batch, with every rule that they broke.

    Raises UsageError where the quarantine has no such batch.
    """
    from treadle.infra.tables import connect

    place = open_workplace(str(settings.home), config.name)
    with connect(settings.state / "duckdb") as con:
        one = choose_batch(held_batches(place, con), batch)
        relation = place.stores.tables.relation("quarantine", batches=[one.batch_id])
        rows = con.sql(
            f"SELECT _ordinal, rules, columns, values, reason, row FROM {relation} "
            f"ORDER BY len(rules) = 0, _ordinal LIMIT {limit}"
        ).fetchall()
        again, reason = came_again(place, con, one), _reason(place, con, one)
    settled = one.dropped
    return ShowResult(
        pipeline=config.name,
        batch_id=one.batch_id,
        file=one.file,
        scope=one.scope,
        reason=reason,
        total=one.rows,
        rows=tuple(_row(*row) for row in rows),
        settled=f"dropped by {settled.who} on {settled.at:%Y-%m-%d %H:%M}: {settled.reason}" if settled else "",
        advice="" if settled else advice(place, one, again),
    )


def _row(
    ordinal: int | None,
    rules: list[str],
    columns: list[str],
    values: list[str | None],
    reason: str,
    row: str | None,
) -> Row:
    words = [_contract(reason, columns, values, nth) for nth in range(len(columns))]
    return Row(ordinal=ordinal, rules=rules, columns=columns, values=values, words=words, reason=reason, row=row)


def _open(place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch) -> OpenBatch:
    again = came_again(place, con, one)
    rules = _rules(place, con, one)
    return OpenBatch(
        batch_id=one.batch_id,
        file=one.file,
        kind="labels" if one.labels else "rows",
        scope=one.scope,
        rows=one.rows,
        reason=_reason(place, con, one),
        rules=rules,
        at=one.at,
        again=again,
        advice=advice(place, one, again),
    )


def _rules(place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch) -> tuple[Broken, ...]:
    """The rules that most rows broke, in words."""
    if one.scope == "file":
        return ()
    relation = place.stores.tables.relation("quarantine", batches=[one.batch_id])
    found = con.sql(
        "SELECT rules[nth] AS rule, columns[nth] AS about, count(*) AS broken, "
        "arg_min((reason, columns, values, nth), _ordinal) AS first "
        f"FROM (SELECT *, unnest(range(1, len(rules) + 1)) AS nth FROM {relation}) "
        f"GROUP BY ALL ORDER BY broken DESC, rule, about LIMIT {RULES_NAMED}"
    ).fetchall()
    return tuple(
        Broken(
            rule=rule,
            columns=columns,
            words=_contract(reason, names, values, nth - 1),
            rows=rows,
            example=values[nth - 1],
        )
        for rule, columns, rows, (reason, names, values, nth) in found
    )


def _contract(reason: str, columns: list[str], values: list[str | None], nth: int) -> str:
    """What the nth rule of a row wants, out of the sentence that was written for the row: `x is 3 (contract: >= 5)`."""
    heads = [
        f"{name} is {(value or '').strip(' ') or 'missing'} (contract: "
        for name, value in zip(columns, values, strict=True)
    ]
    start = 0
    for head in heads[: nth + 1]:  # one value may break two rules
        found = reason.find(head, start)
        if found < 0:
            return ""
        start = found + len(head)
    end = reason.find(f"); {heads[nth + 1]}", start) if nth + 1 < len(heads) else len(reason) - 1
    return reason[start:end]


def _reason(place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch) -> str:
    """Why a batch was refused whole, or could not be read; empty where rows were refused on their own account."""
    if one.scope == "row":
        return ""
    ledger, pipeline = place.stores.ledger, place.config.name
    records = ledger.label_batches(pipeline) if one.labels else ledger.batches(pipeline)
    noted = next((record.reason for record in records if record.batch_id == one.batch_id), "")
    relation = place.stores.tables.relation("quarantine", batches=[one.batch_id])
    return noted or str(con.sql(f"SELECT reason FROM {relation} ORDER BY length(reason) LIMIT 1").fetchall()[0][0])


def came_again(place: Workplace, con: duckdb.DuckDBPyConnection, one: HeldBatch) -> int | None:
    """How many rows of a batch came again later under the same key; None where that cannot be told cheaply."""
    from treadle.expectations.contract import reopen
    from treadle.tasks.dataset import Schema, quote
    from treadle.tasks.dataset.typing import typed_relation

    tables, data = place.stores.tables, place.config.data
    name = "labels" if one.labels else "rows"
    if not data.key or one.scope == "file" or not 0 < one.rows <= COMPARED:
        return None
    raw = reopen(con, tables.relation("quarantine", batches=[one.batch_id]), one.batch_id)
    schema = place.suite().schema
    if not set(data.key) <= set(raw.names) or not set(data.key) <= set(tables.columns(name).names):
        return None
    keys = Schema(columns=tuple(schema.column(column) for column in data.key))
    listed = ", ".join(quote(column) for column in data.key)
    later = f"SELECT {listed} FROM {tables.relation(name)} WHERE _ingested_at > $at"
    query = f"SELECT count(*) FROM ({typed_relation(raw, keys, data.missing, data.timezone)}) SEMI JOIN ({later})"
    return int(con.execute(f"{query} USING ({listed})", {"at": one.at}).fetchall()[0][0])


def advice(place: Workplace, one: HeldBatch, again: int | None) -> str:
    """What a person may do about a batch, in a line."""
    name = place.config.name
    drop = f"treadle quarantine drop {one.batch_id} --reason '...' -p {name}"
    release = f"treadle quarantine release {one.batch_id} -p {name}"
    if one.interrupted:
        return f"a release was cut off; finish it: {release}"
    if _followed(place, one) or (again and again == one.rows):
        return f"it seems to have come again, and well; if so: {drop}"
    if again:
        return f"{again:,} of its rows have come again since; look at the rest, then: {drop}"
    if one.scope == "file":
        return f"have the file sent again, ingest it, then: {drop}"
    return (
        f"ingest a corrected file, then: {drop}; or if they are right, mend expectations/{name}.json, then: {release}"
    )


def _followed(place: Workplace, one: HeldBatch) -> bool:
    """Whether a later file of the same name was taken in without a flaw."""
    ledger, pipeline = place.stores.ledger, place.config.name
    records: Sequence[BatchRecord | LabelRecord] = (
        ledger.label_batches(pipeline) if one.labels else ledger.batches(pipeline)
    )
    return any(
        later.label == one.file and later.at > one.at and later.status == "accepted" and not later.quarantined
        for later in records
    )
