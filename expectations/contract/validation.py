"""One batch against its contract: what is accepted, what is refused and why.

Rules about rows (an expectation that every value must pass, the type, the key) send rows to quarantine; rules about
the batch (aggregates, `mostly` below 1, columns that are missing, too many bad rows) refuse all of it. Severity
`critical` refuses; `warning` and `info` only report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.expectations.contract import engine, rules, staging
from treadle.expectations.contract.report import RuleOutcome, ValidationReport
from treadle.expectations.contract.staging import Rule, StagedBatch
from treadle.expectations.contract.suite import NOT_NULL, TYPE, UNIQUE, UNIQUE_TOGETHER
from treadle.tasks.dataset.schema import nearest, quote
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from treadle.expectations.contract.engine import ExpectationResult
    from treadle.expectations.contract.suite import Expectation, Suite
    from treadle.tasks.dataset.schema import RawTable

KEY = "key"
ROW_REASONS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Validation:
    """A validated batch: the report, and its rows as streams for as long as the DuckDB connection lives."""

    report: ValidationReport
    staged: StagedBatch
    rules: tuple[Rule, ...]

    @property
    def accepted(self) -> int:
        """How many rows were accepted."""
        return self.report.accepted

    @property
    def refused(self) -> str:
        """Why the whole batch was refused; empty where it was not."""
        return self.report.refused

    def accepted_reader(self, arrived: datetime) -> pa.RecordBatchReader:
        """Accepted rows: schema columns typed, `_batch_id`, `_ordinal`, `_ingested_at`, `_row_hash`.

        Raises DataError for a batch that was refused.
        """
        if self.report.refused:
            raise DataError(f"the batch was refused: {self.report.refused}")
        return staging.accepted(self.staged, arrived)

    def quarantine_reader(self, label: str, arrived: datetime) -> pa.RecordBatchReader:
        """Refused rows as they came (`quarantine_schema()`); `label` is the file's name."""
        return staging.quarantined(self.staged, self.rules, label, arrived, self.report.refused)


@dataclass(frozen=True, slots=True)
class Findings:
    """The outcomes of all checks of a batch, before it is accepted or refused."""

    outcomes: tuple[RuleOutcome, ...]
    rules: tuple[Rule, ...]


def validate(
    con: duckdb.DuckDBPyConnection,
    raw: RawTable,
    suite: Suite,
    *,
    key: Sequence[str],
    target: str,
    timezone: str,
    missing: Sequence[str],
    max_bad_rows: float,
    rows_only: bool = False,
) -> Validation:
    """Take a batch through its contract; nothing is written outside `con`'s own database.

    `max_bad_rows` is the share of rows in quarantine above which the whole batch is refused. With `rows_only` these
    are some rows of a batch, so that what the contract says of batches as a whole is not asked of them.

    Raises DataError where the suite cannot be evaluated or does not know a key column; a batch that is refused is a
    result.
    """
    for name in key:
        suite.schema.column(name)
    warnings = _extra(raw, suite)
    rows_in = staging.StagedBatch(con, raw, suite.schema).count(f"SELECT count(*) FROM {quote(raw.view)}")
    blank = ValidationReport(suite.name, suite.digest, rows_in, 0, rows_in, 0, 0, 0, "", warnings, ())
    needed = [name for name in suite.schema.names if name != target]
    if reason := absent(raw, needed, suite.schema.names) or ("" if rows_in else "it has no rows"):
        return Validation(replace(blank, refused=reason), staging.empty(con, raw, suite.schema), ())
    staged = staging.stage_batch(con, raw, suite.schema, missing, timezone)
    duplicates, found = _check(staged, suite, key, target)
    quarantined = staging.settle_rows(staged, found.rules)
    empty = [name for name, held in staging.count_present(staged).items() if not held and name != target]
    warnings += tuple(f"column {name!r} has no value at all: nothing of it was checked" for name in empty)
    report = replace(blank, outcomes=found.outcomes, warnings=warnings)
    whole = "" if rows_only else _refusal(staged, suite, found, target, quarantined, max_bad_rows)
    if reason := whole:
        return Validation(replace(report, refused=reason), staged, found.rules)
    accepted = f"FROM {quote(staged.typed)} WHERE {staging.FATE} = {staging.Fate.ACCEPTED}"
    held = rows_in - duplicates - quarantined
    equal = 0 if key else held - staged.count(f"SELECT count(DISTINCT _row_hash) {accepted}")
    has_target = target in suite.schema.names
    report = replace(
        report,
        accepted=held,
        quarantined=quarantined,
        duplicates=duplicates,
        equal_rows=equal,
        labelled=staged.count(f"SELECT count({quote(target)}) {accepted}") if has_target else 0,
        warnings=(*(outcome.sentence for outcome in found.outcomes if not outcome.passed), *warnings),
    )
    return Validation(report, staged, found.rules)


