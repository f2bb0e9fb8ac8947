"""Intervals from a second booster: taken where they are narrower, kept in the bundle, the same in the scorer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from treadle.tasks import bundle, evaluation, fitting, refit, training
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.errors import BundleError
from treadle.tasks.interval import QUANTILE_ROUNDS, ends, fit_bands
from treadle.tasks.lanes import effort_of_fits
from treadle.tasks.prepared import Preparation
from treadle.tasks.quantiles import QuantileFits
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Aftermath, Found, TuneSpec
from treadle.tasks.validation import Layout, choose_layout, quantiles_affordable, single_fold

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.tasks.bundle import Model
    from treadle.tasks.dataset import Parts

FACTS = bundle.BundleFacts(data_version="rows@1", config_digest="c", seed=1)
SPLIT = SplitSpec()


def table(rows: int, seed: int, *, wide: float = 6.0) -> pa.Table:
    """A target whose spread depends on a column that its mean does not depend on, `wide` times as wide for a half."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=rows), draw.random(rows)
    y = a + draw.normal(size=rows) * np.where(b > 0.5, wide, 1.0)
    return pa.table({"id": np.arange(rows), "a": a, "b": b, "y": y})


def fitted(rows: pa.Table, layout: Layout) -> tuple[Model, Parts, training.Problem, object]:
    config = PipelineConfig(
        name="t", data=DataSpec(source="x", target="y", task="regression", key=("id",)), tune=TuneSpec(seed=1)
    )
    kinds = {"id": "integer"}
    schema = Schema(columns=tuple(Column(name=name, kind=kinds.get(name, "number")) for name in rows.column_names))
    problem = training.define(config, schema, training.labels(rows, "y"))
    parts = split(rows, SPLIT, key=("id",), time="", target="y")
    own = len(parts.train) + len(parts.validation)
    found = Found({"learning_rate": 0.2, "max_depth": 3, "nthread": 1}, 15, 0.0, (), 0, 0.0)
    prepared = Preparation(layout=layout)
    recipe = make_recipe(config, problem, found, prepared, judged_rows=own, rows=len(rows), device="cpu")
    return fitting.fit_judged(problem, recipe, parts.open(), SPLIT).model, parts, problem, recipe


@pytest.fixture(scope="module")
def made() -> tuple[Model, Parts, training.Problem, object]:
    return fitted(table(2_500, 0), Layout(kind="folds", quantiles=True))


