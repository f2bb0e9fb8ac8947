from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from treadle.tasks.dataset import Column, Schema, literal, nearest, quote
from treadle.tasks.errors import DataError

FLIGHTS = Schema(
    columns=(
        Column(name="Dep Delay", kind="number"),
        Column(name="day", kind="date", format="%Y%m%d"),
        Column(name="late", kind="boolean"),
    )
)


@pytest.mark.parametrize(
    ("meant", "there", "found"),
    [
        ("dep_delay", ("arr_delay", "Dep Delay"), "Dep Delay"),
        ("dep_delay", ("arr_time", "dep_dely"), "dep_dely"),
        ("dep_delay", ("tailnum", "origin"), ""),
        ("x", (), ""),
    ],
)
def test_a_renamed_column_is_recognised(meant: str, there: tuple[str, ...], found: str) -> None:
    assert nearest(meant, there) == found


def test_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="did you mean 'Dep Delay'"):
        FLIGHTS.column("dep_delay")


def test_names_that_sql_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(ValidationError, match="'A' is there twice"):
        Schema(columns=(Column(name="a", kind="text"), Column(name="A", kind="text")))


def test_a_schema_survives_json() -> None:
    assert Schema.model_validate_json(FLIGHTS.model_dump_json()) == FLIGHTS


def test_a_schema_without_a_column_keeps_the_order_of_the_others() -> None:
    assert FLIGHTS.without("day", "nothing").names == ("Dep Delay", "late")


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_name_and_text_survive_sql(text: str) -> None:
    with duckdb.connect() as con:
        found = con.execute(f"SELECT {literal(text)} AS {quote('x' + text)}").fetchall()
    assert found == [(text,)]
