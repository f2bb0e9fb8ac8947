"""Great Expectations at work: every expectation of a suite evaluated in SQL on one DuckDB table.

Of an expectation about rows GX gives counts, a few examples, and the query that finds the rows which break it. Index
lists are never asked for: GX cuts them at 20 in SQL.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.expectations.contract.suite import UNIQUE, UNIQUE_TOGETHER, Expectation
from treadle.tasks.dataset.schema import quote
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    from pydantic import JsonValue

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """GX's result for one expectation.

    `by_rows` is whether rows can be held responsible. `evaluated` counts the values (or rows) that were looked at,
    nulls left out where the expectation leaves them out; `broken` those that fail, None where there is nothing to
    count. `query` selects the `_ordinal` of the rows that fail; empty where none does or none is to blame. `result`
    is GX's own.
    """

    success: bool
    by_rows: bool
    evaluated: int
    broken: int | None
    query: str
    result: dict[str, JsonValue]


def evaluate_suite(
    con: duckdb.DuckDBPyConnection, table: str, expectations: Sequence[Expectation], where: str
) -> list[ExpectationResult]:
    """Evaluate `expectations` on `table`, which has their columns and `_ordinal`; verdicts in the same order.

    Raises ConfigError where GX does not know an expectation, refuses its arguments or fails in evaluating it: what
    cannot be evaluated has not passed.
    """
    if not expectations:
        return []
    named, shown = f"{table}_named", f"{table}_shown"
    names = [row[0] for row in con.execute(f"DESCRIBE {quote(table)}").fetchall()]
    renamed = ", ".join(f"{quote(name)} AS {quote(_spell(name))}" for name in names)
    con.execute(f"CREATE OR REPLACE VIEW {quote(named)} AS SELECT {renamed} FROM {quote(table)}")
    # Expectations about the table must not see _ordinal, which the file does not have.
    con.execute(f"CREATE OR REPLACE VIEW {quote(shown)} AS SELECT * EXCLUDE (_ordinal) FROM {quote(named)}")
    asked = [_respell(expectation) for expectation in expectations]
    verdicts: dict[int, ExpectationResult] = {}
    with _quiet():
        items = [_configure(expectation, number, where) for number, expectation in enumerate(asked)]
        for view, rows in ((named, True), (shown, False)):
            chosen = [item for item in items if _blames_rows(item) == rows]
            if chosen:
                verdicts |= _run(con, view, chosen, asked, where, rows=rows)
    return [verdicts[number] for number in range(len(expectations))]


def _spell(name: str) -> str:
    """A column's name for GX, whose own row conditions go wrong on a double quote."""
    return name.replace('"', "''")


def _respell(expectation: Expectation) -> Expectation:
    arguments = dict(expectation.arguments)
    for key in ("column", "column_A", "column_B", "column_list"):
        if isinstance(value := arguments.get(key), str):
            arguments[key] = _spell(value)
        elif isinstance(value, list):
            arguments[key] = [_spell(item) if isinstance(item, str) else item for item in value]
    return expectation.model_copy(update={"arguments": arguments})


def _configure(expectation: Expectation, number: int, where: str) -> Any:
    """The GX object; numbered in its meta, because GX gives results in an order of its own."""
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        return ExpectationConfiguration(
            type=expectation.type, kwargs=dict(expectation.arguments), meta={"number": number}
        ).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError, AttributeError) as error:
        raise _cannot(expectation, where, str(error)) from error


def _blames_rows(item: Any) -> bool:
    """Whether rows can be held responsible: a map expectation that every value must pass."""
    from great_expectations.expectations import expectation as gx

    maps = (gx.ColumnMapExpectation, gx.ColumnPairMapExpectation, gx.MulticolumnMapExpectation)
    return isinstance(item, maps) and float(item.mostly) >= 1


