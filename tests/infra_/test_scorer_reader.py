"""The scorer reads values, types them and finds their levels as the batch path does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import shop
from treadle.tasks import features
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.features import dates, encoding

if TYPE_CHECKING:
    from types import ModuleType

KNOWN_TEXTS = [
    *("", " ", "?", " NA", "-999", "-999.0", "true", "FALSE", " True ", "T", "1", "0", "1.0", "+3", "3.5", "1e3"),
    *("1_0", "0x1", "1e400", "-1e400", "inf", "nan", "+NaN", ".5", "5.", ".", "+", "9223372036854774784", "1,5"),
    *("9223372036854775808", "-9223372036854775808", "1e18", " 7 ", "1e-400", "\u0663", "12\n"),
    *("2013-01-05", "2013-1-5", "2013-02-30", "0000-01-01", "20130105", "2013-01-05T", "2013-01-05 5:00"),
    *("2013-03-10 02:30", "2013-11-03T01:30:00", "2013-11-03 01:30:00Z", "2013-06-01T23:59:59.1234567"),
    *("2013-06-01 24:00", "2013-06-01 24:00:00+02", "2013-06-01 24:00:01", "2013-06-01 05:00:60"),
    *(
        "2013-06-01 05:60",
        "2013-06-01 05:00:00-0330",
        "2013-06-01 05:00 UTC",
        "2013-06-01 05:00 Z",
        "2013-06-01 05:00UTC",
    ),
    *("2013-06-01 05:00 +02", "2013-06-01 05:00+14:59"),
    *("2013-06-01 05:00:00.5+02:30", "9999-12-31 23:59Z", "0001-01-01 00:00+05"),
    *("05.01.2013 07:30", "5.1.2013 7:30", "31.02.2013 07:30", " 05.01.2013 07:30 "),
]
TEXTS = st.one_of(
    st.sampled_from(KNOWN_TEXTS),
    st.text(max_size=6),
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.datetimes().map(lambda moment: moment.isoformat(sep=" ")),
    st.dates().map(str),
)
KINDS = [
    Column(name="c", kind="integer"),
    Column(name="c", kind="number"),
    Column(name="c", kind="boolean"),
    Column(name="c", kind="date"),
    Column(name="c", kind="date", format="%d.%m.%Y %H:%M"),
    Column(name="c", kind="timestamp"),
    Column(name="c", kind="timestamp", format="%d.%m.%Y %H:%M"),
]


def read(scorer: ModuleType, series: pd.Series, column: Column) -> np.ndarray:
    reader = scorer.Reader(shop.MISSING, shop.ZONE)
    if column.kind in ("date", "timestamp"):
        return scorer.local_time(reader.instants(series, column.model_dump()), column.kind, reader.zone)
    return encoding.to_float32(reader.numeric(series, column.kind))


def encoded(table: pa.Table, column: Column) -> np.ndarray:
    if column.kind in ("date", "timestamp"):
        return dates.local(dates.instants(table["c"]), table["c"].type, shop.ZONE)
    feature = features.Feature(name="c", source="c", kind="boolean" if column.kind == "boolean" else "number")
    return features.encode(features.FeatureSpec(features=(feature,)), table)[:, 0]


@pytest.mark.parametrize("column", KINDS, ids=lambda column: f"{column.kind} {column.format}")
@settings(max_examples=60, deadline=None)
@example(texts=KNOWN_TEXTS)
@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
def test_text_is_typed_as_the_batch_path_types_it(scorer, duck, column, texts):
    table = shop.typed(duck, pa.table({"c": pa.array(texts, pa.string())}), Schema(columns=(column,)))
    ours, theirs = encoded(table, column), read(scorer, pd.Series(texts, dtype=object), column)
    different = [
        text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b and not (pd.isna(a) and pd.isna(b))
    ]
    assert different == []


def test_every_local_hour_of_a_year_becomes_the_same_instant_in_both_paths(scorer, duck):
    for zone in (shop.ZONE, "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kolkata", ""):
        hours = np.arange("2013-01-01", "2014-01-01", 10, dtype="datetime64[m]").astype("datetime64[us]")
        table = shop.typed(
            duck, pa.table({"c": pa.array(hours)}), Schema(columns=(Column(name="c", kind="timestamp"),)), zone
        )
        ours = table["c"].to_numpy().astype("datetime64[us]")
        theirs = scorer.Reader((), zone).instants(pd.Series(hours), {"name": "c", "kind": "timestamp", "format": ""})
        assert np.array_equal(ours, theirs), zone


LEVELS = st.lists(st.sampled_from(["1", "01", "1.0", "2", "TRUE", "false", "b", "1.5"]), unique=True, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    levels=LEVELS,
    texts=st.lists(st.one_of(st.none(), st.sampled_from(["1", "01", "b", "zz", "None", "TRUE"])), min_size=1),
)
def test_codes_of_text_are_those_of_the_batch_path(scorer, levels, texts):
    feature = features.Feature(name="c", source="c", kind="code", levels=tuple(levels))
    spec = features.FeatureSpec(features=(feature,))
    ours = features.encode(spec, pa.table({"c": pa.array(texts, pa.string())}))[:, 0]
    theirs = scorer.text_codes(scorer.Reader((), ""), pd.Series(texts, dtype=object), levels, spec.read_as_missing)
    assert np.array_equal(ours, encoding.to_float32(theirs), equal_nan=True)


VALUES = {
    "the only level of that number": (["007", "b"], 7, 0.0),
    "its own text before others of that number": (["1", "1.0"], 1.0, 0.0),
    "no guess between two": (["01", "001"], 1, -1.0),
    "a boolean by its word": (["TRUE", "x"], True, 0.0),
    "another boolean": (["TRUE", "x"], False, -1.0),
    "no number, one level that is none": (["b"], 3, -1.0),
    "a date where texts are": (["b"], pd.Timestamp("2013-01-01"), -1.0),
}


@pytest.mark.parametrize("case", VALUES)
def test_what_pandas_took_for_numbers_or_booleans_finds_its_level(scorer, case):
    levels, value, code = VALUES[case]
    assert scorer.text_codes(scorer.Reader((), ""), pd.Series([value], dtype=object), levels, ())[0] == code
