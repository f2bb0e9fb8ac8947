"""`treadle quarantine list` and `show`: refused batches and rows, the rules that they broke, and what to do."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context.workplace import open_workplace
from treadle.flows.project.quarantine.batches import HeldBatch, choose_batch, held_batches
from treadle.tasks.commands import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import BatchRecord, LabelRecord
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

RULES_NAMED = 3
COMPARED = 200_000
"""Batches with more rows than this are not searched for rows that were sent again."""


class BrokenRule(BaseModel):
    """A rule that rows of a batch broke: what it requires in words, how many rows broke it, and one of the values.

    `words` are empty for rows that an earlier version refused, which did not store them.
    """

    model_config = ConfigDict(frozen=True)

    rule: str
    columns: str
    words: str
    rows: int
    example: str | None


class OpenBatch(BaseModel):
    """A batch in quarantine without a decision to drop it.

    `again`: how many of its rows were accepted in a later batch (same key); None where that is unknown.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    file: str
    kind: str
    scope: str
    rows: int
    reason: str
    rules: tuple[BrokenRule, ...]
    at: datetime
    again: int | None
    advice: str


class PastDecision(BaseModel):
    """A past decision: who did what with how many rows, when and why."""

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
    """Open batches, oldest first, and past decisions."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    batches: tuple[OpenBatch, ...]
    decisions: tuple[PastDecision, ...]

    def exit_code(self) -> int:
        """Always 0: something in quarantine is no failure."""
        return 0


class Row(BaseModel):
    """A refused row: its index in the file (from 0), the rules that it broke, and the original row (JSON).

    `rules`, `columns`, `values` and `words` (what the rule requires; empty in rows of an earlier version) are parallel.
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
    """Rows of one batch in quarantine in the file's order; those that broke a rule themselves come first."""

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
        """Always 0: an unknown batch raises."""
        return 0


def run_list(settings: Settings, config: PipelineConfig) -> ListResult:
    """List the open batches and the past decisions."""
    from treadle.infra.tables import connect

    place = open_workplace(str(settings.home), config.name)
    with connect(settings.state / "duckdb") as con:
        batches = [_open(place, con, held) for held in held_batches(place, con) if not held.dropped]
    decisions = place.stores.ledger.decisions(config.name)
    return ListResult(
        pipeline=config.name,
        batches=tuple(batches),
        decisions=tuple(PastDecision.model_validate(one, from_attributes=True) for one in decisions if not one.pending),
    )


def run_show(settings: Settings, config: PipelineConfig, batch: str, limit: int) -> ShowResult:
    """The first `limit` rows of a batch, with every rule that they broke.

    Raises UsageError where the quarantine has no such batch.
    """
    from treadle.infra.tables import connect

    place = open_workplace(str(settings.home), config.name)
    with connect(settings.state / "duckdb") as con:
        held = choose_batch(held_batches(place, con), batch)
        relation = place.stores.tables.relation("quarantine", batches=[held.batch_id])
        rows = con.sql(
            f"SELECT _ordinal, rules, columns, values, required, reason, row FROM {relation} "
            f"ORDER BY len(rules) = 0, _ordinal LIMIT {limit}"
        ).fetchall()
        again, reason = rows_sent_again(place, con, held), _reason(place, con, held)
    dropped = held.dropped
    return ShowResult(
        pipeline=config.name,
        batch_id=held.batch_id,
        file=held.file,
        scope=held.scope,
        reason=reason,
        total=held.rows,
        rows=tuple(_row(*row) for row in rows),
        settled=f"dropped by {dropped.who} on {dropped.at:%Y-%m-%d %H:%M}: {dropped.reason}" if dropped else "",
        advice="" if dropped else advice(place, held, again),
    )


def _row(
    ordinal: int | None,
    rules: list[str],
    columns: list[str],
    values: list[str | None],
    required: list[str] | None,
    reason: str,
    row: str | None,
) -> Row:
    words = [""] * len(rules) if required is None else required
    return Row(ordinal=ordinal, rules=rules, columns=columns, values=values, words=words, reason=reason, row=row)


def _open(place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch) -> OpenBatch:
    again = rows_sent_again(place, con, held)
    rules = _rules(place, con, held)
    return OpenBatch(
        batch_id=held.batch_id,
        file=held.file,
        kind="labels" if held.labels else "rows",
        scope=held.scope,
        rows=held.rows,
        reason=_reason(place, con, held),
        rules=rules,
        at=held.at,
        again=again,
        advice=advice(place, held, again),
    )


