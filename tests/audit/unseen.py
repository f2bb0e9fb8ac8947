"""What a model answers for a level that training has not seen, and what it costs to teach it that.

Shops of different rates beside a null that has a rate of its own, over several encodings, settings and sizes; then
tables of known levels only, where masked cells must not lose anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tests.tasks_.test_features_masking import SCHEMA, asked, recipe_of, sales
from tests.tasks_.test_refit import config
from treadle.tasks import booster, bundle, features, fitting, training
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.metrics import metric_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPEATS = 4
STATISTICS = ("statistics", "counts")
ENCODINGS = {"codes": ("codes",), "statistics": STATISTICS, "both": ("codes", *STATISTICS), "line": ("codes",)}
SETTINGS: dict[str, dict[str, str | int | float]] = {
    "default": {"learning_rate": 0.08, "max_depth": 6, "min_child_weight": 1.0, "subsample": 0.9, "nthread": 1},
    "strict": {"learning_rate": 0.06, "max_depth": 3, "min_child_weight": 8.0, "subsample": 0.6, "reg_lambda": 30.0}
    | {"nthread": 1},
}
ROUNDS = {"default": 40, "strict": 200}


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies repetitions."""
    seeds = [seed * 1_000 + repeat for repeat in range(REPEATS * scale)]
    for count in (1_000, 10_000):
        for name, encodings in ENCODINGS.items():
            for kind in SETTINGS if name != "line" and count == 1_000 else ("default",):
                apart = np.array([rates(one, count, encodings, kind, line=name == "line") for one in seeds])
                experiment = f"{count:,} rows, {name}, {kind}"
                yield experiment, "|unseen - base rate|, mean", float(np.abs(apart[:, 0]).mean()), 0.03
                yield experiment, "|unseen - base rate|, largest", float(np.abs(apart[:, 0]).max()), 0.07
                yield experiment, "|null - its rate|, mean", float(np.abs(apart[:, 1]).mean()), 0.05
    for levels in (3, 12, 500):
        for kind in SETTINGS:
            gains = np.array([gain_of_masks(one, levels, kind) for one in seeds])
            error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
            yield (
                f"{levels} known levels, {kind}",
                "log loss with masks - without",
                float(gains.mean()),
                2 * error + 1e-3,
            )


def rates(seed: int, count: int, encodings: tuple[str, ...], kind: str, *, line: bool) -> tuple[float, float]:
    """How far a bagged, calibrated model's mean answers for unseen and for null lie from the rates in its rows."""
    table = sales(count, seed)
    problem = training.define(config("binary", "random"), SCHEMA, [False, True])
    parts = split(table, SplitSpec(), key=("id",), time="", target="y")
    known = training.together(parts.train, parts.validation)
    recipe = recipe_of(problem, len(known), encodings, seed)
    recipe = recipe.model_copy(
        update={"params": SETTINGS[kind], "rounds": ROUNDS[kind], "serving_rounds": ROUNDS[kind]}
    )
    recipe = fitting.as_line(recipe) if line else recipe
    model = fitting.fit_judged(problem, recipe, parts.open(), SplitSpec()).model
    y, null = known["y"].to_numpy(), known["shop"].is_null().to_numpy()
    unseen, none = (
        float(np.mean(bundle.predict_table(model, asked(shop))["probability"].to_numpy()))
        for shop in ("never seen", None)
    )
    return unseen - float(y.mean()), none - float(y[null].mean())


def gain_of_masks(seed: int, levels: int, kind: str) -> float:
    """The log loss on later rows of known levels with masks, less that without."""
    draw = np.random.default_rng(seed)
    effect, count = draw.normal(size=(4, levels)), 6_000
    level, x = draw.integers(0, levels, (4, count)), draw.normal(size=count)
    margin = 0.6 * effect[np.arange(4)[:, None], level].sum(axis=0) + 0.5 * x - 1
    y = draw.random(count) < 1 / (1 + np.exp(-margin))
    columns: Mapping[str, object] = {f"c{one}": [f"v{code:03}" for code in level[one]] for one in range(4)}
    table = pa.table({"id": np.arange(count), **columns, "x": x, "y": pa.array(y)})
    kinds = {"id": "integer", **dict.fromkeys(columns, "text"), "x": "number", "y": "boolean"}
    schema = Schema(columns=tuple(Column(name=name, kind=of) for name, of in kinds.items()))
    problem = training.define(config("binary", "random"), schema, [False, True])
    known, later = table.slice(0, count // 2), table.slice(count // 2)
    spec, truth, losses = training.learn_features(problem, known), y[count // 2 :].astype(float), {}
    params = booster.complete_parameters("binary", SETTINGS[kind], classes=2, device="cpu", seed=seed)
    for masked in (False, True):
        _, part = training.fitted_part(problem, spec, known, seed, masked=masked)
        fitted = booster.fit_booster(params, part, rounds=ROUNDS[kind], names=spec.names)
        p = booster.predict_raw(fitted, features.encode(spec, later))
        losses[masked] = metric_value("binary", "log_loss", truth, p)
    return losses[True] - losses[False]
