from __future__ import annotations

import io
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import features
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.errors import DataError, TargetError

ZONE = "America/New_York"


def fit(table: pa.Table, *, categories=(), time=None, timezone="", **kinds) -> features.FeatureSpec:
    columns = tuple(Column(name=name, kind=kinds.get(name, "text")) for name in table.column_names)
    schema = Schema(columns=columns)
    return features.fit_features(
        table.cast(schema.arrow()), schema, columns=schema.names, categories=categories, time=time, timezone=timezone
    )


def of(name: str, kind: str, **more) -> features.FeatureSpec:
    return features.FeatureSpec(features=(features.Feature(name=name, source=name, kind=kind, **more),))


def test_levels_are_sorted_as_text_and_integers_as_numbers():
    spec = fit(
        pa.table({"color": ["red", "Blue", None, "red"], "branch": [100, 9, 9, None]}),
        branch="integer",
        categories=("branch",),
    )
    assert [feature.levels for feature in spec.features] == [("Blue", "red"), ("9", "100")]


def test_null_is_nan_and_an_unseen_level_is_other():
    spec = of("c", "code", levels=("a", "b"))
    encoded = features.encode(spec, pa.table({"c": ["b", None, "zz", "a", " a"]}))
    assert np.array_equal(encoded[:, 0], [1, np.nan, -1, 0, -1], equal_nan=True)
    assert features.unseen(spec, pa.table({"c": ["b", None, "zz", "a", " a"]})) == {"c": 2}
    assert features.unseen(spec, pa.table({"c": ["b", None]})) == {}


def test_text_that_pandas_reads_as_missing_is_no_level():
    table = pa.table({"c": ["None", "n/a", "x", "y", ""]})
    spec = fit(table)
    assert spec.features[0].levels == ("x", "y")
    assert np.isnan(features.encode(spec, table)[[0, 1, 4], 0]).all()


def test_pandas_does_read_these_texts_as_missing():
    frame = pd.read_csv(
        io.StringIO("\n".join(["c", *(f'"{text}"' for text in features.READ_AS_MISSING), "None of them"]))
    )
    assert frame["c"].isna().tolist() == [True] * len(features.READ_AS_MISSING) + [False]


def test_in_a_column_of_many_levels_those_of_a_single_row_are_other():
    many = [f"v{number}" for number in range(features.RARE_FROM + 1)]
    spec = fit(pa.table({"c": [*many, "v3", "v5"]}))
    assert spec.features[0].levels == ("v3", "v5")
    assert len(fit(pa.table({"c": many[:-1]})).features[0].levels) == features.RARE_FROM


def test_only_the_most_frequent_levels_are_kept(monkeypatch):
    monkeypatch.setattr(features.fitting, "MAX_LEVELS", 2)
    assert fit(pa.table({"c": ["a", "b", "b", "c", "c", "c"]})).features[0].levels == ("b", "c")


