"""One function fits all models of a recipe: bagged by folds or on all rows, with honest answers for rows left out."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from tests.tasks_.test_refit import SPLITS, TASKS, config, parted, table
from treadle.tasks import booster, features, fitting, refit, training, validation
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.metrics import metric_value
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import Recipe, make_recipe, recipe_parameters
from treadle.tasks.search import Found, Setting
from treadle.tasks.validation import Layout, dealt

PARAMS = {"eta": 0.2, "max_depth": 3, "nthread": 1}


def recipe_of(problem: training.Problem, rows: int, *, layout: str = "folds", members: int = 1, **prepared) -> Recipe:
    settings = tuple(
        Setting(params={**PARAMS, "max_depth": 2 + number}, rounds=10 + 5 * number, share=1 / members)
        for number in range(members)
    )
    found = Found(PARAMS, 20, 0.0, (), 0, 0.0, members=settings if members > 1 else ())
    decided = Preparation(layout=Layout(kind=layout), **prepared)
    return make_recipe(
        config(problem.task, "random"), problem, found, decided, judged_rows=rows, rows=rows, device="cpu"
    )


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("task", TASKS)
def test_a_bagged_model_is_the_average_of_its_folds_and_answers_by_those_that_did_not_see_the_row(
    task: str, members: int
) -> None:
    rows = table(task, 500, seed=1)
    problem, _ = parted(task, "random", rows)
    recipe = recipe_of(problem, len(rows), members=members)
    y = training.labels_as_numbers(problem, rows)
    folds = dealt(problem, rows, SplitSpec(), y, 0)
    fit = fitting.fit_recipe(problem, recipe, rows, folds, judged_rows=len(rows))
    X = features.encode(fit.features, rows)
    alone, margins, objective = [], 0.0, {"binary": "binary:logistic", "multiclass": "multi:softprob"}
    for fold in folds:
        own = 0.0
        for setting in recipe.settings:
            params = booster.complete_parameters(
                task, setting.params, classes=len(problem.classes), device="cpu", seed=recipe.seed
            )
            _, part = training.fitted_part(problem, fit.features, rows.take(fold.fitted), recipe.seed)
            fitted = booster.fit_booster(params, part, rounds=setting.rounds, names=fit.features.names)
            own = own + setting.share * booster.predict_margin(fitted, X).astype(np.float64)
        alone.append(own)
        margins = margins + own / len(folds)
    got = booster.predict_margin(fit.booster, X)
    assert np.abs(got - margins).max() < 1e-5 * np.abs(margins).max()
    assert fit.answered.all()
    for fold, own in zip(folds, alone, strict=True):
        raw = booster.from_margins(objective.get(task, "reg:squarederror"), own.astype(np.float32))
        assert fit.raw[fold.answered] == pytest.approx(raw[fold.answered], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("task", TASKS)
def test_bagged_too_other_holdout_values_change_no_byte_of_the_judged_model(task: str, kind: str) -> None:
    from tests.tasks_.test_refit import judged_bytes, with_other_holdout

    rows = table(task, 600, seed=1)
    models = []
    for one in (rows, with_other_holdout(rows, parted(task, kind, rows)[1].holdout, seed=2)):
        problem, parts = parted(task, kind, one)
        recipe = recipe_of(problem, 480, members=2, encodings={"c": ("codes", "statistics", "counts")})
        models.append(fitting.fit_judged(problem, recipe, parts.open(), SPLITS[kind]).model)
    assert judged_bytes(models[0]) == judged_bytes(models[1])


def levels(rows: int, count: int, seed: int, *, signal: float) -> tuple[training.Problem, pa.Table]:
    """A binary target that follows the level of a text column by `signal`, and is else pure chance."""
    draw = np.random.default_rng(seed)
    level = draw.integers(0, count, rows)
    effect = signal * np.random.default_rng(99).normal(size=count)
    y = draw.random(rows) < 1 / (1 + np.exp(-effect[level]))
    found = pa.table(
        {
            "id": np.arange(rows),
            "x": draw.normal(size=rows),
            "level": np.array([f"l{n}" for n in level]),
            "y": pa.array(y),
        }
    )
    schema = Schema(
        columns=tuple(
            Column(name=name, kind=kind)
            for name, kind in {"id": "integer", "x": "number", "level": "text", "y": "boolean"}.items()
        )
    )
    return training.define(config("binary", "random"), schema, [False, True]), found


def out_of_fold(problem: training.Problem, rows: pa.Table, encodings: dict[str, tuple[str, ...]]) -> float:
    recipe = recipe_of(problem, len(rows), encodings=encodings)
    y = training.labels_as_numbers(problem, rows)
    fit = fitting.fit_recipe(problem, recipe, rows, dealt(problem, rows, SplitSpec(), y, 0), judged_rows=len(rows))
    return metric_value("binary", "roc_auc", y, fit.raw)


def test_shuffled_labels_at_two_thousand_levels_are_answered_for_by_chance() -> None:
    values = []
    for seed in range(4):
        problem, rows = levels(8_000, 2_000, seed, signal=0.0)
        values.append(out_of_fold(problem, rows, {"level": ("statistics", "counts")}))
    assert all(0.46 < value < 0.54 for value in values)
    assert 0.48 < float(np.mean(values)) < 0.52


def test_statistics_beat_codes_where_order_means_nothing() -> None:
    problem, rows = levels(6_000, 300, 0, signal=1.5)
    codes = out_of_fold(problem, rows, {"level": ("codes",)})
    statistics = out_of_fold(problem, rows, {"level": ("statistics", "counts")})
    assert statistics > codes + 0.02


def test_each_fold_brings_statistics_of_its_own_and_the_model_carries_them_all() -> None:
    problem, rows = levels(2_000, 50, 0, signal=1.0)
    recipe = recipe_of(problem, len(rows), encodings={"level": ("statistics",)})
    y = training.labels_as_numbers(problem, rows)
    fit = fitting.fit_recipe(problem, recipe, rows, dealt(problem, rows, SplitSpec(), y, 0), judged_rows=len(rows))
    statistics = [feature for feature in fit.features.features if feature.kind == "statistic"]
    assert len(statistics) == 5
    assert len({feature.values for feature in statistics}) == 5


@pytest.mark.parametrize("kind", ["random", "group"])
def test_a_serving_model_is_bagged_with_more_rounds(kind: str) -> None:
    rows = table("binary", 800, seed=3)
    problem, parts = parted("binary", kind, rows)
    recipe = recipe_of(problem, len(parts.train) + len(parts.validation))
    judged = fitting.fit_judged(problem, recipe, parts.open(), SPLITS[kind]).model
    served = refit.refit(problem, recipe, judged, parts, SPLITS[kind])
    assert len(judged.booster.get_dump()) == 1 + 5 * recipe.rounds
    assert len(served.model.booster.get_dump()) > len(judged.booster.get_dump())
    assert list(served.holdout) == list(range(len(parts.holdout)))


def test_a_recipe_of_before_still_fits_one_booster_on_all_rows() -> None:
    rows = table("binary", 400, seed=3)
    problem, parts = parted("binary", "random", rows)
    recipe = recipe_of(problem, 300)
    kept = {"format", "task", "metric", "columns", "categories", "monotone", "params", "rounds", "serving_rounds"}
    kept |= {"seed", "device", "threads", "refit", "stopped"}
    old = Recipe.model_validate({key: value for key, value in recipe.model_dump(mode="json").items() if key in kept})
    assert old.layout == Layout()
    model = fitting.fit_judged(problem, old, parts.open(), SplitSpec()).model
    assert len(model.booster.get_dump()) == old.rounds


def test_a_line_is_taken_where_trees_are_not_surely_better_and_never_where_they_are() -> None:
    draw = np.random.default_rng(0)
    for wavy in (False, True):
        a, b = draw.normal(size=(2, 1_500))
        value = (np.sin(4 * a) * 3 if wavy else 2 * a) + b + draw.normal(size=1_500)
        rows = table("regression", 1_500, seed=0)
        for name, column in {"a": a, "b": b, "y": value}.items():
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(column))
        problem, _ = parted("regression", "random", rows)
        problem = dataclasses.replace(problem, columns=("a", "b"))
        parts = split(rows, SplitSpec(), key=("id",), time="", target="y")
        recipe = recipe_of(problem, 1_200)
        trees = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec())
        fitted, chosen, words = fitting.plainer_kind(problem, recipe, trees, parts.open(), SplitSpec())
        assert chosen.kind == ("trees" if wavy else "linear")
        assert words.startswith("a linear model scores rmse")
        served = refit.refit(problem, chosen, fitted.model, parts, SplitSpec())
        assert len(served.holdout) == len(parts.holdout)


def test_of_dated_rows_the_validation_rows_decide_between_line_and_trees_and_the_line_gets_windows_of_a_month() -> None:
    """What only trees can learn is true of the older windows, and no more of the validation rows."""
    draw, count = np.random.default_rng(0), 3_000
    a, b = draw.normal(size=(2, count))
    rows = table("binary", count, seed=0)
    spec = SplitSpec(strategy="time")
    newest = len(split(rows, spec, key=("id",), time="day", target="y").train)
    margin = b + np.where(np.arange(count) < newest, 4 * np.sin(4 * a), 0.0)
    for name, column in {"a": a, "b": b, "y": draw.random(count) < 1 / (1 + np.exp(-margin))}.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(column))
    problem, parts = parted("binary", "time", rows)
    problem = dataclasses.replace(problem, columns=("a", "b"))
    recipe = recipe_of(problem, count, layout="windows")
    trees = fitting.fit_judged(problem, recipe, parts.open(), spec)
    fitted, chosen, words = fitting.plainer_kind(problem, recipe, trees, parts.open(), spec)
    assert chosen.kind == "linear", words
    (rate,) = fitted.base_rates
    assert rate.interval is not None
    assert fitted.answers.answered.sum() > len(parts.validation)


def test_where_no_fold_can_be_left_out_the_model_is_fitted_on_all_rows_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, parts = parted("binary", "random", table("binary", 300, seed=1))
    recipe = recipe_of(problem, len(parts.train) + len(parts.validation))
    monkeypatch.setattr(validation, "search_folds", lambda *_: validation.single_fold(parts.open()))
    model = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec()).model
    assert len(model.booster.get_dump()) == recipe.rounds
    whole = training.together(parts.train, parts.validation)
    alone = recipe.model_copy(update={"layout": Layout()})
    expected = fitting.fit_recipe(problem, alone, whole, (), judged_rows=len(whole)).booster
    assert model.booster.save_raw("ubj") == expected.save_raw("ubj")


@pytest.mark.parametrize("seed", range(3))
def test_a_direction_and_groups_of_columns_bind_the_right_features_beside_a_date(seed: int) -> None:
    """A date becomes several features, which stand before the columns that are bound."""
    rows = table("regression", 600, seed=seed)
    problem, parts = parted("regression", "random", rows)
    recipe = recipe_of(problem, 480).model_copy(update={"monotone": {"a": -1}, "interactions": (("a",), ("b", "day"))})
    model = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec()).model
    spec = model.features
    assert [feature.source for feature in spec.features].index("a") > 1
    params = recipe_parameters(problem, recipe, spec)
    together = [{at for at, one in enumerate(spec.features) if one.source in group} for group in ({"a"}, {"b", "day"})]
    assert all(group in [set(one) for one in json.loads(str(params["interaction_constraints"]))] for group in together)
    X = features.encode(spec, rows.slice(0, 50))
    at = spec.names.index("a")
    answers = []
    for value in np.linspace(-3, 3, 30):
        X[:, at] = value
        answers.append(booster.predict_raw(model.booster, X))
    steps = np.diff(np.array(answers), axis=0)
    assert (steps <= 1e-4).all()
    alone = np.array(answers) - np.array(answers)[0]
    assert alone == pytest.approx(np.repeat(alone[:, :1], 50, axis=1), abs=1e-3), "'a' interacts with nothing"


def test_a_lines_recipe_says_nothing_of_trees() -> None:
    problem, _ = parted("binary", "random", table("binary", 300, seed=1))
    line = fitting.as_line(recipe_of(problem, 300, members=3, encodings={"c": ("statistics",)}))
    assert (line.kind, line.members, line.encodings, line.params) == ("linear", (), {}, {})
    assert line.sentence() == "a linear model"


def test_how_often_a_level_comes_later_is_not_known_to_a_fold_of_earlier_rows() -> None:
    """Levels that will come again have other labels: a count of all rows gives that away, one of fitted rows cannot."""
    draw = np.random.default_rng(0)
    rows, half = 3_000, 1_500
    level = np.concatenate([np.arange(half) % 500, draw.integers(0, 250, half)])
    y = level >= 250  # such a level never comes in the later half
    noise = draw.random(rows) < 0.5
    found = pa.table(
        {
            "id": np.arange(rows),
            "x": draw.normal(size=rows),
            "level": [f"l{n}" for n in level],
            "y": pa.array(y & noise),
        }
    )
    schema = Schema(
        columns=tuple(
            Column(name=name, kind=kind)
            for name, kind in {"id": "integer", "x": "number", "level": "text", "y": "boolean"}.items()
        )
    )
    problem = training.define(config("binary", "random"), schema, [False, True])
    spec = training.learn_features(problem, found, {"level": ("counts",)})
    closed, part = training.fitted_part(problem, spec, found.slice(0, half), 0, masked=False)
    at = closed.names.index("level.count")
    assert set(np.round(np.expm1(part.X[:, at]))) == {3.0}
    later = training.encoded_part(problem, closed, found.slice(half))
    assert set(np.round(np.expm1(later.X[:, at]))) == {3.0}
