"""Two boosters of one recipe: the judged one never sees the holdout, the serving one learns from all rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import booster, bundle, features, fitting, postprocess, refit, training, validation
from treadle.tasks.bundle.manifest import canonical_json
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import Column, Parts, Schema, SplitSpec, folds, split
from treadle.tasks.errors import TargetError
from treadle.tasks.gate import GateSpec
from treadle.tasks.metrics import metric_value
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import by_recipe, make_recipe, serving_rounds
from treadle.tasks.search import Found, TuneSpec
from treadle.tasks.validation import Layout

if TYPE_CHECKING:
    from treadle.tasks.bundle import Model
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.training import Problem

SPLITS = {
    "random": SplitSpec(),
    "group": SplitSpec(strategy="group", group="shop"),
    "time": SplitSpec(strategy="time"),
}
TASKS = ("binary", "multiclass", "regression")
KINDS = {"binary": "boolean", "multiclass": "text", "regression": "number"}


def schema(task: str) -> Schema:
    kinds = {"id": "integer", "day": "date", "shop": "text", "a": "number", "b": "number", "c": "text"}
    columns = [Column(name=name, kind=kind) for name, kind in kinds.items()]
    return Schema(columns=(*columns, Column(name="y", kind=KINDS[task])))


def table(task: str, rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=rows), draw.normal(size=rows)
    level = draw.integers(0, 4, rows)
    value = 2 * a + b * (level == 1) + draw.normal(size=rows) * 0.5
    labels = {
        "binary": pa.array(value > 0.5),
        "multiclass": pa.array(np.array(["low", "mid", "top"])[np.digitize(value, [-1, 1])]),
        "regression": pa.array(value),
    }
    return pa.table(
        {
            "id": np.arange(rows),
            "day": pa.array(np.sort(draw.integers(15_000, 15_200, rows)).astype("int32")).cast(pa.date32()),
            "shop": draw.choice([f"s{number}" for number in range(40)], rows),
            "a": a,
            "b": b,
            "c": np.array(["p", "q", "r", "s"])[level],
            "y": labels[task],
        }
    )


def config(task: str, kind: str, *, refit: str = "all", seed: int = 0) -> PipelineConfig:
    data = DataSpec(source="x", target="y", task=task, key=("id",), time="day" if kind == "time" else "")
    whole = PipelineConfig(name="shop", data=data, split=SPLITS[kind], tune=TuneSpec(seed=seed))
    return whole.model_copy(update={"model": whole.model.model_copy(update={"refit": refit})})


def parted(task: str, kind: str, rows: pa.Table) -> tuple[Problem, Parts]:
    of = config(task, kind)
    problem = training.define(of, schema(task), training.labels(rows, "y"))
    return problem, split(rows, of.split, key=("id",), time=of.data.time, target="y")


def fitted(
    task: str, kind: str, problem: Problem, parts: Parts, rounds: int = 30, *, bagged: bool = False
) -> tuple[Recipe, Model]:
    found = Found({"eta": 0.2, "max_depth": 3, "nthread": 1}, rounds, 0.0, (), 0, 0.0)
    own = len(parts.train) + len(parts.validation)
    recipe = make_recipe(
        config(task, kind),
        problem,
        found,
        Preparation(layout=Layout(kind="folds") if bagged else Layout()),
        judged_rows=own,
        rows=own + len(parts.holdout),
        device="cpu",
    )
    return recipe, fitting.fit_judged(problem, recipe, parts.open(), SPLITS[kind]).model


def answers(model: Model, rows: pa.Table) -> np.ndarray:
    raw = booster.predict_raw(model.booster, features.encode(model.features, rows))
    return postprocess.apply_postprocess(model.post, raw).p


def judged_bytes(model: Model) -> tuple[bytes, bytes]:
    return bytes(model.booster.save_raw("ubj")), canonical_json(model.spec())


def with_other_holdout(rows: pa.Table, holdout: pa.Table, seed: int) -> pa.Table:
    """The same table, with all that a model could learn from in the holdout rows dealt anew among them."""
    draw = np.random.default_rng(seed)
    held = np.isin(rows["id"].to_numpy(), holdout["id"].to_numpy())
    order = np.arange(len(rows))
    order[held] = draw.permutation(order[held])
    for name in ("a", "b", "c", "y"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].take(pa.array(order)))
    return rows


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("task", TASKS)
def test_other_values_in_the_holdout_change_no_byte_of_the_judged_model(task: str, kind: str) -> None:
    rows = table(task, 600, seed=1)
    problem, parts = parted(task, kind, rows)
    changed_problem, changed = parted(task, kind, with_other_holdout(rows, parts.holdout, seed=2))
    assert not changed.holdout.equals(parts.holdout)
    (recipe, judged), (same_recipe, again) = (
        fitted(task, kind, *both) for both in ((problem, parts), (changed_problem, changed))
    )
    assert judged_bytes(again) == judged_bytes(judged)
    assert same_recipe == recipe
    first, second = (
        refit.refit(one, recipe, judged, of, SPLITS[kind]).model
        for one, of in ((problem, parts), (changed_problem, changed))
    )
    assert judged_bytes(first) != judged_bytes(second), "the serving one learns from them"


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("task", TASKS)
def test_a_serving_model_is_fitted_on_all_rows_with_the_recipes_rounds(task: str, kind: str) -> None:
    rows = table(task, 600, seed=3)
    problem, parts = parted(task, kind, rows)
    recipe, judged = fitted(task, kind, problem, parts)
    served = refit.refit(problem, recipe, judged, parts, SPLITS[kind])
    classes = max(1, len(problem.classes)) if task == "multiclass" else 1
    assert served.model.booster.num_boosted_rounds() == recipe.serving_rounds
    assert recipe.serving_rounds == serving_rounds(30, len(rows) - len(parts.holdout), len(rows)) > 30
    assert len(served.model.booster.get_dump()) == recipe.serving_rounds * classes
    whole = parts.every_row()
    assert sorted(whole["id"].to_pylist()) == list(range(600))
    assert list(served.holdout) == list(range(len(parts.holdout))), "each holdout row was answered for"
    assert served.p.shape[0] == len(parts.holdout)


@pytest.mark.parametrize("kind", SPLITS)
def test_holdout_rows_are_answered_for_by_models_that_have_not_seen_them(kind: str) -> None:
    """A column that is the label: whoever has seen a row's label there gives it away."""
    draw = np.random.default_rng(7)
    rows = table("binary", 500, seed=4)
    rows = rows.set_column(rows.column_names.index("y"), "y", pa.array(draw.random(500) < 0.5))
    problem, parts = parted("binary", kind, rows)
    recipe, judged = fitted("binary", kind, problem, parts, rounds=200)
    served = refit.refit(problem, recipe, judged, parts, SPLITS[kind])
    y = training.encoded_part(problem, served.model.features, parts.holdout).y
    seen = metric_value("binary", "roc_auc", y, answers(served.model, parts.holdout))
    unseen = metric_value("binary", "roc_auc", y, served.p)
    assert seen > 0.9
    assert unseen < 0.65


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("task", TASKS)
def test_a_refit_on_rows_like_the_others_is_not_refused(task: str, kind: str) -> None:
    for seed in range(5):
        rows = table(task, 900, seed=seed)
        problem, parts = parted(task, kind, rows)
        recipe, judged = fitted(task, kind, problem, parts)
        served = refit.refit(problem, recipe, judged, parts, SPLITS[kind])
        assert refit.refusal(GateSpec(), SPLITS[kind], problem, judged, parts.holdout, served) == ""


