"""A linear model: its inputs, its fit, its answers for rows that were left out, and when it is taken."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

from tests import shop
from treadle.tasks import booster, bundle, features, linear, training
from treadle.tasks.bundle.golden_rows import sorts
from treadle.tasks.coefficients import Coefficients, line_of, linear_booster
from treadle.tasks.dataset import Column, Schema, folds
from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = Schema(
    columns=(
        Column(name="a", kind="number"),
        Column(name="b", kind="number"),
        Column(name="shop", kind="text"),
        Column(name="zip", kind="text"),
        Column(name="y", kind="number"),
    )
)


def problem(task: str, classes: int = 0) -> training.Problem:
    return dataclasses.replace(
        shop.problem("binary"),
        task=task,
        schema=SCHEMA,
        columns=("a", "b", "shop", "zip"),
        categories=(),
        classes=tuple(range(classes)),
    )


def rows(count: int = 2_000, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    numbers = np.arange(count)
    return pa.table(
        {
            "a": pa.array(draw.normal(1e4, 10, count)),
            "b": pa.array(draw.normal(size=count), mask=numbers % 7 == 0),
            "shop": pa.array([f"s{one}" for one in draw.integers(0, 6, count)], mask=numbers % 11 == 0),
            "zip": pa.array([f"z{one}" for one in draw.integers(0, 900, count)]),
        }
    )


def signal(table: pa.Table) -> np.ndarray:
    a, b, shops = (table[name].to_pandas() for name in ("a", "b", "shop"))
    return ((a - 1e4) / 10 + b.fillna(0) + 2 * (shops == "s3")).to_numpy()


def answers(task: str, y: np.ndarray, table: pa.Table, later: pa.Table, classes: int = 0) -> np.ndarray:
    fitted, spec = linear.fit_linear(problem(task, classes), table, y.astype(np.float32), seed=0)
    return booster.predict_raw(fitted, features.encode(spec, later))


def test_a_line_is_found_through_gaps_offsets_and_levels() -> None:
    table = rows()
    p = answers("regression", signal(table)[:1500], table.slice(0, 1500), table.slice(1500))
    assert r2_score(signal(table)[1500:], p) > 0.98


def test_a_border_is_found_between_classes() -> None:
    table = rows()
    y = signal(table) > 0
    p = answers("binary", y[:1500], table.slice(0, 1500), table.slice(1500), 2)
    assert roc_auc_score(y[1500:], p) > 0.98


@pytest.mark.parametrize("present", [(0, 2), (0, 2, 3)])
def test_a_class_that_training_lacks_has_no_chance(present: tuple[int, ...]) -> None:
    table = rows()
    y = np.array(present)[np.digitize(signal(table), range(len(present) - 1))]
    p = answers("multiclass", y, table, table, 4)
    assert p.shape == (2_000, 4)
    assert (p[:, [code for code in range(4) if code not in present]] == 0).all()
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))
    assert (p.argmax(axis=1) == y).mean() > 0.8


def test_labels_that_are_all_the_same_make_no_line() -> None:
    with pytest.raises(TargetError, match="all 5 rows have the same 'y'"):
        answers("binary", np.ones(5), rows(5), rows(5), 2)
    assert linear.linear_beside(problem("binary", 2), rows(5), np.ones(5), rows(5), seed=0) is None


def test_columns_of_many_levels_alone_make_no_line() -> None:
    only = dataclasses.replace(problem("regression"), columns=("zip",))
    with pytest.raises(TargetError, match=r"no column can be an input of a linear model \(looked at: zip\)"):
        linear.fit_linear(only, rows(), signal(rows()).astype(np.float32), seed=0)


def test_many_rows_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    table = rows(20_000)
    monkeypatch.setattr(linear, "LINEAR_ROWS", 1_000)
    y = signal(table).astype(np.float32)
    fitted, spec = linear.fit_linear(problem("regression"), table, y, seed=0)
    again, _ = linear.fit_linear(problem("regression"), table, y, seed=0)
    other, _ = linear.fit_linear(problem("regression"), table, y, seed=1)
    assert bytes(fitted.save_raw("ubj")) == bytes(again.save_raw("ubj")) != bytes(other.save_raw("ubj"))
    assert r2_score(y, booster.predict_raw(fitted, features.encode(spec, table))) > 0.98


def test_rows_of_no_weight_teach_nothing() -> None:
    table = rows()
    y = signal(table)
    weight = np.where(np.arange(len(y)) < 1_000, 1.0, 0.0)
    wrong = np.where(weight == 1, y, -5 * y).astype(np.float32)
    fitted, spec = linear.fit_linear(problem("regression"), table, wrong, seed=0, weight=weight)
    assert r2_score(y, booster.predict_raw(fitted, features.encode(spec, table))) > 0.98


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_booster_answers_as_scikit_learn_does(task: str) -> None:
    table = rows()
    y = signal(table) if task == "regression" else np.digitize(signal(table), [0, 1] if task == "multiclass" else [0])
    classes = 0 if task == "regression" else len(np.unique(y))
    fitted, spec = linear.fit_linear(problem(task, classes), table, y.astype(np.float32), seed=0, strength=10.0)
    X = features.encode(spec, table)
    model = Ridge(alpha=10.0) if task == "regression" else LogisticRegression(C=0.1, max_iter=1_000, tol=1e-8)
    model.fit(X.astype(np.float64), y.astype(np.float32) if task == "regression" else y)
    theirs = model.predict(X) if task == "regression" else model.predict_proba(X)
    if task == "binary":
        theirs = theirs[:, 1]
    # lbfgs and Newton end where the gradient is small: so do their answers differ
    assert booster.predict_raw(fitted, X) == pytest.approx(theirs, abs=2e-3)


def spec_of(table: pa.Table) -> features.FeatureSpec:
    of = problem("regression")
    trees = features.fit_features(table, SCHEMA, columns=of.columns, categories=(), time=None, timezone="")
    return linear.linear_features(trees, table)


SPEC = spec_of(rows())


def test_numbers_are_scaled_gaps_said_and_levels_told_apart() -> None:
    table = rows()
    spec = spec_of(table)
    assert spec.names == ("a", "b", "b missing", *(f"shop = s{one}" for one in range(6)), "shop missing")
    X = features.encode(spec, table)
    a, b, gap = X[:, 0], X[:, 1], X[:, 2]
    assert (a.mean(), a.std()) == pytest.approx((0, 1), abs=1e-3)
    assert set(gap) == {0, 1}
    assert gap.sum() == table["b"].null_count
    present = table["b"].drop_null().to_numpy()
    median = (np.median(present) - present.mean()) / present.std()
    assert set(b[gap == 1].tolist()) == {b[gap == 1][0]}
    assert b[gap == 1][0] == pytest.approx(median, abs=1e-5)
    assert X[:, 3:].sum(axis=1).tolist() == [1] * len(X)


def test_a_new_level_is_none_of_the_known() -> None:
    spec = spec_of(rows())
    new = rows(3).set_column(2, "shop", pa.array(["s1", "never seen", None]))
    shops = features.encode(spec, new)[:, 3:]
    assert shops.sum(axis=1).tolist() == [1, 0, 1]
    assert shops[2].tolist() == [0] * 6 + [1]
    assert features.unseen(spec, new) == {"shop": 1}


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=8))
def test_an_input_is_always_a_number(values: list[float | None]) -> None:
    later = pa.table({"a": pa.array(values, pa.float64()), "b": pa.array(values, pa.float64())})
    later = later.append_column("shop", pa.array(["s1"] * len(values)))
    X = features.encode(SPEC.model_copy(update={"beyond_float32": "clip"}), later)
    assert np.isfinite(X).all()


@settings(deadline=None, max_examples=50)
@given(
    X=st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 3), min_size=1, max_size=5),
    weights=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
)
def test_a_margin_is_the_sum_of_inputs_times_coefficients(
    X: list[tuple[float, ...]], weights: tuple[float, ...]
) -> None:
    line = Coefficients(weights=tuple((one,) for one in weights), intercept=(0.5,), spread=(1.0,) * 3)
    inputs = np.array(X, dtype=np.float32)
    fitted = linear_booster(line, objective="reg:squarederror", names=("a", "b", "c"))
    expected = inputs.astype(np.float64) @ np.array(weights) + 0.5
    assert booster.predict_raw(fitted, inputs) == pytest.approx(expected, rel=1e-6, abs=1e-2)


def test_a_sum_beyond_float32_is_its_largest_number() -> None:
    line = Coefficients(weights=((1e300,),), intercept=(0.0,), spread=(1.0,))
    largest = np.finfo(np.float32).max
    assert line.margins(np.array([[largest], [-largest], [0]], dtype=np.float32)).tolist() == [largest, -largest, 0]


def test_a_column_weighs_what_it_moves() -> None:
    line = Coefficients(weights=((3.0, -1.0), (2.0, 0.0), (0.0, 0.0)), intercept=(0.0, 0.0), spread=(1.0, 2.0, 9.0))
    assert line.importance() == (0.5, 0.5, 0.0)
    fitted = linear_booster(line, objective="multi:softprob", names=("a", "b", "c"))
    assert booster.gain_importance(fitted, ("a", "b", "c")) == {"a": 0.5, "b": 0.5, "c": 0.0}


def test_trees_carry_no_coefficients() -> None:
    assert line_of(shop.model("binary").booster) is None
    assert line_of(shop.linear_model("binary").booster) is not None


@pytest.mark.parametrize("task", list(shop.LABELS))
def test_answers_are_by_lines_that_have_not_seen_the_row(task: str) -> None:
    table, of = shop.labelled(task), shop.problem(task)
    y = training.encoded_part(of, training.learn_features(of, table), table).y
    dealt = folds.dealt_folds(y, 0)[:4]
    raw = linear.linear_answers(of, table, y, dealt, 0)
    left_out = np.isin(np.arange(len(y)), np.concatenate([one.answered for one in dealt]), invert=True)
    assert left_out.any()
    assert np.isnan(raw[left_out]).all()
    assert np.isfinite(raw[~left_out]).all()
    changed = y.copy()
    changed[dealt[0].answered] = y[dealt[0].answered][::-1]
    again = linear.linear_answers(of, table, changed, dealt, 0)
    same = np.isclose(raw, again).reshape(len(y), -1).all(axis=1)
    assert same[dealt[0].answered].all()
    assert not same[dealt[1].answered].all()


@pytest.mark.parametrize("seed", range(3))
def test_answers_for_labels_that_mean_nothing_are_worth_nothing(seed: int) -> None:
    table = rows(3_000, seed)
    y = np.random.default_rng(seed).integers(0, 2, 3_000).astype(np.float32)
    raw = linear.linear_answers(problem("binary", 2), table, y, folds.dealt_folds(y, seed), seed)
    assert abs(roc_auc_score(y, raw) - 0.5) < 4 * 0.0105  # four standard errors of an area of 0.5 on 1,500 and 1,500


def noisy(seed: int, count: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.normal(size=count)
    return y, y + draw.normal(size=count)


@pytest.mark.parametrize("seed", range(5))
def test_a_line_is_taken_unless_trees_are_surely_better(seed: int) -> None:
    y, p = noisy(seed)
    worse = p + np.random.default_rng(seed + 100).normal(0, 0.5, len(y))
    assert linear.prefer_linear("regression", "rmse", y, p, p)
    assert linear.prefer_linear("regression", "rmse", y, worse, p)
    assert not linear.prefer_linear("regression", "rmse", y, p, worse)


def test_trees_that_are_better_by_less_than_an_error_do_not_win() -> None:
    y, p = noisy(0, 100)
    q = p.copy()
    q[0] = y[0] + 10 * (p[0] - y[0])  # one row is worse: that is about one error
    assert linear.prefer_linear("regression", "mae", y, p, q, errors=1.01)
    assert not linear.prefer_linear("regression", "mae", y, p, q, errors=0.9)


def test_rows_that_only_one_answers_for_decide_nothing() -> None:
    y, p = noisy(1)
    q = np.where(np.arange(len(y)) < 2_000, p, np.nan)
    bad = np.where(np.arange(len(y)) < 2_000, p + 0.5, p)
    assert linear.prefer_linear("regression", "rmse", y, bad, q)
    assert not linear.prefer_linear("regression", "rmse", y, p, np.full(len(y), np.nan))


def test_a_metric_that_is_not_defined_prefers_trees() -> None:
    y = np.ones(10)
    assert not linear.prefer_linear("binary", "roc_auc", y, np.linspace(0, 1, 10), np.linspace(0, 1, 10))


@pytest.mark.parametrize("task", list(shop.LABELS))
def test_a_bundle_holds_a_line_as_it_holds_trees(task: str, tmp_path: Path) -> None:
    model = shop.linear_model(task)
    digest = shop.write(tmp_path / "bundle", model)
    assert digest == shop.write(tmp_path / "again", shop.linear_model(task))
    loaded, later = bundle.load_bundle(tmp_path / "bundle", digest), shop.rows(200, seed=3)
    assert bundle.predict_table(loaded, later).equals(bundle.predict_table(model, later))
    assert bundle.predict_table(loaded, later.slice(0, 0)).num_rows == 0
    bundle.check_golden(loaded, tmp_path / "bundle")
    golden, _ = bundle.golden(tmp_path / "bundle")
    nulls, unseen, edges = sorts(golden, loaded.features, loaded.booster)
    assert (nulls > 0, unseen > 0, edges) == (True, True, 0)
    assert sum(booster.gain_importance(loaded.booster, loaded.features.names).values()) == pytest.approx(1)


def test_where_windows_overlap_each_keeps_its_own_answers() -> None:
    table, of = shop.labelled("binary"), shop.problem("binary")
    y = training.encoded_part(of, training.learn_features(of, table), table).y
    third = len(y) // 3
    windows = [
        folds.Fold(np.arange(third), np.arange(third, 2 * third)),
        folds.Fold(np.arange(third + third // 2), np.arange(third + third // 2, len(y))),
    ]
    own: list[np.ndarray] = []
    raw = linear.linear_answers(of, table, y, windows, 0, by_fold=own)
    both = np.intersect1d(windows[0].answered, windows[1].answered)
    assert (raw[windows[1].answered] == own[1]).all()
    older, newer = own[0][both - third], own[1][: len(both)]
    assert (older != newer).any(), "the older window's answers are not those of the newer one"
    assert own[0] == pytest.approx(linear.linear_answers(of, table, y, windows[:1], 0)[windows[0].answered])
