from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.tasks_.stories import story
from treadle.tasks import bundle, explain, report, training
from treadle.tasks.booster import Curve, MatrixRows, complete_parameters, fit_booster, predict_margin
from treadle.tasks.coefficients import Coefficients, linear_booster
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dependence import Dependence
from treadle.tasks.ensemble import Member, merge
from treadle.tasks.explain.effects import column_effect
from treadle.tasks.explain.permutation import permutation_drops
from treadle.tasks.explain.rows import chosen_rows
from treadle.tasks.explain.shapley import Contributions, contributions, row_cost, unit_of
from treadle.tasks.explain.source import (
    SourceRows,
    associations,
    cramers_v,
    shown_as,
    strong_groups,
    value_text,
)
from treadle.tasks.features import Feature, FeatureSpec
from treadle.tasks.objective import Objective
from treadle.tasks.postprocess import Post
from treadle.tasks.training import Problem

if TYPE_CHECKING:
    from xgboost import Booster

OBJECTIVES = {
    "binary:logistic": "binary",
    "multi:softprob": "multiclass",
    "reg:squarederror": "regression",
    "reg:absoluteerror": "regression",
    "reg:pseudohubererror": "regression",
    "reg:tweedie": "regression",
    "reg:gamma": "regression",
    "count:poisson": "regression",
}


def drawn(objective: str, seed: int, rows: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    score = np.nan_to_num(X[:, 0] * X[:, 1] + X[:, 2])
    if objective == "binary:logistic":
        return X, (score > 0).astype(np.float32)
    if objective == "multi:softprob":
        return X, np.digitize(score, [-0.5, 0.5]).astype(np.float32)
    return X, np.round(1 + np.exp(score)).astype(np.float32)


def fitted(objective: str, seed: int, depth: int, rounds: int) -> tuple[Booster, np.ndarray]:
    X, y = drawn(objective, seed)
    task = OBJECTIVES[objective]
    params = complete_parameters(
        task, {"max_depth": depth}, classes=3, device="cpu", seed=seed, objective=Objective(name=objective)
    )
    return fit_booster(params, MatrixRows(X, y), rounds=rounds, names=["a", "b", "c", "d"]), X


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(OBJECTIVES)), st.integers(0, 99), st.integers(1, 6), st.integers(1, 25), st.booleans())
def test_base_value_and_contributions_are_the_margin_of_any_booster(
    objective: str, seed: int, depth: int, rounds: int, merged: bool
) -> None:
    booster, X = fitted(objective, seed, depth, rounds)
    if merged:
        other, _ = fitted(objective, seed + 1, 3, 5)
        booster = merge([Member(booster, 0.7, (0, 1, 2, 3)), Member(other, 0.3, (2, 1, 0, 3))], ["a", "b", "c", "d"])
    found = contributions(booster, X[:40])
    margins = predict_margin(booster, X[:40]).reshape(40, -1)
    assert found.values.shape == (40, 4, margins.shape[1])
    assert np.abs(found.base + found.values.sum(axis=1) - margins).max() < 1e-5 * max(1.0, float(np.abs(margins).max()))
    assert found.error < 1e-5
    softmaxed = found.centred()
    assert softmaxed.error < 1e-5


def test_a_missing_contribution_shows_in_the_error() -> None:
    found = Contributions(np.ones((3, 2, 1)), np.zeros(1), np.full((3, 1), 2.5))
    assert found.error == pytest.approx(0.5 / 2)


@pytest.mark.parametrize("classes", [1, 3])
def test_contributions_of_a_linear_model_are_coefficient_times_value_less_mean(classes: int) -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(4, classes))
    line = Coefficients(
        weights=tuple(tuple(row) for row in weights.tolist()),
        intercept=tuple(rng.normal(size=classes).tolist()),
        spread=(1.0,) * 4,
    )
    objective = "multi:softprob" if classes > 1 else "binary:logistic"
    booster = linear_booster(line, objective=objective, names=["a", "b", "c", "d"])
    X = rng.normal(2, 1, size=(50, 4)).astype(np.float32)
    X[0, 0] = np.nan
    found = contributions(booster, X)
    assert found.error < 1e-5
    assert found.values[1, 2] == pytest.approx((X[1, 2] - X[:, 2].astype(np.float64).mean()) * weights[2])
    assert found.values.mean(axis=0) == pytest.approx(np.zeros((4, classes)), abs=1e-9)