def test_a_refit_that_gets_worse_is_refused_with_a_reason() -> None:
    rows = table("binary", 2000, seed=5)
    problem, parts = parted("binary", "random", rows)
    recipe, judged = fitted("binary", "random", problem, parts)
    spoiled = recipe.model_copy(update={"params": {**recipe.params, "eta": 1e-6, "max_depth": 1}})
    served = refit.refit(problem, spoiled, judged, parts, SPLITS["random"])
    reason = refit.refusal(GateSpec(), SPLITS["random"], problem, judged, parts.holdout, served)
    assert reason.startswith("fitted on all rows it gets worse: roc_auc")
    assert 'model.refit = "none"' in reason


def test_an_interval_from_rows_not_fitted_on_is_wider_than_one_from_rows_fitted_on() -> None:
    rows = table("regression", 600, seed=6)
    problem, parts = parted("regression", "random", rows)
    recipe, judged = fitted("regression", "random", problem, parts, rounds=300)
    served = refit.refit(problem, recipe, judged, parts, SPLITS["random"]).model
    whole = parts.every_row()
    residuals = np.abs(answers(served, whole) - whole["y"].to_numpy())
    ends = bundle.predict_table(served, whole)
    assert np.mean(ends["upper"].to_numpy() - ends["lower"].to_numpy()) / 2 > 2 * np.quantile(residuals, 0.9)


