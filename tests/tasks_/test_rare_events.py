"""0.2% of the rows are positive: split, search, fit and evaluation work, and say what they know."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pyarrow as pa
import pytest

from treadle.tasks import evaluation, fitting, gate, lanes, preparation, refit, report, report_content, search, training
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.split import SplitSpec, split
from treadle.tasks.recipe import make_recipe

NUMBERS = ("a", "b", "c")
SCHEMA = Schema(
    columns=(
        Column(name="id", kind="integer"),
        *(Column(name=name, kind="number") for name in NUMBERS),
        Column(name="region", kind="text"),
        Column(name="fraud", kind="boolean"),
    )
)


def world(rows: int, positives: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, len(NUMBERS)))
    fraud = np.zeros(rows, dtype=bool)
    fraud[np.argsort(-(2 * x[:, 0] + 2 * x[:, 1] + draw.gumbel(size=rows)))[:positives]] = True
    return pa.table(
        {
            "id": draw.permutation(rows) + 10_000_000,
            **{name: x[:, index] for index, name in enumerate(NUMBERS)},
            "region": pa.array([f"r{code}" for code in draw.integers(0, 3, rows)]),
            "fraud": fraud,
        }
    )


@pytest.mark.parametrize(
    ("rows", "positives", "metric"),
    [
        (1_500, 3, "log_loss"),
        (5_000, 10, "roc_auc"),
        (5_000, 10, "average_precision"),
        (20_000, 40, "roc_auc"),
    ],
)
def test_a_model_of_rare_events_comes_about_and_its_page_too(rows: int, positives: int, metric: str) -> None:
    data = DataSpec(source="nowhere", target="fraud", task="binary", key=("id",), positive=True)
    config = PipelineConfig(name="fraud", data=data, split=SplitSpec(), tune=search.TuneSpec(metric=metric))
    problem = training.define(config, SCHEMA, [False, True])
    parts = split(world(rows, positives, 0), config.split, key=("id",), time="", target="fraud")
    prepared = preparation.prepare(config, problem, parts.open())
    found = search.run_search(
        optuna.storages.InMemoryStorage(),
        "rare",
        lanes.lay_rows(config, problem, parts.open(), prepared).course,
        spec=search.TuneSpec(trials=2, budget_seconds=600, metric=metric),
        device="cpu",
        on_trial=lambda *_: None,
    )
    assert math.isfinite(found.value)
    assert found.repeatable
    own = training.together(parts.train, parts.validation)
    recipe = make_recipe(
        config, problem, found, prepared, judged_rows=len(own), rows=len(parts.every_row()), device="cpu"
    )
    fitted = fitting.fit_judged(problem, recipe, parts.open(), config.split)
    served = refit.refit(problem, recipe, fitted.model, parts, config.split)
    assert math.isfinite(served.model.post.threshold)
    evidence = evaluation.evaluate_models(problem, fitted.model, None, own, parts.holdout, ("region",), 0)
    assert math.isfinite(evidence.scores["challenger"][metric])
    assert 0 < fitted.model.post.threshold < 1
    assert ((evidence.predictions.p > 0) & (evidence.predictions.p < 1)).all()
    if positives == 40:
        # as many predicted as there are, within what 40 positives can say
        assert 0.2 < evidence.predictions.p.mean() / 0.002 < 5
    verdict = gate.decide_verdict(gate.GateSpec(), evidence.judged, leaks=evidence.leaks, seed=0)
    if positives < 10:
        assert verdict.decision != "PROMOTE"
    story = report_content.story_of("fraud", problem, fitted.model, evidence, verdict, found, fitted.curve, {}, 1)
    assert "</html>" in report.render_report(story)
