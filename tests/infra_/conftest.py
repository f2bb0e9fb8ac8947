from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from treadle.infra.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """A shop's tables, into which nothing was written yet."""
    return Tables(str(tmp_path / "data" / "shop"), tmp_path / "scratch")


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con
