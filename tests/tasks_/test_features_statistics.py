"""Target statistics: shrunk, never from a row's own label, and fitted without labels that judge them."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks import features
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.folds import dealt_folds
from treadle.tasks.features import statistics

BOTH = ("statistics", "counts")

cross_fitted = partial(features.cross_fitted, masked=False)


def fit(table: pa.Table, encodings, kind: str = "text", **more) -> features.FeatureSpec:
    schema = Schema(columns=tuple(Column(name=name, kind=kind) for name in table.column_names))
    return features.fit_features(
        table,
        schema,
        columns=schema.names,
        categories=schema.names,
        time=None,
        timezone="",
        encodings=encodings,
        **more,
    )


def levels(rows: int, count: int, seed: int) -> pa.Table:
    drawn = np.random.default_rng(seed).integers(0, count, rows)
    return pa.table({"c": pa.array([f"v{one:05}" for one in drawn])})


def test_a_statistic_is_a_mean_between_the_levels_own_and_that_of_all():
    table = pa.table({"c": ["a"] * 40 + ["b"] * 40 + ["c"] * 3})
    y = np.array([1] * 30 + [0] * 10 + [1] * 10 + [0] * 30 + [1] * 3, dtype=np.float32)
    spec = features.fit_statistics(fit(table, {"c": ("statistics",)}), table, y, task="binary", classes=2)
    a, b, c = spec.features[0].values
    assert y.mean() < a < 0.75
    assert 0.25 < b < y.mean()
    assert y.mean() < c < 1
    assert 1 - c > 0.75 - a, "three rows are shrunk more than forty"


def test_shrinkage_is_that_of_the_method_of_moments():
    """Balanced groups: the weight of a level's own mean is 1 - MSW / MSB (Searle and others 1992, 3.6)."""
    draw = np.random.default_rng(5)
    y = (draw.normal(0, 2, 50)[:, None] + draw.normal(0, 3, (50, 12))).astype(np.float32)
    table = pa.table({"c": np.repeat([f"v{one:02}" for one in range(50)], 12)})
    spec = features.fit_statistics(fit(table, {"c": ("statistics",)}), table, y.ravel(), task="regression", classes=0)
    within = y.var(axis=1, ddof=1, dtype=np.float64).mean()
    among = 12 * y.mean(axis=1, dtype=np.float64).var(ddof=1)
    expected = y.mean(dtype=np.float64) + (1 - within / among) * (y.mean(axis=1) - y.mean(dtype=np.float64))
    assert np.allclose(spec.features[0].values, expected, rtol=1e-4)


def test_null_is_a_level_of_its_own_and_an_unseen_one_has_the_mean_of_all():
    table = pa.table({"c": ["a"] * 50 + ["b"] * 50 + [None] * 60})
    y = np.array([1.0] * 50 + [0.0] * 50 + [1.0] * 60, dtype=np.float32)
    spec, _ = cross_fitted(fit(table, {"c": BOTH}), table, y, task="binary", classes=2, seed=0)
    assert spec.names == ("c.mean", "c.count")
    encoded = features.encode(spec, pa.table({"c": ["a", None, "never seen"]}))
    assert encoded[1, 0] > 0.9
    assert encoded[2, 0] == pytest.approx(y.mean())
    assert encoded[:, 1].tolist() == pytest.approx([np.log1p(50), np.log1p(60), 0])


def test_several_classes_have_a_feature_each_but_the_first():
    table, y = levels(300, 5, 0), np.random.default_rng(0).integers(0, 4, 300).astype(np.float32)
    spec, X = cross_fitted(fit(table, {"c": ("statistics",)}), table, y, task="multiclass", classes=4, seed=0)
    assert spec.names == ("c.mean.1", "c.mean.2", "c.mean.3")
    assert [feature.class_code for feature in spec.features] == [1, 2, 3]
    assert X.shape == (300, 3)


def test_more_classes_than_ten_keep_the_code():
    table, y = levels(300, 5, 0), np.arange(300, dtype=np.float32) % 11
    for wanted, names in ((("statistics",), ("c",)), (("codes", "statistics"), ("c",))):
        spec, X = cross_fitted(fit(table, {"c": wanted}), table, y, task="multiclass", classes=11, seed=0)
        assert (spec.names, spec.features[0].kind, X.shape) == (names, "code", (300, 1))


def test_an_open_spec_answers_nothing_and_a_closed_one_stays_as_it_is():
    table, y = levels(300, 5, 0), np.zeros(300, dtype=np.float32)
    spec = fit(table, {"c": ("codes", "statistics")})
    with pytest.raises(ValueError, match=r"'c\.mean' is open"):
        features.encode(spec, table)
    closed = features.fit_statistics(spec, table, y, task="binary", classes=2)
    assert features.fit_statistics(closed, table, 1 - y, task="binary", classes=2) == closed
    plain = fit(table, {})
    assert not features.has_statistics(plain)
    again, X = cross_fitted(plain, table, y, task="binary", classes=2, seed=0)
    assert again == plain
    assert np.array_equal(X, features.encode(plain, table))


def test_integers_that_are_names_have_statistics():
    table = pa.table({"c": pa.array([10, 9, 9, None] * 20, pa.int64())})
    y = np.tile([1, 0, 0, 1], 20).astype(np.float32)
    spec, _ = cross_fitted(fit(table, {"c": BOTH}, "integer"), table, y, task="binary", classes=2, seed=0)
    assert spec.features[0].levels == ("9", "10")
    assert features.encode(spec, table)[0, 0] > 0.9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.booleans(), st.booleans())