def rows_with_warnings(
    con: duckdb.DuckDBPyConnection,
    raw: RawTable,
    suite: Suite,
    *,
    target: str,
    timezone: str,
    missing: Sequence[str],
    needed: Sequence[str],
) -> pa.RecordBatchReader:
    """Every row in order, typed, with `_warning`: the rules about rows that it breaks, NULL where none.

    For a person's question: nothing is refused, what cannot be typed is missing, rules about the batch and the target
    are not asked. Columns that are neither in the file nor `needed` are NULL.

    Raises DataError where one of the `needed` columns is not in the file.
    """
    if reason := absent(raw, needed, suite.schema.names):
        raise DataError(reason, "send a file with all the columns that the model needs")
    staged = staging.stage_batch(con, raw, suite.schema, missing, timezone)
    asked = [item for item in _applicable(staged, suite, ()) if target not in item.columns]
    recorded: list[Rule] = []
    _untyped(staged, suite, recorded)
    if staged.count(f"SELECT count(*) FROM {quote(raw.view)}"):
        verdicts = engine.evaluate_suite(con, staged.checked, asked, suite.name)
        for item, verdict in zip(asked, verdicts, strict=True):
            if verdict.query:
                _blame(staged, suite, recorded, item, verdict)
    return staging.answered(staged, recorded)


def _extra(raw: RawTable, suite: Suite) -> tuple[str, ...]:
    unknown = [name for name in raw.names if name not in suite.schema.names]
    return tuple(f"column {name!r} is not in the contract and was left out" for name in unknown)


def absent(raw: RawTable, needed: Sequence[str], expected: Sequence[str]) -> str:
    """Why a file without some of the columns it needs is refused; empty where all are there.

    A column that is not `expected` may be one of them under another name.
    """
    others = [name for name in raw.names if name not in expected]
    sentences = []
    for name in needed:
        if name not in raw.names:
            close = nearest(name, others)
            sentences.append(f"column {name!r} is missing" + (f" (it has {close!r}: renamed?)" if close else ""))
    return "; ".join(sentences)


def _check(staged: StagedBatch, suite: Suite, key: Sequence[str], target: str) -> tuple[int, Findings]:
    """Mark duplicates, which no other check sees; then check types and key, and evaluate the suite with GX."""
    recorded: list[Rule] = []
    outcomes: list[RuleOutcome] = []
    duplicates = 0
    if key:
        duplicates, conflicts = staging.identify(staged, key)
        outcomes += _key_outcomes(staged, tuple(key), conflicts, recorded)
    outcomes += _untyped(staged, suite, recorded)
    asked = _applicable(staged, suite, key)
    if target in suite.schema.names and not staging.count_present(staged)[target]:
        asked = [item for item in asked if target not in item.columns]
    for item, verdict in zip(asked, engine.evaluate_suite(staged.con, staged.checked, asked, suite.name), strict=True):
        if verdict.query:
            outcomes.append(_blame(staged, suite, recorded, item, verdict))
            continue
        outcomes.append(
            RuleOutcome(
                rule=item.type,
                columns=item.columns,
                severity=item.severity,
                level="row" if verdict.by_rows else "batch",
                passed=verdict.success,
                evaluated=verdict.evaluated,
                broken=verdict.broken or 0,
                sentence="" if verdict.success else rules.batch_sentence(item, suite.schema, verdict),
                result=verdict.result,
            )
        )
    return duplicates, Findings(tuple(outcomes), tuple(recorded))


def _applicable(staged: StagedBatch, suite: Suite, key: Sequence[str]) -> list[Expectation]:
    """What GX is asked: not the types (typing is our own work), nor the key's uniqueness (identity is), nor columns
    that the file does not have."""
    asked = []
    for item in suite.expectations:
        own_key = item.type in (UNIQUE, UNIQUE_TOGETHER) and set(item.columns) == set(key)
        if item.type != TYPE and not own_key and all(name in staged.raw.names for name in item.columns):
            asked.append(item)
    return asked