def _run(
    con: duckdb.DuckDBPyConnection,
    table: str,
    chosen: Sequence[Any],
    expectations: Sequence[Expectation],
    where: str,
    *,
    rows: bool,
) -> dict[int, ExpectationResult]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    from treadle.expectations.duckdb import serving

    result_format: dict[str, object] = {"result_format": "BASIC", "partial_unexpected_count": EXAMPLES}
    if rows:
        result_format |= {"return_unexpected_index_query": True, "unexpected_index_column_names": ["_ordinal"]}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    with serving(con) as url:
        source = context.data_sources.add_sql("duckdb", connection_string=url, create_temp_table=False)
        asset = source.add_table_asset("batch", table_name=table)
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        suite = gx.ExpectationSuite(name="contract", expectations=list(chosen))
        results = batch.validate(suite, result_format=result_format).results
        engine = source.get_execution_engine()
        verdicts = {}
        for result in results:
            number = result.expectation_config.meta["number"]
            expectation = expectations[number]
            if reason := _exception(result.exception_info):
                raise _cannot(expectation, where, reason)
            query = ""
            if rows and result.result.get("unexpected_count"):
                query = _query(expectation, result.result, table, _domain(engine, batch.id, expectation))
            verdicts[number] = _verdict(result, rows, query)
    return verdicts


def _verdict(result: Any, rows: bool, query: str) -> ExpectationResult:
    found = result.to_json_dict()["result"]
    found.pop("unexpected_index_query", None)
    found.pop("unexpected_index_column_names", None)
    missing = found.get("missing_count") or 0
    return ExpectationResult(
        success=bool(result.success),
        by_rows=rows and (bool(result.success) or bool(query)),
        evaluated=int(found.get("element_count", 0)) - int(missing),
        broken=found.get("unexpected_count"),
        query=query,
        result=found,
    )


def _query(expectation: Expectation, result: dict[str, Any], table: str, domain: str) -> str:
    """SQL for the `_ordinal` of the rows that break `expectation`.

    GX's own query where it is right; it is not for compound uniqueness (ambiguous columns), nor where there is a
    `row_condition`, which it forgets: uniqueness is asked for within the condition, all else is cut down to it.
    """
    if expectation.type in (UNIQUE, UNIQUE_TOGETHER):
        names = [quote(name) for name in expectation.columns]
        given = " AND ".join(f"{name} IS NOT NULL" for name in names)
        return (
            f"SELECT _ordinal FROM (SELECT _ordinal, count(*) OVER (PARTITION BY {', '.join(names)}) AS alike "
            f"FROM ({domain or f'SELECT * FROM {quote(table)}'}) WHERE {given}) WHERE alike > 1"
        )
    query = str(result.get("unexpected_index_query", "")).rstrip().rstrip(";")
    if not query:
        return ""
    inside = f" WHERE _ordinal IN (SELECT _ordinal FROM ({domain}))" if domain else ""
    return f"SELECT DISTINCT _ordinal FROM ({query}){inside}"


def _domain(engine: Any, batch_id: str, expectation: Expectation) -> str:
    """SQL for the rows that meet an expectation's `row_condition`; empty where it has none."""
    import sqlalchemy as sa

    if not expectation.arguments.get("row_condition"):
        return ""
    keys = ("row_condition", "condition_parser")
    records = engine.get_domain_records({"batch_id": batch_id, **{key: expectation.arguments.get(key) for key in keys}})
    inner = records.subquery() if hasattr(records, "subquery") else records
    return str(sa.select(sa.text("*")).select_from(inner).compile(engine.engine))


def _exception(info: Any) -> str:
    """The reason why an expectation could not be evaluated; empty where it could."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message", "")).strip() or "it failed"
    return ""


def _cannot(expectation: Expectation, where: str, reason: str) -> ConfigError:
    about = f" about {', '.join(repr(name) for name in expectation.columns)}" if expectation.columns else ""
    line = " ".join(reason.split())[:200]
    return ConfigError(
        f"suite {where!r}: {expectation.type}{about} cannot be evaluated: {line}",
        "correct this expectation in the suite file, or remove it",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """GX warns about its own dependencies and logs what it also returns; neither is for our users."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(before)
