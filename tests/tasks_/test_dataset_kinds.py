"""Columns are what a person would call them, whatever file they come in."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customers import table
from treadle.tasks.config.spec import MISSING
from treadle.tasks.dataset.profile import ColumnFacts, profile
from treadle.tasks.dataset.typing import cast

TEXTS = [
    (["1", "2", " 3 ", "?"], "integer", ""),
    (["1", "-7", "NA", ""], "integer", ""),
    (["1.0", "2.0", ""], "number", ""),
    (["1", "2.5", "1e3"], "number", ""),
    (["99999999999999999999", "1"], "number", ""),
    (["01234", "90210"], "text", ""),
    (["true", "False", "TRUE"], "boolean", ""),
    (["yes", "no"], "text", ""),
    (["2011-01-31", "2012-12-01"], "date", ""),
    (["2011-01-31 10:00", "2012-12-01T11:00:01Z"], "timestamp", ""),
    (["01/31/2011", "12/01/2012"], "date", "%m/%d/%Y"),
    (["31/01/2011", "01/12/2012"], "date", "%d/%m/%Y"),
    (["31.01.2011", "1.12.2012"], "date", "%d.%m.%Y"),
    (["20110131", "20121201"], "date", "%Y%m%d"),
    (["20110131", "20111301"], "integer", ""),
    (["31 Jan 2011", "01 Dec 2012"], "date", "%d %b %Y"),
    (["01/31/2011 1:05 PM", "12/01/2012 11:00 AM"], "timestamp", "%m/%d/%Y %I:%M %p"),
    (["31.01.2011 10:30", "01.12.2012 00:00"], "timestamp", "%d.%m.%Y %H:%M"),
    (["2011-13-31", "2012-12-01"], "text", ""),
    (["", "?"], "text", ""),
    (["a", "1", "2"], "text", ""),
    (["inf", "1"], "text", ""),
]


def facts(values: object, dtype: object = object) -> ColumnFacts:
    with duckdb.connect() as con:
        return profile(con, table(con, pd.DataFrame({"A b": pd.Series(values, dtype=dtype)})), MISSING).columns[0]


@pytest.mark.parametrize(("values", "kind", "form"), TEXTS)
def test_text_is_read_as_what_all_of_it_says(values: list[str], kind: str, form: str) -> None:
    found = facts(values)
    assert (found.kind, found.column.format) == (kind, form)
    assert found.bad == 0


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ([1, 2], "int32", "integer"),
        ([1.0, np.nan], "float64", "number"),
        ([True, False], "bool", "boolean"),
        ([20110131, 20121201], "int64", "date"),
        ([datetime(2020, 1, 1, tzinfo=UTC)] * 2, None, "timestamp"),
        (["a", "b"], "category", "text"),
    ],
)
def test_native_types_stand(values: list[object], dtype: object, kind: str) -> None:
    assert facts(values, dtype).kind == kind


def test_days_that_could_be_months_are_pointed_out() -> None:
    found = facts(["01/02/2011", "03/04/2011"])
    assert found.column.format == "%m/%d/%Y"
    assert "%d/%m/%Y too" in found.inferred.why


def test_words_for_missing_among_numbers_become_marks() -> None:
    with duckdb.connect() as con:
        raw = table(con, pd.DataFrame({"a": ["1", "-", "3"] * 9, "b": ["x", "None", "y"] * 9}, dtype=object))
        found = profile(con, raw, MISSING)
    assert (found["a"].kind, found["a"].gaps) == ("integer", 9)
    assert found.missing == (*MISSING, "-")
    assert found["b"].distinct == 3, "None is a name among names"


def test_a_few_slips_do_not_make_a_number_text() -> None:
    found = facts([*map(str, range(1_000)), "12a"])
    assert (found.kind, found.bad, found.inferred.examples) == ("integer", 1, ("12a",))
    assert facts(["1", "2", "12a"]).kind == "text"


def test_facts_are_counted_over_all_rows() -> None:
    found = facts(["3", "1", "?", "1", "10"])
    assert (found.rows, found.values, found.gaps, found.distinct) == (5, 4, 1, 3)
    assert (found.low, found.high, found.mean) == (1, 10, 3.75)
    assert found.spread == pytest.approx(np.std([3, 1, 1, 10]))
    assert found.levels == ((1, 2, 1), (3, 1, 0), (10, 1, 4))


def test_a_row_number_is_seen_to_rise_by_one() -> None:
    assert facts([5, 6, 7, 8]).rises
    assert not facts([5, 7, 6, 8]).rises


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*MISSING, "1", "1.5", " 2", "x", "2020-01-01", "true", "01", "1e400"]), min_size=1))
def test_whatever_is_told_reads_all_values_but_a_few(values: list[str]) -> None:
    found = facts(values)
    assert found.values + found.bad + found.gaps == len(values)
    assert found.bad <= 0.005 * len(values)
    with duckdb.connect() as con:
        raw = table(con, pd.DataFrame({"A b": pd.Series(values, dtype=object)}))
        bad = cast(found.column, "VARCHAR", MISSING, "").bad
        assert con.execute(f"SELECT count(*) FILTER ({bad}) FROM {raw.view}").fetchone() == (found.bad,)