def _rules(place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch) -> tuple[BrokenRule, ...]:
    """The `RULES_NAMED` rules that most rows broke."""
    if held.scope == "file":
        return ()
    relation = place.stores.tables.relation("quarantine", batches=[held.batch_id])
    rules = con.sql(
        "SELECT rules[nth] AS rule, columns[nth] AS about, count(*) AS broken, "
        "arg_min((required[nth], values[nth]), _ordinal) AS first "
        f"FROM (SELECT *, unnest(range(1, len(rules) + 1)) AS nth FROM {relation}) "
        f"GROUP BY ALL ORDER BY broken DESC, rule, about LIMIT {RULES_NAMED}"
    ).fetchall()
    return tuple(
        BrokenRule(rule=rule, columns=columns, words=required or "", rows=rows, example=value)
        for rule, columns, rows, (required, value) in rules
    )


def _reason(place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch) -> str:
    """Why a batch was refused whole, or could not be read; empty where single rows broke a rule."""
    if held.scope == "row":
        return ""
    ledger, pipeline = place.stores.ledger, place.config.name
    records = ledger.label_batches(pipeline) if held.labels else ledger.batches(pipeline)
    recorded = next((record.reason for record in records if record.batch_id == held.batch_id), "")
    relation = place.stores.tables.relation("quarantine", batches=[held.batch_id])
    rows = con.sql(f"SELECT reason FROM {relation} ORDER BY len(rules), _ordinal LIMIT 1").fetchall()
    return recorded or str(rows[0][0])


def rows_sent_again(place: Workplace, con: duckdb.DuckDBPyConnection, held: HeldBatch) -> int | None:
    """How many rows of a batch were accepted later under the same key; None without a key or above `COMPARED` rows."""
    from treadle.expectations.contract import reopen
    from treadle.tasks.dataset import Schema, quote
    from treadle.tasks.dataset.typing import typed_relation

    tables, data = place.stores.tables, place.config.data
    name = "labels" if held.labels else "rows"
    if not data.key or held.scope == "file" or not 0 < held.rows <= COMPARED:
        return None
    raw = reopen(con, tables.relation("quarantine", batches=[held.batch_id]), held.batch_id)
    schema = place.suite().schema
    if not set(data.key) <= set(raw.names) or not set(data.key) <= set(tables.columns(name).names):
        return None
    keys = Schema(columns=tuple(schema.column(column) for column in data.key))
    listed = ", ".join(quote(column) for column in data.key)
    later = f"SELECT {listed} FROM {tables.relation(name)} WHERE _ingested_at > $at"
    query = f"SELECT count(*) FROM ({typed_relation(raw, keys, data.missing, data.timezone)}) SEMI JOIN ({later})"
    return int(con.execute(f"{query} USING ({listed})", {"at": held.at}).fetchall()[0][0])


def advice(place: Workplace, held: HeldBatch, again: int | None) -> str:
    """What a person can do about a batch, in one line."""
    name = place.config.name
    drop = Command(f"quarantine drop {held.batch_id} --reason '...'").line(name)
    release = Command(f"quarantine release {held.batch_id}").line(name)
    if held.interrupted:
        return f"a release was interrupted; complete it: {release}"
    if _replaced(place, held) or (again and again == held.rows):
        return f"it seems to have been sent again and accepted; if so: {drop}"
    if again:
        return f"{again:,} of its rows were accepted in a later file; check the others, then: {drop}"
    if held.scope == "file":
        return f"have the file sent again, ingest it, then: {drop}"
    return f"ingest a corrected file, then: {drop}; or if they are right, fix expectations/{name}.json, then: {release}"


def _replaced(place: Workplace, held: HeldBatch) -> bool:
    """Whether all rows of a later file of the same name were accepted."""
    ledger, pipeline = place.stores.ledger, place.config.name
    records: Sequence[BatchRecord | LabelRecord] = (
        ledger.label_batches(pipeline) if held.labels else ledger.batches(pipeline)
    )
    return any(
        later.label == held.file and later.at > held.at and later.status == "accepted" and not later.quarantined
        for later in records
    )
