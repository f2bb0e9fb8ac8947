"""A file of late labels against the same contract: the key, the label and, where one is named, the time.

Types, and what the suite expects of the target, hold for late labels as for those that come in their rows. The usual
expectations are looked up in plain SQL, because labels may come every few minutes and GX takes seconds to import; any
other goes to GX. Every label stands for itself: what cannot be used goes to quarantine, what can is taken, and only a
file without a usable one is refused whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.expectations.contract import engine, rules, staging
from treadle.expectations.contract.staging import FATE, Fate, Rule, StagedBatch
from treadle.expectations.contract.suite import NOT_NULL, TYPE, UNIQUE
from treadle.expectations.contract.validation import KEY, absent
from treadle.tasks.dataset.schema import Column, Schema, literal, quote
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb
    import pyarrow as pa
    from pydantic import JsonValue

    from treadle.expectations.contract.suite import Expectation, Suite
    from treadle.tasks.dataset.schema import RawTable

IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
OBSERVED = "observed_at"
MOMENTS = ("date", "timestamp")


@dataclass(frozen=True, slots=True)
class LabelValidation:
    """A validated file of labels, its rows as streams for as long as the DuckDB connection lives.

    labels_in = accepted + quarantined + empty (rows without a label, which say nothing). `refused` is why the whole
    file was refused, empty where it was not; then all its rows count as quarantined.

    `columns` are those of the key and the target. `fresh` is SQL for the accepted labels: `columns` typed,
    `observed_at` (UTC, null where the config names no such column) and `_ordinal`.
    """

    labels_in: int
    staged: StagedBatch
    columns: tuple[str, ...]
    accepted: int = 0
    quarantined: int = 0
    empty: int = 0
    refused: str = ""
    warnings: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    fresh: str = ""

    def accepted_reader(self, arrived: datetime) -> pa.RecordBatchReader:
        """The accepted labels: `columns`, `observed_at`, `_batch_id`, `_ordinal`, `_ingested_at`.

        Raises DataError for a file that was refused.
        """
        import pyarrow as pa

        if self.refused:
            raise DataError(f"the labels were refused: {self.refused}")
        moment = pa.timestamp("us", tz="UTC")
        kinds = {OBSERVED: moment, "_batch_id": pa.string(), "_ordinal": pa.int64(), "_ingested_at": moment}
        typed = Schema(columns=tuple(self.staged.schema.column(name) for name in self.columns)).arrow()
        query = (
            f"SELECT {', '.join(quote(name) for name in self.columns)}, {OBSERVED}, "
            f"{literal(self.staged.raw.batch_id)} AS _batch_id, _ordinal, {staging.moment(arrived)} AS _ingested_at "
            f"FROM ({self.fresh}) ORDER BY _ordinal"
        )
        return staging.stream(
            self.staged.con, query, pa.schema([*typed, *(pa.field(name, kind) for name, kind in kinds.items())])
        )

    def quarantine_reader(self, label: str, arrived: datetime) -> pa.RecordBatchReader:
        """Refused rows as they came (`quarantine_schema()`); `label` is the file's name."""
        return staging.quarantined(self.staged, self.rules, label, arrived, self.refused)


def validate_labels(
    con: duckdb.DuckDBPyConnection,
    raw: RawTable,
    suite: Suite,
    *,
    key: Sequence[str],
    target: str,
    observed_at: str,
    timezone: str,
    missing: Sequence[str],
) -> LabelValidation:
    """Take a file of labels through the contract; nothing is written outside `con`'s own database.

    `observed_at` names the column that says when a label was observed; empty where none does.

    Raises DataError where the suite does not know a column, or knows `observed_at` as something else than a time.
    """
    columns = (*key, target)
    schema = _schema(suite, columns, observed_at)
    labels_in = StagedBatch(con, raw, schema).count(f"SELECT count(*) FROM {quote(raw.view)}")
    others = [name for name in raw.names if name not in schema.names]
    warnings = (f"more than labels was left out: {rules.about(tuple(others))}",) if others else ()
    if reason := absent(raw, schema.names, schema.names) or ("" if labels_in else "it has no rows"):
        empty = staging.empty(con, raw, schema)
        return LabelValidation(labels_in, empty, columns, quarantined=labels_in, refused=reason, warnings=warnings)
    staged = staging.stage_batch(con, raw, schema, missing, timezone)
    void = _void(staged, target)
    recorded, sentences = _check(staged, suite, key, target, observed_at, void)
    quarantined = staging.settle_rows(staged, recorded)
    empty_rows = staged.count(f"SELECT count(*) FROM ({void})")
    con.execute(f"UPDATE {quote(staged.typed)} SET {FATE} = {Fate.DUPLICATE} WHERE _ordinal IN ({void})")
    accepted = labels_in - quarantined - empty_rows
    refused = "" if accepted else "; ".join(("no label in it can be used", *(sentences or ("all are missing",))))
    names = ", ".join(quote(name) for name in columns)
    return LabelValidation(
        labels_in=labels_in,
        staged=staged,
        columns=columns,
        accepted=accepted,
        quarantined=quarantined if accepted else labels_in,
        empty=empty_rows if accepted else 0,
        refused=refused,
        warnings=(*sentences, *warnings),
        rules=tuple(recorded),
        fresh=f"SELECT {names}, {_moment(schema, observed_at, timezone)} AS {OBSERVED}, _ordinal "
        f"FROM {quote(staged.typed)} WHERE {FATE} = {Fate.ACCEPTED}",
    )