SPEC = FeatureSpec(
    features=(
        Feature(name="day_month", source="day", kind="date_part", part="month"),
        Feature(name="day_weekday", source="day", kind="date_part", part="weekday"),
        Feature(name="late", source="day", kind="since", origin="due"),
        Feature(name="shop", source="shop", kind="code", levels=("north", "south")),
        Feature(name="amount", source="amount", kind="number"),
        Feature(name="cents", source="cents", kind="number"),
        Feature(name="noise", source="noise", kind="number"),
    )
)
KINDS = {"day": "date", "due": "date", "shop": "text", "amount": "number", "cents": "integer", "noise": "number"}


def rows_of(n: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, n)
    amount = rng.gamma(2, 10, n)
    return pa.table(
        {
            "id": pa.array(np.arange(n)),
            "day": pa.array(day),
            "due": pa.array(day - rng.integers(0, 9, n)),
            "shop": pa.array(rng.choice(["north", "south", "new"], n)),
            "amount": pa.array(np.where(rng.random(n) < 0.1, np.nan, amount), from_pandas=True),
            "cents": pa.array((100 * amount).astype(np.int64)),
            "noise": pa.array(rng.normal(size=n)),
        }
    )


def taught(task: str, n: int = 400) -> tuple[Problem, bundle.Model, pa.Table, np.ndarray]:
    """A model that uses the amount (twice), the shop and the days since due, and little else."""
    from treadle.tasks.features import encode

    table = rows_of(n)
    X = encode(SPEC, table)
    rng = np.random.default_rng(1)
    score = np.nan_to_num(X[:, 4]) / 10 + (X[:, 3] == 1) + X[:, 2] / 5 + rng.normal(0, 0.3, n)
    classes: tuple[training.TrainingLabel, ...] = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c")}.get(task, ())
    y = {
        "binary": (score > np.median(score)).astype(np.float32),
        "multiclass": np.digitize(score, np.quantile(score, [0.3, 0.6])).astype(np.float32),
        "regression": score.astype(np.float32),
    }[task]
    params = complete_parameters(task, {"max_depth": 3}, classes=len(classes), device="cpu", seed=0)
    booster = fit_booster(params, MatrixRows(X, y), rounds=30, names=SPEC.names)
    target = pa.array([classes[int(code)] for code in y]) if classes else pa.array(y.astype(np.float64))
    table = table.append_column("target", target)
    columns = [Column(name="id", kind="integer"), *(Column(name=name, kind=kind) for name, kind in KINDS.items())]  # type: ignore[arg-type]
    schema = Schema(columns=(*columns, Column(name="target", kind="text" if classes else "number")))
    named = {"target": "target", "task": task, "schema": schema, "key": ("id",), "time": "day", "timezone": ""}
    model = bundle.Model(booster=booster, features=SPEC, post=Post(task=task, classes=classes), missing=(), **named)  # type: ignore[arg-type]
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    problem = Problem(
        metric=metric, columns=tuple(KINDS), categories=(), missing=(), classes=classes, **named  # type: ignore[arg-type]
    )  # fmt: skip
    return problem, model, table, y