def held(model: Model, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Which values lie in their interval, and the widths."""
    columns = bundle.predict_table(model, rows)
    lower, upper, y = (np.asarray(one) for one in (columns["lower"], columns["upper"], rows["y"]))
    return (y >= lower) & (y <= upper), upper - lower


def test_quantiles_are_taken_where_the_spread_depends_on_a_column_and_hold_nine_tenths(made: tuple) -> None:
    model, _, _, _ = made
    assert model.interval is not None
    later = table(6_000, 7)
    inside, widths = held(model, later)
    noisy = np.asarray(later["b"]) > 0.5
    assert inside.mean() == pytest.approx(0.9, abs=0.03)
    assert widths[noisy].mean() > 3 * widths[~noisy].mean()
    for half in (noisy, ~noisy):
        assert inside[half].mean() == pytest.approx(0.9, abs=0.05)


def test_bands_are_taken_where_quantiles_are_not_surely_narrower() -> None:
    model, _, _, _ = fitted(table(1_500, 1, wide=1.0), Layout(kind="folds", quantiles=True))
    assert model.interval is None
    assert model.post.bands is not None
    assert model.post.bands.quantiles == ""


def test_without_time_for_them_no_quantiles_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuantileFits, "fit", lambda *_: pytest.fail("fitted"))
    assert fitted(table(600, 2), Layout(kind="folds"))[0].interval is None


@pytest.mark.parametrize(
    "layout", [Layout(kind="folds", quantiles=True), Layout(kind="folds", bagged=False, quantiles=True)]
)
def test_the_serving_model_has_its_own_quantiles(made: tuple, layout: Layout) -> None:
    judged, parts, problem, recipe = made
    recipe = recipe.model_copy(update={"layout": layout})
    served = refit.refit(problem, recipe, judged, parts, SPLIT).model
    assert served.interval is not None
    assert held(served, table(6_000, 8))[0].mean() == pytest.approx(0.9, abs=0.03)
    bands_only = dataclasses.replace(judged, interval=None)
    assert refit.refit(problem, recipe, bands_only, parts, SPLIT).model.interval is None


def test_a_bundle_keeps_the_second_booster_and_counts_its_size(made: tuple, tmp_path: Path) -> None:
    model, parts, _, _ = made
    folder = tmp_path / "bundle"
    bundle.write_bundle(folder, model, golden=parts.train, reference=parts.train, facts=FACTS)
    loaded = bundle.load_bundle(folder)
    assert bundle.predict_table(loaded, parts.holdout).equals(bundle.predict_table(model, parts.holdout))
    bundle.check_golden(loaded, folder)
    size = sum((folder / "serving" / name).stat().st_size for name in ("model.ubj", "interval.ubj"))
    assert bundle.model_bytes(folder) == size
    damaged = (folder / "serving" / "interval.ubj").read_bytes()
    (folder / "serving" / "interval.ubj").write_bytes(damaged[:-1] + b"?")
    with pytest.raises(BundleError, match=r"interval\.ubj' is damaged"):
        bundle.load_bundle(folder)
    (folder / "serving" / "interval.ubj").unlink()
    with pytest.raises(BundleError, match=r"interval\.ubj' is missing"):
        bundle.load_bundle(folder)


def test_the_report_is_made_of_the_delivered_intervals(made: tuple) -> None:
    model, parts, problem, _ = made
    evidence = evaluation.evaluate_models(problem, model, None, parts.train, parts.holdout, (), 0, SPLIT)
    delivered = bundle.predict_table(model, parts.holdout)
    assert evidence.predictions.columns.equals(delivered)


def test_ends_without_the_quantiles_that_they_need_are_unknown() -> None:
    draw = np.random.default_rng(0)
    y, p = draw.normal(size=900) * np.repeat([1.0, 9.0], 450), np.zeros(900)
    quantiles = np.column_stack([np.repeat(one * np.array([1.6, 14.0]), 450) for one in (-1.0, 1.0)])
    bands = fit_bands(y, p, quantiles=quantiles, quantile_scale="own")
    assert bands.quantiles == "own"
    assert np.isnan(ends(bands, p)[0]).all()
    assert np.isfinite(ends(bands, p, quantiles)[0]).all()


def test_quantiles_are_planned_where_the_budget_allows_and_their_work_is_counted() -> None:
    plan = {"rows": 2_000, "columns": 8, "outputs": 1, "folds": "auto"}
    assert choose_layout(SPLIT, budget=600, quantiles=True, **plan).quantiles
    assert not choose_layout(SPLIT, budget=600, **plan).quantiles
    assert not choose_layout(SPLIT, budget=2, quantiles=True, **plan).quantiles
    assert quantiles_affordable(1.0, 100)
    assert not quantiles_affordable(5.0, 100)
    alone, both = (Aftermath(2.0, more_rounds=Layout(quantiles=one).quantile_trees) for one in (False, True))
    assert alone.seconds((3.0, 600)) == pytest.approx(6.0)
    assert both.seconds((3.0, 600)) == pytest.approx(6.0 + 2.0 * 2 * QUANTILE_ROUNDS * 3.0 / 600)
    # the second booster is one, however many members the first has
    assert both.seconds((3.0, 600), (3.0, 600)) - both.seconds((3.0, 600)) == pytest.approx(6.0)


@pytest.mark.parametrize("layout", [Layout(kind="folds"), Layout(kind="windows"), Layout(dear=True)])
def test_the_fit_of_the_champions_recipe_is_counted(layout: Layout) -> None:
    _, parts, _, _ = fitted(table(400, 3), Layout())
    folds = single_fold(parts.open())
    alone, both = (
        effort_of_fits(layout, parts.open(), folds, refit=True, classes=True, opponent=one) for one in (False, True)
    )
    assert 1.2 * alone < both < 2.0 * alone
