"""Every kind of feature has the same number, to the bit, in the scorer as in the batch path."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import shop
from treadle.tasks import bundle, features, parity
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.features.spec import FeatureKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

SCHEMA = Schema(
    columns=(*shop.INPUTS.columns, Column(name="Note", kind="text"), Column(name="Tags", kind="text")),
)
ENCODINGS = {
    "Channel": ("codes", "statistics", "counts"),
    "Size": ("statistics",),
    "Zip": ("counts",),
    "Branch": ("codes", "statistics", "counts"),
    "Born": ("parts", "days", "season"),
    "Due": ("season",),
    "Placed at": ("parts", "season"),
    "Paid": ("days",),
    "Note": ("ngrams", "counts"),
    "Tags": ("list", "statistics"),
    "Items": ("number", "statistics", "counts"),
}
LINEAR = {"missing", "indicator"}
"""Kinds that only a linear model's inputs have."""

DIFFERENCES = (("Paid", "Placed at"), ("Due", "Born"), ("Placed at", "Born"), ("Due", "Paid"))
WORDS = ["late", "Parcel", "geöffnet", "again", "no", "7", "İstanbul", "don't"]
TAGS = ["Drama", "war", "7", " 12", "sci fi", "N/A", "3.5"]


def rows(count: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    texts = {
        "Note": [" ".join(draw.choice(WORDS, draw.integers(0, 6))) for _ in range(count)],
        "Tags": ["|".join(draw.choice(TAGS, draw.integers(0, 4))) for _ in range(count)],
    }
    table = shop.rows(count, seed)
    for name, values in texts.items():
        gaps = [None if place % 6 == 0 else value for place, value in enumerate(values)]
        table = table.append_column(name, pa.array(gaps, pa.string()))
    return table


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def spec(request: pytest.FixtureRequest) -> features.FeatureSpec:
    """Features of every kind, fitted on the shop's rows."""
    table, classes = rows(400, 0), {"binary": 2, "multiclass": 3, "regression": 0}[request.param]
    y = np.random.default_rng(1).integers(0, classes or 50, 400).astype(np.float32)
    names = [name for name in SCHEMA.names if name not in ("Order No", "Always 1")]
    declared = features.fit_features(
        table,
        SCHEMA,
        columns=names,
        categories=("Branch",),
        time=None,
        timezone=shop.ZONE,
        encodings=ENCODINGS,
        differences=DIFFERENCES,
    )
    closed = features.fit_statistics(declared, table, y, task=request.param, classes=classes)
    assert {feature.kind for feature in closed.features} == set(get_args(FeatureKind)) - LINEAR
    assert features.FeatureSpec.model_validate_json(closed.model_dump_json()) == closed
    return closed


def answered(scorer: ModuleType, spec: features.FeatureSpec, frame: pd.DataFrame, missing: Sequence[str]) -> np.ndarray:
    columns = {column.name: column.model_dump() for column in SCHEMA.columns}
    return scorer.encode(json.loads(spec.model_dump_json()), columns, scorer.Reader(missing, shop.ZONE), frame)


def different(spec: features.FeatureSpec, ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """The features whose numbers are not the same bits."""
    assert theirs.dtype == np.float32
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return [name for name, whole in zip(spec.names, same.all(axis=0), strict=True) if not whole]


FRAMES = {
    "as it is": lambda frame: frame,
    "arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda frame: frame.astype(object),
    "categories": lambda frame: frame.astype(dict.fromkeys(("Channel", "Branch", "Note", "Tags"), "category")),
    "days as text": lambda frame: frame.assign(
        Due=frame["Due"].astype("string"), Born=frame["Born"].map(lambda day: day.strftime("%Y%m%d") if day else None)
    ),
    "instants as text of another zone": lambda frame: frame.assign(
        **{
            "Placed at": frame["Placed at"]
            .dt.tz_convert("Asia/Tokyo")
            .map(lambda one: one.isoformat(), na_action="ignore")
        }
    ),
    "reordered": lambda frame: frame[list(reversed(frame.columns))],
}


@pytest.mark.parametrize("shape", FRAMES)
def test_all_kinds_of_features_have_the_same_bits(scorer, spec, shape):
    table = rows(300, 7)
    theirs = answered(scorer, spec, FRAMES[shape](table.to_pandas()), shop.MISSING)
    assert different(spec, features.encode(spec, table), theirs) == []


def test_a_csv_read_by_pandas_has_the_same_bits(scorer, spec, duck):
    frame = rows(300, 8).to_pandas()
    text = frame.assign(
        Born=frame["Born"].map(lambda day: day.strftime("%Y%m%d") if day else None),
        Paid=frame["Paid"].dt.tz_convert(shop.ZONE).dt.strftime("%d.%m.%Y %H:%M"),
        Branch=frame["Branch"].astype("Int64"),
        Items=frame["Items"].astype("Int64"),
        Tags=frame["Tags"].where(frame.index < 20, "7"),
    ).to_csv(index=False)
    read = pd.read_csv(io.StringIO(text)).iloc[20:]
    raw = pa.Table.from_pandas(pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False), preserve_index=False)
    table = shop.typed(duck, raw, SCHEMA).slice(20)
    assert read["Branch"].dtype == np.float64, "pandas took integers with gaps for floats, or this tests less"
    theirs = answered(scorer, spec, read.assign(Tags=read["Tags"].astype(float)), shop.MISSING)
    assert different(spec, features.encode(spec, table), theirs) == []


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_bundle_with_statistics_and_differences_answers_alike(scorer, tmp_path, task):
    wanted = {name: encodings for name, encodings in ENCODINGS.items() if name in shop.INPUTS.names}
    model = shop.model(task, encodings=wanted, differences=DIFFERENCES)
    shop.write(tmp_path / "bundle", model)
    written, loaded = bundle.load_bundle(tmp_path / "bundle"), scorer.Scorer()
    loaded.load_context(SimpleNamespace(artifacts={"bundle": str(tmp_path / "bundle")}))
    table = shop.rows(300, 5)
    ours, theirs = bundle.predict_table(written, table), loaded.predict(None, table.to_pandas())
    assert parity.disagreement(ours, theirs) == ""
    golden, expected = bundle.golden(tmp_path / "bundle")
    assert parity.disagreement(expected, loaded.predict(None, golden.to_pandas())) == ""


def test_the_second_column_of_a_difference_is_an_input_too(scorer, tmp_path):
    plain = {name: () for name in shop.INPUTS.names if name not in ("Order No", "Price [EUR]", "Items")}
    model = shop.model("regression", encodings=plain, differences=[("Paid", "Placed at")])
    assert model.features.sources == ("Price [EUR]", "Items", "Paid", "Placed at")
    assert set(model.required) == {"Order No", *model.features.sources}
    assert model.features.positions["Placed at"] == model.features.positions["Paid"] == [2]
    shop.write(tmp_path / "bundle", model)
    loaded = scorer.Scorer()
    loaded.load_context(SimpleNamespace(artifacts={"bundle": str(tmp_path / "bundle")}))
    with pytest.raises(ValueError, match="missing columns: 'Placed at'"):
        loaded.predict(None, shop.rows(5).to_pandas().drop(columns="Placed at"))


TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["None", "N/A", "", "-999", "a|b", "A| b ", "a||a", "7", "07|7", "Größe und Größe", "İ ß", "\ud7ff x"]
    ),
    st.lists(st.sampled_from(["a", "b", "Ab", "abc", "7", "x-y"]), max_size=6).map("|".join),
    st.text(max_size=12),
)
GRAMS = ["a", "ab", "abc", "größe", "7", "x", "ss", "i̇"]


