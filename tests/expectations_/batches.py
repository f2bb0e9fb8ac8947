"""Small batches on their way through a small contract, for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from treadle.expectations.contract import Suite, Validation, parse, validate
from treadle.infra import sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

ARRIVED = datetime(2013, 9, 1, tzinfo=UTC)
MISSING = ("", "NA")
HEADER = "id,Dep Delay,kind,day,late\n"
GOOD = "1,10,a,2013-01-01,true\n2,20.5,b,2013-01-02,\n3,NA,a,2013-01-03,false\n"
TYPES = {"id": "BIGINT", "Dep Delay": "DOUBLE", "kind": "VARCHAR", "day": "DATE", "late": "BOOLEAN"}


def expect(what: str, column: str = "", severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    """One expectation of a suite file."""
    named = {"column": column} if column else {}
    return {"type": f"expect_{what}", "kwargs": {**named, **kwargs}, "severity": severity}


def suite(*expectations: dict[str, Any], types: dict[str, str] | None = None) -> Suite:
    """A suite over the five columns (or `types`) and `expectations`."""
    typed = [expect("column_values_to_be_of_type", column, type_=kind) for column, kind in (types or TYPES).items()]
    return parse({"name": "small", "expectations": [*typed, *expectations]})


def run(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    contract: Suite,
    *,
    key: Sequence[str] = (),
    max_bad_rows: float = 1.0,
) -> Validation:
    """Validate the file at `path`."""
    raw = sources.open_raw(con, path, "b1")
    return validate(con, raw, contract, key=key, target="late", timezone="", missing=MISSING, max_bad_rows=max_bad_rows)


def accepted(validation: Validation) -> list[dict[str, Any]]:
    """The accepted rows."""
    return list(validation.accepted_reader(ARRIVED).read_all().to_pylist())


def quarantined(validation: Validation) -> list[dict[str, Any]]:
    """The rows in quarantine, in the file's order."""
    rows = validation.quarantine_reader("small.csv", ARRIVED).read_all().to_pylist()
    return sorted(rows, key=lambda row: row["_ordinal"] if row["_ordinal"] is not None else -1)
