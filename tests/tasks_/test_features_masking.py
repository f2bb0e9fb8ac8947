"""Unseen levels: a share of the known ones is masked where boosters are fitted, and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks_.test_refit import config
from treadle.tasks import booster, bundle, features, fitting, training
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.features import masking
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import Recipe, make_recipe
from treadle.tasks.search import Found
from treadle.tasks.validation import Layout

SHOPS = 12
NULL_RATE, BASE_RATE, NULLS = 0.126, 0.27, 0.12
KINDS = {"id": "integer", "shop": "text", "x": "number", "y": "boolean"}
SCHEMA = Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in KINDS.items()))
BOTH = ("statistics", "counts")


def sales(rows: int, seed: int) -> pa.Table:
    """Shops whose rates lie between .05 and .55, in any order of their names; no shop at all means a low rate."""
    draw = np.random.default_rng(seed)
    rates = draw.permutation(np.linspace(0.05, 0.55, SHOPS))
    rates *= (BASE_RATE - NULLS * NULL_RATE) / (1 - NULLS) / rates.mean()
    shop, none, x = draw.integers(0, SHOPS, rows), draw.random(rows) < NULLS, draw.normal(size=rows)
    rate = np.where(none, NULL_RATE, rates[shop])
    chance = 1 / (1 + np.exp(-np.log(rate / (1 - rate)) - 0.3 * x))
    named = [None if gone else f"shop {number:02}" for number, gone in zip(shop, none, strict=True)]
    return pa.table({"id": np.arange(rows), "shop": named, "x": x, "y": pa.array(draw.random(rows) < chance)})


def asked(shop: str | None) -> pa.Table:
    """Rows of one shop, over the quantiles of `x`."""
    x = np.sort(np.random.default_rng(7).normal(size=400))
    return pa.table(
        {"id": np.arange(400), "shop": pa.array([shop] * 400, pa.string()), "x": x, "y": pa.nulls(400, pa.bool_())}
    )


def recipe_of(problem: training.Problem, rows: int, encodings: tuple[str, ...], seed: int) -> Recipe:
    params = {"learning_rate": 0.08, "max_depth": 2, "min_child_weight": 1.0, "subsample": 0.8, "nthread": 1}
    prepared = Preparation(layout=Layout(kind="folds"), encodings={"shop": encodings})
    found = Found(params, 80, 0.0, (), 0, 0.0)
    whole = config("binary", "random", seed=seed)
    return make_recipe(whole, problem, found, prepared, judged_rows=rows, rows=rows, device="cpu")


def rate(model: bundle.Model, shop: str | None) -> float:
    return float(np.mean(bundle.predict_table(model, asked(shop))["probability"].to_numpy()))


@pytest.mark.parametrize("encodings", [("codes",), BOTH, ("codes", *BOTH), ("line",)])
@pytest.mark.parametrize("seed", range(3))
def test_an_unseen_shop_has_about_the_rate_of_all_shops_and_null_keeps_its_own(
    seed: int, encodings: tuple[str, ...]
) -> None:
    table = sales(1_000, seed)
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    parts = split(table, SplitSpec(), key=("id",), time="", target="y")
    rows = training.together(parts.train, parts.validation)
    recipe = recipe_of(problem, len(rows), ("codes",) if encodings == ("line",) else encodings, seed)
    recipe = fitting.as_line(recipe) if encodings == ("line",) else recipe
    model = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec()).model
    y, null = rows["y"].to_numpy(), rows["shop"].is_null().to_numpy()
    # calibration and threshold are fitted on the same answers, so that a rate may lie off by their noise too
    assert abs(rate(model, "never seen") - y.mean()) < 0.06
    assert abs(rate(model, None) - y[null].mean()) < 0.1
    assert rate(model, None) < rate(model, "never seen")


def test_without_masks_an_unseen_shop_has_the_rate_of_the_first_one() -> None:
    table = sales(3_000, 1)
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    parts = split(table, SplitSpec(), key=("id",), time="", target="y")
    earlier = recipe_of(problem, 2_400, ("codes",), 1).model_copy(update={"masked": False})
    model = fitting.fit_judged(problem, earlier, parts.open(), SplitSpec()).model
    assert rate(model, "never seen") == rate(model, "shop 00")
    assert Recipe.model_validate_json(earlier.model_dump_json(exclude={"masked"})).masked is False


@pytest.mark.parametrize("encodings", [("codes",), BOTH, ("codes", *BOTH)])
def test_a_masked_cell_is_to_the_booster_what_a_level_is_that_no_row_has(encodings: tuple[str, ...]) -> None:
    table = sales(2_000, 3)
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    spec = training.learn_features(problem, table, {"shop": encodings})
    closed, plain = training.fitted_part(problem, spec, table, 0, masked=False)
    again, part = training.fitted_part(problem, spec, table, 0)
    assert again == closed
    unseen = features.encode(closed, asked("never seen"))[0]
    of_shop = [index for index, one in enumerate(closed.features) if one.source == "shop"]
    changed = (part.X != plain.X) & ~(np.isnan(part.X) & np.isnan(plain.X))
    rows = changed[:, of_shop].any(axis=1)
    assert rows.sum() == masking.LEAST_MASKED
    assert (part.X[np.ix_(rows, of_shop)] == unseen[of_shop]).all()
    assert not changed[:, [index for index in range(len(closed.features)) if index not in of_shop]].any()
    assert not np.isnan(plain.X[rows][:, of_shop]).any(), "null is not masked"


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 4_000),
    nulls=st.floats(0, 1),
    task=st.sampled_from(["binary", "regression"]),
)
@settings(max_examples=30, deadline=None)
def test_masked_rows_are_few_known_repeatable_and_have_the_mean_of_all_known_ones(
    seed: int, rows: int, nulls: float, task: str
) -> None:
    draw = np.random.default_rng(seed)
    codes = np.where(draw.random(rows) < nulls, np.nan, draw.integers(0, 9, rows).astype(float))
    y = (draw.random(rows) < 0.2).astype(float) if task == "binary" else draw.normal(size=rows)
    most = masking.MOST_MASKED_SHARE
    at = masking._chosen_rows(codes, y, (seed, 1), most)
    known = int(np.isfinite(codes).sum())
    assert len(set(at.tolist())) == len(at) <= max(most, masking.MASKED_SHARE) * known
    assert np.isfinite(codes[at]).all()
    assert np.array_equal(at, masking._chosen_rows(codes, y, (seed, 1), most))
    if len(at) >= 20:
        apart = y[at].mean() - y[np.isfinite(codes)].mean()
        assert abs(apart) <= (1.5 if task == "binary" else 4 * y.std()) / len(at)


def test_rare_levels_count_as_masked() -> None:
    """Levels of single rows teach what masks would: of columns that are full of them nothing is masked."""
    names = [f"v{one:04}" for one in range(900)] + ["often"] * 2_000 + [f"two {one % 200}" for one in range(400)]
    table = pa.table({"id": np.arange(len(names)), "shop": names, "x": np.ones(len(names))})
    table = table.append_column("y", pa.array(np.arange(len(names)) % 2 == 0))
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    spec = training.learn_features(problem, table)
    plain, part = (training.fitted_part(problem, spec, table, 0, masked=masked)[1] for masked in (False, True))
    assert np.array_equal(plain.X, part.X)


def test_other_seeds_mask_other_cells_and_another_column_changes_none() -> None:
    table = sales(2_000, 4)
    wider = Schema(columns=(*SCHEMA.columns[:3], Column(name="other", kind="text"), SCHEMA.columns[3]))
    more = table.append_column("other", pa.array([f"o{one % 7}" for one in range(len(table))]))
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    both = dataclasses.replace(problem, schema=wider, columns=("shop", "x", "other"))
    found = {
        (name, seed): training.fitted_part(of, training.learn_features(of, rows), rows, seed)[1].X[:, 0]
        for name, of, rows in (("alone", problem, table), ("beside", both, more))
        for seed in (0, 1)
    }
    for seed in (0, 1):
        assert np.array_equal(found["alone", seed], found["beside", seed], equal_nan=True)
    assert not np.array_equal(found["alone", 0], found["alone", 1], equal_nan=True)


def test_rows_that_are_answered_for_are_never_masked() -> None:
    """The answers of a fold are those of its booster for the rows as they are."""
    table = sales(1_000, 5)
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    parts = split(table, SplitSpec(), key=("id",), time="", target="y")
    rows = training.together(parts.train, parts.validation)
    recipe = recipe_of(problem, len(rows), ("codes",), 0)
    y = training.labels_as_numbers(problem, rows)
    folds = fitting.judged_folds(problem, recipe, parts.open(), SplitSpec(), y)
    fit = fitting.fit_recipe(problem, recipe, rows, folds, judged_rows=len(rows))
    spec = training.learn_features(problem, rows)
    for fold, lane in zip(folds, training.lane_rows(problem, spec, rows, folds, 0), strict=True):
        as_they_are = features.encode(spec, rows.take(fold.answered))
        assert np.array_equal(lane.measured.X, as_they_are, equal_nan=True)
        params = booster.complete_parameters("binary", recipe.params, classes=2, device="cpu", seed=recipe.seed)
        own = booster.fit_booster(params, lane.fitted, rounds=recipe.rounds, names=spec.names)
        assert fit.raw[fold.answered] == pytest.approx(booster.predict_raw(own, as_they_are), abs=1e-6)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", ["integer", "text"])
def test_integers_that_are_categories_are_masked_like_text(kind: str, masked: bool) -> None:
    numbers = np.arange(1_000) % 5
    column = pa.array(numbers) if kind == "integer" else pa.array([f"v{one}" for one in numbers])
    table = pa.table({"id": np.arange(1_000), "c": column, "y": pa.array(numbers == 2)})
    columns = (Column(name="id", kind="integer"), Column(name="c", kind=kind), Column(name="y", kind="boolean"))
    problem = training.define(config("binary", "random"), Schema(columns=columns), [False, True])
    problem = dataclasses.replace(problem, categories=("c",))
    part = training.fitted_part(problem, training.learn_features(problem, table), table, 0, masked=masked)[1]
    assert int((part.X == features.OTHER).sum()) == (masking.LEAST_MASKED if masked else 0)
