"""Worlds whose truth is known, and small real models of them, by the same functions that a training run calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from treadle.tasks import evaluation, fitting, gate, training
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.dataset.judging import FittedRows, judging
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found, TuneSpec

if TYPE_CHECKING:
    from treadle.tasks.bundle import Model
    from treadle.tasks.gate import Judged, Verdict

NUMBERS = tuple(f"x{number}" for number in range(7))
SCHEMA = Schema(
    columns=(
        Column(name="id", kind="integer"),
        *(Column(name=name, kind="number") for name in NUMBERS),
        Column(name="place", kind="text"),
        Column(name="y", kind="boolean"),
    )
)
PARAMS = {"max_depth": 3, "eta": 0.15, "subsample": 0.8, "colsample_bytree": 0.8, "nthread": 1}
ROUNDS = 40


def world(rows: int, seed: int, *, shuffled: bool = False) -> pa.Table:
    """Rows with seven numbers, a place and a label that they say something about; ids are the seed's own."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, len(NUMBERS)))
    place = draw.integers(0, 5, rows)
    odds = 0.9 * x[:, 0] + 0.6 * x[:, 1] * x[:, 2] + 0.5 * np.sin(2 * x[:, 3]) + 0.48 * x[:, 4] + 0.3 * (place == 2)
    y = draw.random(rows) < 1 / (1 + np.exp(-odds))
    return pa.table(
        {
            "id": seed * 1_000_000 + np.arange(rows),
            **{name: x[:, index] for index, name in enumerate(NUMBERS)},
            "place": pa.array([f"p{code}" for code in place]),
            "y": draw.permutation(y) if shuffled else y,
        }
    )


@dataclass(frozen=True)
class Trained:
    """A model, its problem, the rows that it was fitted on and those that it was not."""

    problem: training.Problem
    model: Model
    fitted: FittedRows
    holdout: pa.Table


def train(rows: pa.Table, seed: int, *, drop: tuple[str, ...] = (), rounds: int = ROUNDS) -> Trained:
    data = DataSpec(source="nowhere", target="y", task="binary", key=("id",), positive=True, drop=drop)
    config = PipelineConfig(name="planted", data=data, split=SplitSpec())
    problem = training.define(config, SCHEMA, [False, True])
    parts = split(rows, config.split, key=("id",), time="", target="y")
    found = Found(params=PARAMS, rounds=rounds, value=0.0, trials=(), resumed=0, seconds=0.0)
    config = config.model_copy(update={"tune": TuneSpec(seed=seed)})
    recipe = make_recipe(config, problem, found, judged_rows=len(rows), rows=len(rows), device="cpu")
    fitted = fitting.fit_judged(problem, recipe, parts.open(), config.split)
    own = training.together(parts.train, parts.validation)
    return Trained(problem, fitted.model, FittedRows(own, config.split, ("id",), "", "y"), parts.holdout)


def judged(challenger: Trained, champion: Trained | None, holdout: pa.Table, seed: int) -> tuple[Judged, Verdict]:
    """What a training run would hand to the gate, and its verdict by the defaults."""
    champion_before = None
    if champion is not None:
        new, left_out = judging(holdout, challenger.fitted, champion.fitted)
        champion_before = evaluation.ComparedChampion(1, champion.model, new, left_out)
    evidence = evaluation.evaluate_models(
        challenger.problem, challenger.model, champion_before, challenger.fitted.rows, holdout, (), seed
    )
    verdict = gate.decide_verdict(gate.GateSpec(), evidence.judged, leaks=evidence.leaks, seed=seed)
    return evidence.judged, verdict


def swapped(of: Judged, seed: int) -> Verdict:
    """The verdict if the two changed places."""
    return gate.decide_verdict(gate.GateSpec(), replace(of, challenger=of.champion, champion=of.challenger), seed=seed)