def explained(task: str, weight: np.ndarray | None = None, **changes: object) -> explain.Explanation:
    problem, model, table, y = taught(task)
    p = SourceRows.of(model, table, y, None, np.arange(len(y)))
    gains = dict.fromkeys(SPEC.sources, 1 / len(SPEC.sources))
    return explain.explain_model(problem, model, table, (y, p.answers(p.X), weight), gains, seconds=0.3, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_explanation_names_the_columns_that_carry_and_sums_to_the_margins(task: str) -> None:
    found = explained(task)
    by_name = {one.column: one for one in found.columns}
    assert set(by_name) == set(KINDS), "source columns, not features"
    assert by_name["noise"].share < 0.1 < by_name["amount"].share + by_name["cents"].share
    assert sum(one.share for one in found.columns) == pytest.approx(1)
    assert found.error < 1e-5
    assert len(found.examples) == 12
    for one in found.examples:
        assert one.base + sum(reason.contribution for reason in one.reasons) == pytest.approx(one.margin, abs=1e-4)
        assert {reason.column for reason in one.reasons} == set(KINDS)
    values = {reason.column: reason.value for reason in found.examples[0].reasons}
    assert values["shop"] in ("north", "south", "new")
    assert values["day"].startswith("2024-")
    groups = {one.columns: one for one in found.groups}
    assert {frozenset(names) for names in groups} == {frozenset(("amount", "cents")), frozenset(("day", "due"))}
    group = next(one for names, one in groups.items() if "amount" in names)
    assert group.drop is not None
    assert group.drop > max(by_name["amount"].drop or 0, by_name["cents"].drop or 0), "each stands for the other"
    assert group.drop_lower is not None
    assert group.drop_lower > 0
    assert TypeAdapter(explain.Explanation).validate_json(TypeAdapter(explain.Explanation).dump_json(found)) == found
    assert found == explained(task), "the same seed gives the same"


def test_of_a_target_that_was_centred_the_margins_are_in_its_own_unit() -> None:
    problem, model, table, y = taught("regression")
    rows = SourceRows.of(model, table, y, None, np.arange(len(y)))
    p = rows.answers(rows.X) + 1.7e9
    found = explain.explain_model(problem, model, table, (y + 1.7e9, p, None), {}, seconds=0.2)
    assert found.base[0] == pytest.approx(1.7e9, abs=10)
    for one in found.examples:
        assert one.base + sum(reason.contribution for reason in one.reasons) == pytest.approx(one.margin, abs=1e-4)
        assert one.prediction == f"{one.margin:,.6g}"


def test_directions_and_effects_are_those_that_the_model_was_taught() -> None:
    found = explained("binary", weight=np.random.default_rng(0).exponential(size=400), dependence=Dependence())
    by_name = {one.column: one for one in found.columns}
    assert (by_name["amount"].direction or 0) > 0.5
    assert by_name["shop"].highest == "south"
    effects = {one.column: one for one in found.effects}
    amount, shop = effects["amount"], effects["shop"]
    assert amount.method == "accumulated local effects", "it goes with cents"
    assert amount.lines[""][-1] > amount.lines[""][0] + 0.2
    assert amount.missing is not None
    assert shop.method == "partial dependence"
    curve = dict(zip(shop.labels, shop.lines[""], strict=True))
    assert curve["south"] > curve["north"]
    assert sum(shop.counts) == 400


def test_permuting_a_date_moves_its_parts_and_what_is_measured_from_it() -> None:
    _, model, table, y = taught("binary", 120)
    rows = SourceRows.of(model, table, y, None, np.arange(120))
    order = np.random.default_rng(3).permutation(120)
    moved = rows.permuted(["day"], order)
    whole = table.set_column(table.column_names.index("day"), "day", table["day"].take(order))
    assert np.array_equal(moved, SourceRows.of(model, whole, y, None, np.arange(120)).X, equal_nan=True)
    assert not np.array_equal(moved[:, 2], rows.X[:, 2]), "days since due are counted anew"
    both = rows.permuted(["day", "due"], order)
    assert np.array_equal(both[:, :3], rows.X[order][:, :3])
    assert np.array_equal(both[:, 3:], rows.X[:, 3:], equal_nan=True)


def test_the_interval_of_a_columns_drop_covers_what_permuting_it_costs_on_many_rows() -> None:
    _, model, table, y = taught("binary", 4000)
    rows = SourceRows.of(model, table, y, None, np.arange(4000))
    many = [one for one in permutation_drops(rows, "log_loss", [("shop",), ("noise",)], repeats=20, seed=9) if one]
    inside = 0
    for seed in range(20):
        some = rows.take(np.random.default_rng(seed).choice(4000, 300, replace=False))
        for whole, one in zip(
            many, permutation_drops(some, "log_loss", [("shop",), ("noise",)], repeats=3, seed=seed), strict=True
        ):
            assert one is not None
            inside += one.lower <= whole.value <= one.upper
    assert inside >= 33, "of 40, at 95% fewer than 34 in one of a hundred"
    assert permutation_drops(rows, "roc_auc", [("shop",)], repeats=3, seed=0, deadline=0.0) == [None]


def test_accumulated_effects_of_a_straight_line_are_that_line() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=500)
    table = pa.table({"a": a, "b": a + 0.1 * rng.normal(size=500)})
    spec = FeatureSpec(features=tuple(Feature(name=name, source=name, kind="number") for name in "ab"))
    line = Coefficients(weights=((3.0,), (-1.0,)), intercept=(2.0,), spread=(1.0, 1.0))
    booster = linear_booster(line, objective="reg:squarederror", names=["a", "b"])
    model = SimpleNamespace(booster=booster, features=spec, post=Post(task="regression"), task="regression")
    rows = SourceRows.of(model, table, np.zeros(500), None, np.arange(500))  # type: ignore[arg-type]
    for beside, method in ((("b", 0.99), "accumulated local effects"), (("b", 0.1), "partial dependence")):
        effect = column_effect(rows, table, "a", beside, {"": -1})
        assert effect is not None
        assert effect.method == method
        slopes = np.diff(effect.lines[""]) / np.diff(effect.at)
        assert slopes == pytest.approx(np.full(len(slopes), 3.0), rel=1e-4)


