"""What a column becomes by its encodings: seasons, days between dates, words, lists; and who else must know."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from tests import shop
from treadle.tasks import booster, bundle, evaluation, features, health, postprocess, training
from treadle.tasks.bundle.golden_rows import _levels_beside, choose_golden_rows, sorts
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.errors import TargetError
from treadle.tasks.features.text import frequent_buckets, list_separator, word_buckets

ZONE = "America/New_York"


def fit(table: pa.Table, *, encodings=None, differences=(), categories=(), time=None, **kinds) -> features.FeatureSpec:
    schema = Schema(columns=tuple(Column(name=name, kind=kinds.get(name, "text")) for name in table.column_names))
    return features.fit_features(
        table.cast(schema.arrow()),
        schema,
        columns=schema.names,
        categories=categories,
        time=time,
        timezone=ZONE,
        encodings=encodings,
        differences=differences,
    )


def test_a_column_without_an_encoding_is_encoded_as_ever():
    table = shop.rows(200)
    names = [name for name in shop.INPUTS.names if name != "Order No"]
    of = {"columns": names, "categories": ("Branch",), "time": None, "timezone": ZONE}
    plain = features.fit_features(table, shop.INPUTS, **of)
    assert plain == features.fit_features(table, shop.INPUTS, encodings={}, **of)
    assert all(set(one) == {"name", "source", "kind", "levels", "part"} for one in plain.model_dump()["features"])
    one = features.fit_features(table, shop.INPUTS, encodings={"Zip": ("counts",)}, **of)
    assert [feature for feature in one.features if feature.source != "Zip"] == [
        feature for feature in plain.features if feature.source != "Zip"
    ]


def test_a_spec_of_before_still_opens():
    old = '{"features":[{"name":"c","source":"c","kind":"code","levels":["a"],"part":null}],"timezone":""}'
    spec = features.FeatureSpec.model_validate_json(old)
    assert features.encode(spec, pa.table({"c": ["a", "b"]}))[:, 0].tolist() == [0, -1]


ENCODINGS = {
    "none leaves it out": ((), ["x"]),
    "one that does not fit is ignored": (("season", "counts"), ["c.count", "x"]),
    "where none fits it is as ever": (("season",), ["c", "x"]),
    "the order is ours": (("counts", "codes"), ["c", "c.count", "x"]),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_encodings_are_taken_as_far_as_they_fit(case):
    wanted, names = ENCODINGS[case]
    table = pa.table({"c": ["a", "b", "b", "c"], "x": [1.0, 2.0, 3.0, 4.0]})
    assert list(fit(table, encodings={"c": wanted}, x="number").names) == names


def test_leaving_out_every_column_is_an_error():
    with pytest.raises(TargetError, match="no column varies"):
        fit(pa.table({"c": ["a", "b"]}), encodings={"c": ()})


def test_midnight_lies_beside_the_hour_before_and_new_year_beside_its_eve():
    hours = [datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
    table = pa.table({"at": pa.array(hours, pa.timestamp("us", "UTC"))})
    spec = fit(table, encodings={"at": ("season",)}, at="timestamp")
    clock = features.encode(spec, table)[:, [spec.names.index("at.hour.sin"), spec.names.index("at.hour.cos")]]
    steps = np.linalg.norm(clock - np.roll(clock, 1, axis=0), axis=1)
    assert np.allclose(steps, steps[0], atol=1e-6)
    days = pa.table({"on": [date(2012, 12, 31), date(2013, 1, 1), date(2013, 7, 1), None]})
    spec = fit(days, encodings={"on": ("season",)}, on="date")
    year = features.encode(spec, days)[:, [spec.names.index("on.dayofyear.sin"), spec.names.index("on.dayofyear.cos")]]
    assert np.linalg.norm(year[0] - year[1]) < 0.02 < 1.9 < np.linalg.norm(year[1] - year[2])
    assert np.isnan(year[3]).all()


def test_days_between_instants_know_no_clock_and_those_to_a_date_do():
    before, after = (
        datetime(2013, 3, 10, 5, 0, tzinfo=UTC),
        datetime(2013, 3, 11, 4, 0, tzinfo=UTC),
    )  # both midnight there
    table = pa.table(
        {
            "a": pa.array([after, None, after], pa.timestamp("us", "UTC")),
            "b": pa.array([before, before, after], pa.timestamp("us", "UTC")),
            "on": pa.array([date(2013, 3, 9)] * 3),
        }
    )
    spec = fit(
        table, encodings=dict.fromkeys("ab", ()) | {"on": ()}, differences=[("a", "b"), ("b", "on"), ("a", "x")],
        a="timestamp", b="timestamp", on="date",
    )  # fmt: skip
    assert spec.names == ("a since b", "b since on")
    assert spec.sources == ("a", "b", "on")
    encoded = features.encode(spec, table)
    assert np.allclose(encoded[:, 0], [23 / 24, np.nan, 0], equal_nan=True)
    assert encoded[:, 1].tolist() == [1, 1, 2]


def test_words_are_counted_whatever_their_case():
    texts = ["Late parcel, late!", "on time", "LATE", None, "late again", "parcel late", "so so"] * 10
    spec = fit(pa.table({"c": texts}), encodings={"c": ("ngrams",)})
    late = next(place for place, one in enumerate(spec.features) if one.bucket == word_buckets("late")[0])
    encoded = features.encode(spec, pa.table({"c": ["Late parcel, late!", "later", None, "None"]}))
    assert np.array_equal(encoded[:, late], [2, 0, np.nan, np.nan], equal_nan=True)
    assert np.isnan(encoded[2]).all()
    assert encoded[1].sum() > 0, "later shares its parts with late"


def test_words_of_every_row_or_of_few_have_no_feature():
    texts = [f"the w{row % 3} {'rare' if row < 4 else ''}" for row in range(60)]
    kept = frequent_buckets(pa.chunked_array([texts]))
    assert {word_buckets(word)[0] for word in ("w0", "w1", "w2")} <= set(kept)
    assert not {word_buckets(word)[0] for word in ("the", "rare")} & set(kept)


SEPARATORS = {
    "bars": (["drama|war", "war", "comedy|drama"] * 20, "|"),
    "semicolons and spaces": (["a; b", "b;c ", "a"] * 20, ";"),
    "sentences with commas": ([f"I came, and {n} of us saw, and then number {n * 7} won" for n in range(60)], ""),
    "names": (["drama", "war", None] * 20, ""),
    "nothing but separators": ([";", "; ;"] * 20, ""),
    "one in ten": ((["a,b"] + ["a"] * 9) * 10, ""),
}


@pytest.mark.parametrize("case", SEPARATORS)
def test_lists_are_recognised_by_pieces_that_come_back(case):
    texts, separator = SEPARATORS[case]
    assert list_separator(pa.chunked_array([texts], pa.string())) == separator


def test_a_list_becomes_its_entries_and_their_number():
    table = pa.table({"c": ["Drama|war", "war", "comedy| drama", None] * 20})
    spec = fit(table, encodings={"c": ("list",)})
    assert spec.names == ("c entries", "c has drama", "c has war", "c has comedy")
    encoded = features.encode(spec, pa.table({"c": ["WAR|war|new", "", None]}))
    assert np.array_equal(encoded, [[2, 0, 1, 0], [np.nan] * 4, [np.nan] * 4], equal_nan=True)


ALL = {"Channel": ("statistics",), "Branch": ("statistics", "counts"), "Zip": ("codes", "statistics")}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_golden_rows_hold_unseen_levels_and_nulls_of_statistics_and_differences(task):
    model = shop.model(task, encodings=ALL, differences=[("Paid", "Placed at"), ("Due", "Born")])
    rows = choose_golden_rows(shop.rows(400), model.features, model.booster)
    assert any(str(value).startswith("never seen") for value in rows["Channel"].to_pylist())
    assert 102 in rows["Branch"].to_pylist()
    for source in model.features.sources:
        assert rows[source].null_count, source
    nulls, unseen, _ = sorts(rows, model.features, model.booster)
    assert nulls > 50
    assert unseen == len(model.features.levelled) == 4


EDGES = {
    "between two": ([0.3, 0.1, 0.7], 0.5, ("a", "c")),
    "at one": ([0.3, 0.1, 0.7], 0.3, ("b", "a")),
    "below all": ([0.3, 0.1, 0.7], 0.1, None),
    "above all": ([0.3, 0.1, 0.7], 0.8, None),
}


@pytest.mark.parametrize("case", EDGES)
def test_the_levels_at_a_threshold_of_a_statistic_are_those_beside_it(case):
    values, at, levels = EDGES[case]
    feature = features.Feature(name="c", source="c", kind="statistic", levels=("a", "b", "c"), values=tuple(values))
    assert _levels_beside(feature, np.float32(at)) == levels


def test_unseen_levels_of_statistics_are_counted_once():
    spec = shop.model("binary", encodings=ALL, differences=[("Paid", "Placed at")]).features
    rows = shop.rows(50).set_column(4, "Channel", pa.array(["never"] * 10 + ["web"] * 40))
    assert features.unseen(spec, rows) == {"Channel": 10}
    _, shares = health.shares(spec, [rows, rows.drop_columns("Placed at")])
    of = {one.column: one for one in shares}
    assert of["Channel"].unseen == 0.2
    assert of["Placed at"].missing > 0.5
    assert of["Paid"].unseen is None


def test_the_gain_of_a_difference_is_shared_by_its_columns():
    plain = {name: () for name in shop.INPUTS.names if name not in ("Order No", "Price [EUR]", "Items")}
    model = shop.model("regression", encodings=plain, differences=[("Due", "Born")])
    shares, gains = evaluation.column_importance(model), booster.gain_importance(model.booster, model.features.names)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["Due"] == shares["Born"] == pytest.approx(gains["Due since Born"] / 2)
    assert gains["Due since Born"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_model_with_statistics_is_evaluated_on_statistics_of_other_rows(seed):
    """Its own, of 300 levels with four rows each, would give away the labels of the rows that it was fitted on."""
    draw = np.random.default_rng(seed)
    level, effect, x = draw.integers(0, 300, 2_400), draw.normal(0, 1.5, 300), draw.normal(size=2_400)
    target = np.where(draw.random(2_400) < 1 / (1 + np.exp(-effect[level] - x)), "yes", "no")
    table = pa.table({"c": [f"v{one}" for one in level], "x": x, "y": target})
    schema = Schema(columns=tuple(Column(name=name, kind="number" if name == "x" else "text") for name in "cxy"))
    problem = training.Problem(
        task="binary", metric="roc_auc", target="y", schema=schema, key=(), time="", timezone="", columns=("c", "x"),
        categories=(), missing=(), classes=("no", "yes"),
    )  # fmt: skip
    fitted, holdout = table.slice(0, 1_200), table.slice(1_200)
    y = postprocess.encode_target(fitted["y"], "binary", problem.classes)
    declared = features.fit_features(
        fitted, schema, columns=problem.columns, categories=(), time=None, timezone="", encodings={"c": ("statistics",)}
    )
    spec, X = features.cross_fitted(declared, fitted, y, task="binary", classes=2, seed=0)
    params = booster.complete_parameters("binary", {"max_depth": 2, "eta": 0.2}, classes=2, device="cpu", seed=0)
    trees = booster.fit_booster(params, booster.MatrixRows(X=X, y=y), rounds=15, names=spec.names)
    model = bundle.Model(
        booster=trees, features=spec, post=postprocess.Post(task="binary", classes=problem.classes), schema=schema,
        key=(), target="y", time="", timezone="", task="binary", missing=(),
    )  # fmt: skip
    evidence = evaluation.evaluate_models(problem, model, None, fitted, holdout, (), 0)
    assert evidence.leaks == ()
    assert evidence.train_scores["roc_auc"] - evidence.scores["challenger"]["roc_auc"] < 0.08


def test_a_spec_with_statistics_survives_json_to_the_bit():
    spec = shop.model("multiclass", encodings=ALL).features
    again = features.FeatureSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    rows = shop.rows(100)
    assert features.encode(again, rows).tobytes() == features.encode(spec, rows).tobytes()


def test_the_bundle_of_a_model_with_statistics_gives_its_golden_rows(tmp_path):
    model = shop.model("binary", encodings=ALL)
    shop.write(tmp_path / "bundle", model)
    bundle.check_golden(bundle.load_bundle(tmp_path / "bundle"), tmp_path / "bundle")