@pytest.mark.parametrize(("rows", "fitted"), [(100, 5), (20_000, 5), (26_000, 4), (50_000, 2), (200_000, 1)])
def test_on_many_rows_fewer_folds_are_fitted(rows: int, fitted: int) -> None:
    y = np.random.default_rng(0).integers(0, 2, rows)
    chosen = validation.usable_folds(y, folds.dealt_folds(y, 0))
    assert len(chosen) == fitted
    assert sum(len(fold.answered) for fold in chosen) >= min(rows, validation.ANSWERED)


@pytest.mark.parametrize(
    ("rounds", "judged_rows", "rows", "expected"),
    [(100, 80, 100, 112), (100, 100, 100, 100), (1, 1, 1, 1), (7, 95, 100, 7), (100, 50, 100, 141)],
)
def test_rounds_grow_by_the_root_of_the_rows(rounds: int, judged_rows: int, rows: int, expected: int) -> None:
    assert serving_rounds(rounds, judged_rows, rows) == expected


def test_a_recipe_follows_its_own_columns_or_says_which_is_gone() -> None:
    rows = table("binary", 400, seed=8)
    problem, parts = parted("binary", "random", rows)
    recipe, _ = fitted("binary", "random", problem, parts)
    narrower = recipe.model_copy(update={"columns": ("a", "c")})
    assert by_recipe(problem, narrower).columns == ("a", "c")
    with pytest.raises(TargetError, match="'gone' is not in the rows any more"):
        by_recipe(problem, recipe.model_copy(update={"columns": ("a", "gone")}))
    with pytest.raises(TargetError, match="'y' was one of its columns"):
        by_recipe(problem, recipe.model_copy(update={"columns": ("a", "y")}))
    with pytest.raises(TargetError, match="was a regression task"):
        by_recipe(problem, recipe.model_copy(update={"task": "regression"}))


def test_a_task_with_too_few_of_a_class_to_leave_any_out_keeps_the_judged_calibration() -> None:
    rows = table("binary", 300, seed=9)
    problem, parts = parted("binary", "random", rows)
    recipe, judged = fitted("binary", "random", problem, parts)
    one_class = {
        field.name: part.set_column(part.column_names.index("y"), "y", pa.array([False] * len(part), pa.bool_()))
        for field in dataclasses.fields(parts)
        if (part := getattr(parts, field.name)) is not None
    }
    served = refit.refit(problem, recipe, judged, Parts(**one_class), SPLITS["random"])
    assert served.model.post == judged.post
    assert len(served.holdout) == 0
    assert bundle.predict_table(served.model, parts.holdout).num_rows == len(parts.holdout)


@pytest.mark.parametrize("kind", SPLITS)
def test_where_fits_are_dear_the_judged_models_answers_for_the_holdout_calibrate_the_serving_one(kind: str) -> None:
    rows = table("regression", 600, seed=6)
    problem, parts = parted("regression", kind, rows)
    recipe, judged = fitted("regression", kind, problem, parts)
    dear = recipe.model_copy(update={"layout": Layout(dear=True)})
    served = refit.refit(problem, dear, judged, parts, SPLITS[kind])
    assert list(served.holdout) == list(range(len(parts.holdout)))
    assert served.p == pytest.approx(answers(judged, parts.holdout))
    residuals = parts.holdout["y"].to_numpy() - answers(judged, parts.holdout)
    bands = served.model.post.bands
    assert bands is not None
    assert all(np.isclose(residuals, end, rtol=1e-5).any() for end in (*bands.lower, *bands.upper))
    assert served.model.booster.num_boosted_rounds() == recipe.serving_rounds
    assert refit.refusal(GateSpec(), SPLITS[kind], problem, judged, parts.holdout, served) == ""