def test_a_column_that_the_rows_to_ask_about_hardly_have_has_no_accumulated_effect() -> None:
    a = np.where(np.arange(500) < 250, np.nan, np.arange(500.0))
    table = pa.table({"a": a, "b": np.arange(500.0)})
    spec = FeatureSpec(features=tuple(Feature(name=name, source=name, kind="number") for name in "ab"))
    line = Coefficients(weights=((3.0,), (-1.0,)), intercept=(2.0,), spread=(1.0, 1.0))
    booster = linear_booster(line, objective="reg:squarederror", names=["a", "b"])
    model = SimpleNamespace(booster=booster, features=spec, post=Post(task="regression"), task="regression")
    for rows, known in ((np.arange(250), False), (np.arange(500), True)):
        asked = SourceRows.of(model, table.take(rows), np.zeros(len(rows)), None, np.arange(len(rows)))  # type: ignore[arg-type]
        effect = column_effect(asked, table, "a", ("b", 0.99), {"": -1})
        assert (effect is not None) == known
        assert effect is None or np.isfinite(effect.lines[""]).all()


def test_associations_join_what_stands_for_each_other() -> None:
    rng = np.random.default_rng(0)
    n = 1500
    city = rng.integers(0, 6, n)
    table = pa.table(
        {
            "city": pa.array([f"city {one}" for one in city]),
            "state": pa.array([f"state {one // 2}" for one in city]),
            "x": pa.array(rng.normal(size=n)),
            "noise": pa.array(rng.normal(size=n)),
        }
    )
    table = table.append_column("exp", pa.array(np.exp(table["x"].to_numpy())))
    names = ["city", "state", "x", "noise", "exp"]
    model = SimpleNamespace(features=FeatureSpec(features=()))
    strength = associations(model, table, names, 0)  # type: ignore[arg-type]
    assert np.array_equal(strength, strength.T)
    assert {columns for columns, _ in strong_groups(names, strength)} == {("city", "state"), ("x", "exp")}
    assert strength[names.index("noise")][[0, 1, 2]].max() < 0.15


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 9))
def test_cramers_v_lies_between_none_and_all(codes: list[int], seed: int) -> None:
    a = np.array(codes)
    assert 0 <= cramers_v(a, np.random.default_rng(seed).permutation(a)) <= 1