CONSTANT = {
    "all null": pa.array([None] * 4, pa.float64()),
    "one value": pa.array([2.0] * 4),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_a_column_that_says_nothing_is_left_out(case):
    spec = fit(pa.table({"c": CONSTANT[case], "d": [1.0, 2.0, 3.0, 4.0]}), c="number", d="number")
    assert spec.names == ("d",)


def test_one_value_with_gaps_says_something():
    assert fit(pa.table({"c": [1.0, None]}), c="number").names == ("c",)


def test_a_text_in_every_row_another_is_left_out_and_nothing_left_is_an_error():
    names = [f"Customer {number}" for number in range(500)]
    with pytest.raises(TargetError, match="no column varies in 500 training rows"):
        fit(pa.table({"c": names}))


def test_a_timestamp_is_expanded_in_its_zone_into_the_parts_that_vary():
    stamps = [datetime(2013, 1, 1, 4, 59), datetime(2013, 1, 1, 5, 0), None, datetime(2014, 1, 1, 5, 0)]
    spec = fit(pa.table({"at": pa.array(stamps, pa.timestamp("us", "UTC"))}), at="timestamp", time="at", timezone=ZONE)
    encoded = features.encode(spec, pa.table({"at": pa.array(stamps, pa.timestamp("us", "UTC"))}))
    before, after, missing = (dict(zip(spec.names, row.tolist(), strict=True)) for row in encoded[:3])
    assert before == {
        **{"at.year": 2012, "at.month": 12, "at.day": 31, "at.weekday": 0, "at.dayofyear": 366},
        **{"at.hour": 23, "at.minute": 59},
    }
    assert after == {
        **{"at.year": 2013, "at.month": 1, "at.day": 1, "at.weekday": 1, "at.dayofyear": 1},
        **{"at.hour": 0, "at.minute": 0},
    }
    assert all(np.isnan(value) for value in missing.values())


def test_days_since_1970_are_there_only_without_a_time_column():
    table = pa.table({"on": pa.array([date(1970, 1, 2), date(1969, 12, 31)])})
    assert "on.days" not in fit(table, on="date", time="on").names
    spec = fit(table, on="date")
    days = features.encode(spec, table)[:, spec.names.index("on.days")]
    assert days.tolist() == [1, -1]


@pytest.mark.parametrize(("days", "known"), [(329, False), (330, True)])
def test_a_season_is_learned_of_the_time_column_once_its_rows_span_a_year(days, known):
    dates = [date(2013, 1, 1), date(2013, 4, 2), date(2013, 1, 1) + timedelta(days=days)]
    table = pa.table({"on": pa.array(dates)})
    assert ({"on.month", "on.dayofyear"} <= set(fit(table, on="date", time="on").names)) == known
    assert {"on.month", "on.dayofyear"} <= set(fit(table, on="date").names)
    assert "on.day" in fit(table, on="date", time="on").names


def test_a_date_knows_no_zone_and_no_clock():
    table = pa.table({"on": pa.array([date(2013, 1, 1), date(2014, 2, 2)])})
    spec = fit(table, on="date", timezone=ZONE)
    assert features.encode(spec, table)[0, spec.names.index("on.day")] == 1
    assert not {"on.hour", "on.minute"} & set(spec.names)


def test_names_are_what_xgboost_allows_and_none_comes_twice():
    table = pa.table(
        {"a[1]": [1, 2], "a(1)": [1, 2], "<": [1, 2], "at.year": [1, 2], "at": [date(1, 1, 1), date(2, 2, 2)]}
    )
    spec = fit(
        table, **{"a[1]": "integer", "a(1)": "integer", "<": "integer", "at.year": "integer", "at": "date"}, time="at"
    )
    assert spec.names[:5] == ("a(1)", "a(1) (2)", "‹", "at.year", "at.year (2)")
    assert spec.sources[:5] == ("a[1]", "a(1)", "<", "at.year", "at")


def test_columns_may_be_reordered_and_others_may_be_there():
    spec = fit(pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}), a="number")
    one = features.encode(spec, pa.table({"a": [5.0], "b": ["y"]}))
    other = features.encode(spec, pa.table({"z": [0], "b": pa.array(["y"]).dictionary_encode(), "a": [5.0]}))
    assert one.tolist() == other.tolist() == [[5.0, 1.0]]


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="column 'a' is missing"):
        features.encode(of("a", "number"), pa.table({"b": [1]}))


def test_what_lies_beyond_float32_is_clipped_and_infinite_is_missing():
    encoded = features.encode(of("a", "number"), pa.table({"a": [1e300, -1e300, np.inf, -np.inf]}))[:, 0]
    limit = np.finfo(np.float32).max
    assert np.array_equal(encoded, [limit, -limit, np.nan, np.nan], equal_nan=True)


INT64 = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(INT64, min_size=1))
def test_integers_give_the_same_numbers_as_the_floats_that_pandas_makes_of_them(values):
    as_integers = features.encode(of("a", "number"), pa.table({"a": pa.array(values, pa.int64())}))
    as_floats = features.encode(of("a", "number"), pa.table({"a": pa.array([float(value) for value in values])}))
    assert np.array_equal(as_integers, as_floats)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1), st.data())
def test_every_row_is_encoded_on_its_own(values, data):
    """Chunks, slices, order and batches change nothing."""
    table = pa.table({"c": pa.array(values, pa.string())})
    spec = of("c", "code", levels=tuple(sorted({value for value in values if value})))
    whole = features.encode(spec, table)
    cut = data.draw(st.integers(0, len(values)))
    parts = [features.encode(spec, part) for part in (table.slice(0, cut), table.slice(cut)) if len(part)]
    assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)
    for batch in table.to_batches():
        assert np.array_equal(features.encode(spec, batch), whole, equal_nan=True)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1))
def test_a_level_is_its_index_and_everything_else_other_or_missing(values):
    levels = ("a", "b", "c")
    codes = features.encode(of("c", "code", levels=levels), pa.table({"c": pa.array(values, pa.string())}))[:, 0]
    for value, code in zip(values, codes, strict=True):
        if value is None or value in features.READ_AS_MISSING:
            assert np.isnan(code)
        else:
            assert code == (levels.index(value) if value in levels else features.OTHER)


def test_a_spec_survives_json():
    spec = fit(pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}), a="number", timezone=ZONE)
    assert features.FeatureSpec.model_validate_json(spec.model_dump_json()) == spec


def test_text_for_people_says_where_nothing_is():
    assert features.as_text(pa.chunked_array([pa.array([1, None])])).tolist() == ["1", "(missing)"]
    assert features.as_text(pa.array([True, None])).tolist() == ["true", "(missing)"]