def _untyped(staged: StagedBatch, suite: Suite, recorded: list[Rule]) -> list[RuleOutcome]:
    """The types: one outcome for each column of the file; with `mostly` below 1 it is about the batch."""
    outcomes = []
    held, bad = staging.count_present(staged), staging.untypable(staged)
    for item in suite.expectations:
        if item.type != TYPE or item.columns[0] not in staged.raw.names:
            continue
        by_rows = item.mostly >= 1
        broken = bad[item.columns[0]]
        evaluated = held[item.columns[0]] + broken
        if broken:
            critical = by_rows and item.severity == "critical"
            recorded.append(Rule(TYPE, item.columns, critical, rules.contract(item, suite.schema)))
            staging.record(staged, len(recorded) - 1, recorded[-1], staging.untyped(staged, item.columns[0]))
        outcomes.append(
            RuleOutcome(
                rule=TYPE,
                columns=item.columns,
                severity=item.severity,
                level="row" if by_rows else "batch",
                passed=broken <= (1 - item.mostly) * evaluated,
                evaluated=evaluated,
                broken=broken,
                sentence=rules.row_sentence(item, suite.schema, broken, evaluated) if broken else "",
                result={},
            )
        )
    return outcomes


def _key_outcomes(staged: StagedBatch, key: tuple[str, ...], conflicts: str, recorded: list[Rule]) -> list[RuleOutcome]:
    """Rows without a key, and rows that share one and differ otherwise."""
    outcomes = []
    rows = staged.count(f"SELECT count(*) FROM {quote(staged.typed)}")
    for query, contract, what in (
        (staging.keyless(staged, key), "never missing in a key", "without a key"),
        (conflicts, "unique, one row for each key", "share their key with another row that differs"),
    ):
        rule = Rule(KEY, key, True, contract)
        recorded.append(rule)
        broken = staging.record(staged, len(recorded) - 1, rule, query)
        sentence = f"key {', '.join(key)}: {broken:,} of {rows:,} rows {what}" if broken else ""
        outcomes.append(RuleOutcome(KEY, key, "critical", "row", not broken, rows, broken, sentence, {}))
    return outcomes


def _blame(
    staged: StagedBatch, suite: Suite, recorded: list[Rule], item: Expectation, verdict: ExpectationResult
) -> RuleOutcome:
    """Record the rows that break `item`; raises DataError where they are not as many as GX counted.

    A value that cannot be typed is NULL to GX, yet it is there: its row broke the type, not the not-null rule.
    """
    rule = Rule(item.type, item.columns, item.severity == "critical", rules.contract(item, suite.schema))
    recorded.append(rule)
    query, counted = verdict.query, verdict.broken or 0
    if item.type == NOT_NULL:
        untyped = staging.untyped(staged, item.columns[0])
        counted -= staged.count(f"SELECT count(*) FROM ({query} INTERSECT {untyped})")
        query = f"{query} EXCEPT {untyped}"
    broken = staging.record(staged, len(recorded) - 1, rule, query)
    if broken != counted:
        raise DataError(
            f"suite {suite.name!r}: {item.type} about {', '.join(item.columns)}: Great Expectations counts "
            f"{counted} broken rows, its query finds {broken}",
            "write the expectation in another way",
        )
    sentence = rules.row_sentence(item, suite.schema, broken, verdict.evaluated) if broken else ""
    return RuleOutcome(
        item.type, item.columns, item.severity, "row", not broken, verdict.evaluated, broken, sentence, verdict.result
    )


def _refusal(
    staged: StagedBatch, suite: Suite, found: Findings, target: str, quarantined: int, max_bad_rows: float
) -> str:
    """Why the whole batch is refused; empty where it is not."""
    reasons = [
        outcome.sentence
        for outcome in found.outcomes
        if outcome.level == "batch" and outcome.severity == "critical" and not outcome.passed
    ]
    rows = staged.count(f"SELECT count(*) FROM {quote(staged.typed)}")
    held = staging.count_present(staged)
    void = [name for name in suite.required if name != target and not held[name]]
    reasons += [f"column {name!r}: all {rows:,} values are missing (contract: required)" for name in void]
    if not any(outcome.evaluated for outcome in found.outcomes if outcome.rule not in (KEY, NOT_NULL)):
        reasons.append("nothing in it could be checked: every value is missing")
    if quarantined > max_bad_rows * rows:
        broken = [o for o in found.outcomes if o.level == "row" and o.severity == "critical" and not o.passed]
        worst = sorted(broken, key=lambda outcome: -outcome.broken)[:ROW_REASONS_NAMED]
        named = "; ".join(outcome.sentence for outcome in worst)
        reasons.append(
            f"{quarantined:,} of {rows:,} rows break the contract ({quarantined / rows:.1%}, "
            f"max_bad_rows is {max_bad_rows:.1%}): {named}"
        )
    return "; ".join(dict.fromkeys(reasons))