@given(st.integers(1, 40), st.sampled_from(["binary", "multiclass", "regression"]))
def test_no_row_is_shown_twice(rows: int, task: str) -> None:
    rng = np.random.default_rng(rows)
    p = rng.dirichlet(np.ones(3), rows) if task == "multiclass" else rng.random(rows).round(1)
    chosen = [at for _, at in chosen_rows(task, rng.integers(0, 2, rows).astype(float), p)]
    assert len(chosen) == len(set(chosen)) == min(rows, 12)


def test_a_larger_model_costs_more_and_seconds_are_bounded() -> None:
    small, large = (row_cost(fitted("binary:logistic", 0, depth, rounds)[0]) for depth, rounds in ((2, 3), (6, 60)))
    assert large.shap > small.shap
    assert large.predict > small.predict
    assert explain.seconds_to_explain(10_000) == 1.0
    assert explain.seconds_to_explain(10**9) <= 10
    assert explain.seconds_to_explain(10**9, 60) <= 6


@pytest.mark.parametrize(
    ("task", "link", "transform", "said"),
    [
        ("binary", "logistic", "", "log-odds of yes"),
        ("multiclass", "softmax", "", "log-odds of the class"),
        ("regression", "identity", "", "the unit of price"),
        ("regression", "exp", "", "logarithm of price"),
        ("regression", "identity", "log1p", "logarithm of 1 + price"),
    ],
)
def test_the_unit_of_contributions_is_said(task: str, link: str, transform: str, said: str) -> None:
    assert unit_of(task, link, transform, "price", ["no", "yes"]).startswith(said)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_page_shows_what_predictions_are_made_of(task: str) -> None:
    found = explained(task)
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c")}.get(task, ())
    unlearned = {"trials": (), "importance": {}, "curve": Curve("rmse", (), ())}
    told = replace(story(task, 60), explanation=found, classes=classes, **unlearned)  # type: ignore[arg-type]
    names = set(report.plots(told)) - set(report.plots(replace(told, explanation=None)))
    assert names == {"contributions", "permutation"} | {f"effect_{n}" for n in range(1, 1 + len(found.effects))}
    html = report.render_report(told)
    assert len(html.encode()) < 700_000
    for sentence in ("What the predictions are made of", "Share of gain in training", "Largest errors", found.unit):
        assert sentence in html
    assert "nan" not in html.lower().replace("dominant", "")


def test_the_tables_for_machines_have_a_line_for_each_column_and_reason() -> None:
    found = explained("regression")
    columns, rows = (json.loads(json.dumps(table)) for table in (explain.column_table(found), explain.row_table(found)))
    assert [line[0] for line in columns["data"]] == [one.column for one in found.columns]
    assert {len(line) for line in rows["data"]} == {len(rows["columns"])}
    assert len(rows["data"]) == 12 * len(KINDS)