@settings(max_examples=150, deadline=None)
@example(values=["a|b", None, "A| b ", "a||a", "", "None", "\x1c|a"])
@given(values=st.lists(TEXTS, min_size=1, max_size=8))
def test_texts_have_the_same_grams_and_entries(scorer, values):
    buckets = sorted({bucket for word in GRAMS for bucket in features.text.word_buckets(word)})
    grams = [features.Feature(name=f"g{one}", source="c", kind="gram", bucket=one) for one in buckets]
    entries = [
        features.Feature(name=f"e{place}", source="c", kind="entry", separator="|", levels=levels)
        for place, levels in enumerate([(), ("a",), ("b",), ("7",), ("größe und größe",)])
    ]
    spec = features.FeatureSpec(features=(*grams, *entries))
    ours = features.encode(spec, pa.table({"c": pa.array(values, pa.string())}))
    theirs = scorer.encode(
        json.loads(spec.model_dump_json()),
        {"c": {"name": "c", "kind": "text", "format": ""}},
        scorer.Reader((), ""),
        pd.DataFrame({"c": pd.Series(values, dtype=object)}),
    )
    assert different(spec, ours, theirs) == []


NUMBERS = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)
@given(
    values=st.lists(NUMBERS, min_size=1, max_size=5),
    ends=st.tuples(NUMBERS, NUMBERS),
    held=st.lists(st.one_of(st.none(), st.integers(0, 7)), min_size=1, max_size=12),
    integers=st.booleans(),
)
@pytest.mark.parametrize("kind", ["statistic", "count"])
def test_levels_have_the_same_numbers_of_their_table(scorer, kind, values, ends, held, integers):
    levels = tuple(str(place) for place in range(len(values)))
    feature = features.Feature(
        name="c", source="c", kind=kind, levels=levels, values=tuple(values), fallback=ends[0], missing=ends[1]
    )
    spec = features.FeatureSpec(features=(feature,))
    column = pa.array(held, pa.int64()) if integers else pa.array([None if one is None else str(one) for one in held])
    ours = features.encode(spec, pa.table({"c": column.cast(pa.int64() if integers else pa.string())}))
    frame = pd.DataFrame({"c": pd.Series(held, dtype="float64")})  # as pandas holds integers with gaps
    columns = {"c": {"name": "c", "kind": "integer" if integers else "text", "format": ""}}
    theirs = scorer.encode(json.loads(spec.model_dump_json()), columns, scorer.Reader((), ""), frame)
    assert different(spec, ours, theirs) == []
    expected = [ends[1] if one is None else values[one] if one < len(values) else ends[0] for one in held]
    assert ours[:, 0].tolist() == expected


MOMENTS = st.one_of(st.none(), st.datetimes())


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=6), zone=st.sampled_from(["", shop.ZONE]))
@pytest.mark.parametrize("kinds", [("timestamp", "timestamp"), ("date", "date"), ("timestamp", "date")])
def test_days_between_two_columns_are_the_same(scorer, kinds, pairs, zone):
    kinds_of = dict(zip("ab", kinds, strict=True))
    schema = Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in kinds_of.items()))
    moments = pa.table(
        {name: pa.array(held, pa.timestamp("us")) for name, held in zip("ab", zip(*pairs, strict=True), strict=True)}
    )
    typed = pa.table(
        {
            name: moments[name].cast(pa.date32(), safe=False)
            if kind == "date"
            else moments[name].cast(schema.arrow().field(name).type)
            for name, kind in kinds_of.items()
        }
    )
    feature = features.Feature(name="d", source="a", kind="since", origin="b")
    spec = features.FeatureSpec(features=(feature,), timezone=zone)
    columns = {column.name: column.model_dump() for column in schema.columns}
    theirs = scorer.encode(json.loads(spec.model_dump_json()), columns, scorer.Reader((), zone), typed.to_pandas())
    assert different(spec, features.encode(spec, typed), theirs) == []