def _schema(suite: Suite, columns: Sequence[str], observed_at: str) -> Schema:
    """What is read of the file: the key, the target and the time, typed as the suite has them."""
    typed = [suite.schema.column(name) for name in columns]
    if observed_at and observed_at not in columns:
        in_suite = observed_at in suite.schema.names
        typed.append(suite.schema.column(observed_at) if in_suite else Column(name=observed_at, kind="timestamp"))
    schema = Schema(columns=tuple(typed))
    if observed_at and schema.column(observed_at).kind not in MOMENTS:
        raise DataError(
            f"labels.observed_at: column {observed_at!r} holds {schema.column(observed_at).kind}",
            f"allowed here: {', '.join(MOMENTS)}",
        )
    return schema


def _moment(schema: Schema, observed_at: str, timezone: str) -> str:
    if not observed_at:
        return "CAST(NULL AS TIMESTAMPTZ)"
    if schema.column(observed_at).kind == "date":  # a day begins at midnight where the rows are from
        return f"(CAST({quote(observed_at)} AS TIMESTAMP) AT TIME ZONE {literal(timezone or 'UTC')})"
    return quote(observed_at)


def _void(staged: StagedBatch, target: str) -> str:
    """SQL for the rows without a label."""
    return (
        f"SELECT _ordinal FROM {quote(staged.typed)} WHERE {quote(target)} IS NULL "
        f"EXCEPT {staging.untyped(staged, target)}"
    )


def _check(
    staged: StagedBatch, suite: Suite, key: Sequence[str], target: str, observed_at: str, void: str
) -> tuple[list[Rule], tuple[str, ...]]:
    """Record which rows break which rule, except `void` rows; returns the rules, and a sentence for each broken one."""
    recorded: list[Rule] = []
    sentences: list[str] = []

    def blame(rule: Rule, query: str, finding: str) -> None:
        recorded.append(rule)
        broken = staging.record(staged, len(recorded) - 1, rule, f"{query} EXCEPT ({void})")
        if broken:
            sentences.append(f"{broken:,} of {rows:,} labels {finding}")

    rows = staged.count(f"SELECT count(*) FROM {quote(staged.typed)}")
    blame(Rule(KEY, tuple(key), True, "never missing in a key"), staging.keyless(staged, key), "lack a key value")
    for column in staged.schema.columns:
        wanted = rules.KINDS[column.kind] + (f" written {column.format}" if column.format else "")
        rule = Rule(TYPE, (column.name,), True, wanted)
        blame(
            rule, staging.untyped(staged, column.name), f"have a value in column {column.name!r} that is not {wanted}"
        )
    if observed_at and observed_at not in key:
        rule = Rule("observed", (observed_at,), True, "never missing")
        blame(rule, staging.keyless(staged, [observed_at]), f"do not say when they were observed ({observed_at!r})")
    for item in suite.expectations:
        if item.columns == (target,) and item.severity == "critical" and item.mostly >= 1:
            rule = Rule(item.type, item.columns, True, rules.contract(item, suite.schema))
            query = _broken(staged, suite, item, target)
            if query:
                blame(rule, query, f"are no {target!r} of the contract ({rule.contract})")
    return recorded, tuple(sentences)


def _broken(staged: StagedBatch, suite: Suite, item: Expectation, target: str) -> str:
    """SQL for the rows whose label breaks `item`; empty where it says nothing about a single label."""
    arguments = item.arguments
    if item.type in (TYPE, NOT_NULL, UNIQUE) or arguments.get("row_condition"):
        return ""  # checked already, or about rows that have more than a label
    wrong = _wrong(item, quote(target), suite.schema.column(target).kind)
    if wrong:
        return f"SELECT _ordinal FROM {quote(staged.typed)} WHERE {quote(target)} IS NOT NULL AND {wrong}"
    (verdict,) = engine.evaluate_suite(staged.con, staged.checked, [item], suite.name)
    return verdict.query if verdict.by_rows else ""


def _wrong(item: Expectation, value: str, kind: str) -> str:
    """The SQL condition for a value that breaks a set or a range; empty for what is left to GX."""
    arguments = item.arguments
    if item.type == IN_SET and isinstance(listed := arguments.get("value_set"), list):
        allowed = [_literal(one, kind) for one in listed]
        return f"{value} NOT IN ({', '.join(allowed)})" if allowed and all(allowed) else ""
    if item.type == BETWEEN and kind in ("integer", "number"):
        low, high = arguments.get("min_value"), arguments.get("max_value")
        under, over = ("<=" if arguments.get("strict_min") else "<"), (">=" if arguments.get("strict_max") else ">")
        ends = [(low, under), (high, over)]
        tests = [f"{value} {sign} {_literal(end, kind)}" for end, sign in ends if end is not None]
        numbers = all(_literal(end, kind) for end, _ in ends if end is not None)
        return f"({' OR '.join(tests)})" if tests and numbers else ""
    return ""


def _literal(value: JsonValue, kind: str) -> str:
    """A value of the suite in SQL; empty where it is not of the column's kind."""
    if isinstance(value, bool):
        return str(value).lower() if kind == "boolean" else ""
    if isinstance(value, int | float):
        return repr(value) if kind in ("integer", "number") else ""
    return literal(value) if isinstance(value, str) and kind == "text" else ""