def test_every_kind_of_column_has_values_in_words_and_an_effect() -> None:
    rng = np.random.default_rng(0)
    n = 60
    when = pa.array(1_700_000_000 + rng.integers(0, 10**6, n), pa.int64()).cast(pa.timestamp("s", "Europe/Berlin"))
    table = pa.table(
        {
            "when": when,
            "flag": pa.array([bool(one) for one in rng.integers(0, 2, n)]),
            "size": pa.array([None if one == 0 else int(one) for one in rng.integers(0, 5, n)], pa.int64()),
            "plan": pa.array([None if one == 0 else int(one) for one in rng.integers(0, 4, n)], pa.int64()),
            "note": pa.array(rng.choice(["late again", "fine", ""], n)),
        }
    )
    spec = FeatureSpec(
        features=(
            Feature(name="when_hour", source="when", kind="date_part", part="hour"),
            Feature(name="flag", source="flag", kind="boolean"),
            Feature(name="size", source="size", kind="number"),
            Feature(name="plan", source="plan", kind="code", levels=("1", "2", "3")),
            Feature(name="note_7", source="note", kind="gram", bucket=7),
        ),
        timezone="Europe/Berlin",
    )
    line = Coefficients(weights=((0.1,), (1.0,), (2.0,), (1.0,), (1.0,)), intercept=(0.0,), spread=(1.0,) * 5)
    booster = linear_booster(line, objective="reg:squarederror", names=spec.names)
    model = SimpleNamespace(booster=booster, features=spec, post=Post(task="regression"), task="regression")
    rows = SourceRows.of(model, table, np.zeros(n), None, np.arange(n))  # type: ignore[arg-type]
    kinds = {name: shown_as(rows.model, table, name) for name in table.column_names}
    assert kinds == {"when": "moment", "flag": "levels", "size": "number", "plan": "levels", "note": "text"}
    for name in ("when", "flag", "size", "plan"):
        for strength in (0.0, 0.9):
            effect = column_effect(rows, table, name, ("x", strength), {"": -1})
            assert effect is not None
            assert np.isfinite(effect.lines[""]).all()
            assert len(effect.labels) == len(effect.at) == len(effect.lines[""])
    flags = column_effect(rows, table, "flag", ("", 0.0), {"": -1})
    assert flags is not None
    assert set(flags.labels) == {"true", "false"}
    assert "(missing)" in (column_effect(rows, table, "plan", ("", 0.0), {"": -1}) or flags).labels
    strength = associations(rows.model, table, table.column_names, 0)
    assert np.isfinite(strength).all()
    assert value_text(table["flag"], 0) in ("true", "false")
    assert value_text(pa.chunked_array([pa.array([None], pa.int64())]), 0) == "(missing)"
    assert value_text(pa.chunked_array([pa.array([1234567.25])]), 0) == "1,234,567"
    assert value_text(pa.chunked_array([pa.array(np.array(["2024-03-01"], dtype="datetime64[s]"))]), 0) == "2024-03-01"


def test_an_explanation_of_many_columns_with_odd_names_is_shown_never_run_and_stays_small() -> None:
    nasty = "<script>alert(1)</script> & \"a\" 'b' $x_1$ \x00\n列 " + "long" * 30
    rng = np.random.default_rng(0)
    columns = tuple(
        explain.ExplainedColumn(
            f"{nasty}{number}", 0.1, 1.0, 0.002, -0.9, drop=0.1, drop_lower=0.0, drop_upper=0.2,
            points=tuple((float(one), 0.5) for one in rng.normal(size=80)),
        )
        for number in range(500)
    )  # fmt: skip
    reasons = tuple(explain.RowReason(one.column, nasty, -0.5) for one in columns)
    found = explain.Explanation(
        "binary", "roc_auc", nasty, 9, 9, 9, 3, (0.0,), 0.0, columns,
        groups=(explain.CorrelatedColumns(tuple(one.column for one in columns), 0.9, 0.1, 0.0, 0.2),),
        examples=tuple(explain.ExplainedRow("highest", nasty, nasty, nasty, nasty, 0, 1, reasons) for _ in range(12)),
        effects=tuple(
            explain.ColumnEffect(nasty, nasty, nasty, kind, tuple(range(8)), (nasty,) * 8, {"": (0.5,) * 8}, (9,) * 8,
                                 tuple(range(9)))
            for kind in ("levels", "number", "moment")
        ),
    )  # fmt: skip
    html = report.render_report(story("binary", 60, explanation=found, trials=(), curve=Curve("rmse", (), ())))
    assert len(html.encode()) < 700_000
    assert "<script" not in html
    assert "\x00" not in html