def test_no_row_is_encoded_by_its_own_label(seed, count, weighted, grouped):
    """Another label of one row moves the statistics of rows in other folds only."""
    draw = np.random.default_rng(seed)
    table = levels(80, count, seed)
    y = draw.normal(0, 1, 80).astype(np.float32)
    groups = draw.integers(0, 20, 80) if grouped else np.arange(80)
    weight = draw.uniform(0.1, 5, 80) if weighted else None
    try:
        spec = fit(table, {"c": ("statistics",)})
    except features.fitting.TargetError:
        return  # a single level
    more = {"task": "regression", "classes": 0, "seed": 0, "groups": groups, "weight": weight}
    _, before = cross_fitted(spec, table, y, **more)
    y[7] += 100
    _, after = cross_fitted(spec, table, y, **more)
    fold = statistics._inner_folds(y, 0, groups)
    same = fold == fold[7]
    assert np.allclose(before[same], after[same], rtol=1e-4, atol=1e-4)


def test_a_weight_counts_as_so_many_rows():
    table = pa.table({"c": ["a", "b", "c"] * 30})
    y, weight = np.random.default_rng(0).integers(0, 2, 90).astype(np.float32), np.tile([1, 2, 3], 30)
    spec = fit(table, {"c": ("statistics",)})
    more = {"task": "binary", "classes": 2}
    once = features.fit_statistics(spec, table, y, weight=weight.astype(float), **more)
    twice = features.fit_statistics(spec, table, y, weight=weight * 7.0, **more)
    assert once == twice
    assert once != features.fit_statistics(spec, table, y, **more)


def out_of_fold_auc(seed: int, *, leaky: bool) -> float:
    """AUC on rows left out, of a booster on 2,000 levels whose labels are shuffled."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    rows = 20_000
    table, y = levels(rows, 2_000, seed), (np.random.default_rng(seed + 100).random(rows) < 0.3).astype(np.float32)
    spec, p = fit(table, {"c": ("codes", *BOTH)}), np.empty(rows)
    for fold in dealt_folds(y, seed)[:5]:
        fitted, answered = table.take(fold.fitted), table.take(fold.answered)
        if leaky:  # the statistics have seen every label
            closed = features.fit_statistics(spec, table, y, task="binary", classes=2)
            X = features.encode(closed, fitted)
        else:
            closed, X = cross_fitted(spec, fitted, y[fold.fitted], task="binary", classes=2, seed=seed)
        params = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": 1}
        booster = xgboost.train(params, xgboost.QuantileDMatrix(X, y[fold.fitted]), num_boost_round=20)
        p[fold.answered] = booster.inplace_predict(features.encode(closed, answered))
    return float(roc_auc_score(y, p))


def unshrunk(counts: np.ndarray, sums: np.ndarray, _squares: np.ndarray) -> np.ndarray:
    """The levels' plain means, which give a label away where there is one to find."""
    return sums / np.maximum(counts, 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shrinkage", ["estimated", "none"])
def test_shuffled_labels_at_2000_levels_are_not_predicted(seed, shrinkage, monkeypatch):
    if shrinkage == "none":
        monkeypatch.setattr(statistics, "_shrunk", unshrunk)
    assert 0.48 <= out_of_fold_auc(seed, leaky=False) <= 0.52


@pytest.mark.parametrize("seed", range(3))
def test_statistics_that_have_seen_the_rows_left_out_would_be_found_out(seed, monkeypatch):
    """Without shrinkage, which leaves nothing of the levels' means where labels are shuffled."""
    monkeypatch.setattr(statistics, "_shrunk", unshrunk)
    assert out_of_fold_auc(seed, leaky=True) > 0.52


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("regression", 0)])
def test_a_booster_on_cross_fitted_rows_finds_what_2000_levels_hide(task, classes):
    """And one on the rows' own statistics does not: it has read the labels there."""
    import xgboost

    rows = 12_000
    draw = np.random.default_rng(3)
    table = levels(rows, 2_000, 3)
    effect = draw.permutation(np.linspace(-2, 2, 2_000))[[int(one[1:]) for one in table["c"].to_pylist()]]
    y = effect + draw.normal(0, 1, rows)
    if task == "binary":
        y = y > 0
    elif task == "multiclass":
        y = np.digitize(y, [-1, 0, 1])
    y = y.astype(np.float32)
    fitted, answered = np.arange(9_000), np.arange(9_000, rows)
    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}[task]
    params = {"objective": objective, "max_depth": 4, "eta": 0.2, "nthread": 1} | (
        {"num_class": classes} if task == "multiclass" else {}
    )
    losses = {}
    for wanted in (("codes",), ("statistics",)):
        spec, X = cross_fitted(
            fit(table, {"c": wanted}), table.take(fitted), y[fitted], task=task, classes=classes, seed=0
        )
        held = xgboost.DMatrix(features.encode(spec, table.take(answered)), y[answered])
        scores: dict = {}
        xgboost.train(
            params,
            xgboost.QuantileDMatrix(X, y[fitted]),
            25,
            evals=[(held, "h")],
            evals_result=scores,
            verbose_eval=False,
        )
        losses[wanted] = next(iter(scores["h"].values()))[-1]
    assert losses["statistics",] < 0.95 * losses["codes",]


def test_100000_rows_of_five_columns_take_less_than_two_seconds():
    """About a third of a second on an idle core."""
    draw = np.random.default_rng(0)
    table = pa.table({f"c{one}": pa.array(draw.integers(0, 3_000, 100_000).astype(str)) for one in range(5)})
    y = draw.integers(0, 2, 100_000).astype(np.float32)
    spec = fit(table, dict.fromkeys(table.column_names, ("statistics",)))
    begun = time.process_time()
    cross_fitted(spec, table, y, task="binary", classes=2, seed=0)
    assert time.process_time() - begun < 2
