"""Rows that somebody asks about: every one is answered, and a warning stands beside those that break the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.expectations_.batches import MISSING, expect, suite
from treadle.expectations.contract import rows_with_warnings
from treadle.infra import sources
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


def test_an_answer_has_every_row_in_order_with_its_warnings(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("kind,id,Dep Delay,extra\nz,1,9,\na,x,,\na,1,1500,\na,1,1500,\n")
    contract = suite(
        expect("column_values_to_be_in_set", "kind", value_set=["a", "b"]),
        expect("column_values_to_be_between", "Dep Delay", max_value=1440),
        expect("column_values_to_not_be_null", "day"),
        expect("column_values_to_be_unique", "id"),
        expect("table_row_count_to_be_between", min_value=1000),
    )
    raw = sources.open_raw(con, file, "b1")
    table = rows_with_warnings(
        con, raw, contract, target="late", timezone="", missing=MISSING, needed=("id", "kind")
    ).read_all()
    assert table.schema.names == [*contract.schema.names, "_warning"]
    assert table["id"].to_pylist() == [1, None, 1, 1]
    assert table["day"].to_pylist() == [None] * 4
    assert table["_warning"].to_pylist() == [
        "kind is z (contract: one of 'a', 'b'); id is 1 (contract: unique)",
        "id is x (contract: a whole number)",
        "Dep Delay is 1500 (contract: <= 1440); id is 1 (contract: unique)",
        "Dep Delay is 1500 (contract: <= 1440); id is 1 (contract: unique)",
    ]


def test_an_answer_needs_its_columns(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    file.write_text("ID,kind\n1,a\n")
    raw = sources.open_raw(con, file, "b1")
    with pytest.raises(DataError, match=r"'id' is missing \(it has 'ID': renamed\?\); column 'Dep Delay' is missing"):
        rows_with_warnings(con, raw, suite(), target="late", timezone="", missing=MISSING, needed=("id", "Dep Delay"))
