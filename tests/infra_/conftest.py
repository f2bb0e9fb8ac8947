from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

import duckdb
import pytest

from treadle.infra.tables import Tables
from treadle.infra.tracking.scorer.join import shipped_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """A shop's tables, into which nothing was written yet."""
    return Tables(str(tmp_path / "data" / "shop"), tmp_path / "scratch")


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


@pytest.fixture(scope="session")
def scorer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scorer as it ships in a model."""
    file = tmp_path_factory.mktemp("scorer") / "scorer.py"
    file.write_bytes(shipped_source())
    return file


@pytest.fixture(scope="session")
def scorer(scorer_file: Path) -> ModuleType:
    """The module that MLflow makes of the shipped file."""
    spec = importlib.util.spec_from_file_location("shipped_scorer", scorer_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns about its own type hints when it is imported
        spec.loader.exec_module(module)
    return module
