"""What the rows of the holdout are worth to the model that serves, how many rounds it wants, and when it is refused.

Each world is parted into known rows and later ones: later days where it is dated, else other rows. Both boosters of a
version are made of the known rows, as a training run makes them, and both answer for the others.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from treadle.flows.demo.stage import joined
from treadle.tasks import booster, features, fitting, postprocess, refit, training
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.gate import GateSpec
from treadle.tasks.metrics import metric_value
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found, TuneSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.tasks.bundle import Model
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.training import Problem

ERRORS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
PARAMS = {"eta": 0.08, "max_depth": 5, "subsample": 0.9, "colsample_bytree": 0.8}
MOST_ROUNDS = 500
FACTORS = (1.0, 1.25, 1.6)
"""Rounds of the judged booster times this, beside the rule's root of the rows."""
REPEATS = 3
REFUSALS = 20


class World(NamedTuple):
    """A table with what is to be learned; `known` and `later` are its rows before and after."""

    name: str
    task: str
    known: pa.Table
    later: pa.Table
    time: str = ""


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies repetitions."""
    ratios: dict[str, list[dict[str, float]]] = {}
    refused = []
    for repeat in range(REPEATS * scale):
        for world in worlds(seed * 1_000 + repeat):
            found, was_refused = errors(world, seed * 1_000 + repeat)
            ratios.setdefault(world.name, []).append(found)
            refused.append(was_refused)
    for name, found in ratios.items():
        mean = {of: float(np.mean([one[of] for one in found])) for of in found[0]}
        yield name, "error of the serving booster / of the judged one, on later rows", mean["rule"], 1.02
        for factor in FACTORS:
            yield (
                name,
                f"error with the rule's rounds / with {factor:g} times the judged ones",
                mean[f"x{factor:g}"],
                1.02,
            )
    more = (friedman(seed * 1_000 + 500 + repeat, 1_200) for repeat in range(REFUSALS * scale))
    refused += [errors(world, number)[1] for number, world in enumerate(more)]
    yield "rows like the others", "share of refits that are refused", float(np.mean(refused)), 0.02


def worlds(seed: int) -> Iterator[World]:
    """Real tables, parted anew for each seed, and made ones."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

    for name, load, task in (
        ("tumours", load_breast_cancer, "binary"),
        ("diabetes", load_diabetes, "regression"),
        ("digits", load_digits, "multiclass"),
    ):
        data = load()
        target = data.target.astype(float) if task == "regression" else data.target.astype(str)
        yield parted(name, task, data.data, target, seed)
    yield friedman(seed, 3_000)
    yield drifting(seed)
    yield flights(seed)


def parted(name: str, task: str, X: np.ndarray, y: np.ndarray, seed: int) -> World:
    """Three quarters known, the rest later; without dates."""
    order = np.random.default_rng(seed).permutation(len(y))
    table = pa.table(
        {"id": np.arange(len(y)), **{f"x{at}": X[:, at].astype(float) for at in range(X.shape[1])}, "y": y}
    )
    cut = len(y) * 3 // 4
    return World(name, task, table.take(order[:cut]), table.take(order[cut:]))


def friedman(seed: int, count: int) -> World:
    """Friedman 1991, Multivariate adaptive regression splines, example 1."""
    from sklearn.datasets import make_friedman1

    return parted("friedman", "regression", *make_friedman1(count, noise=2.0, random_state=seed), seed)


def drifting(seed: int) -> World:
    """400 days of ten rows, on which what a number means turns by a right angle; the last 30 are later."""
    draw = np.random.default_rng(seed)
    day = np.repeat(np.arange(400), 10)
    x = draw.normal(size=(len(day), 3))
    turned = day / 400 * np.pi / 2
    value = x[:, 0] * np.cos(turned) + x[:, 1] * np.sin(turned) + draw.normal(size=len(day)) * 0.3
    table = pa.table(
        {
            "id": np.arange(len(day)),
            "day": pa.array((15_000 + day).astype("int32")).cast(pa.date32()),
            **{f"x{at}": x[:, at] for at in range(3)},
            "y": value,
        }
    )
    return World("a world that turns", "regression", table.slice(0, 3_700), table.slice(3_700), "day")


def flights(seed: int) -> World:
    """Every 20th flight of seven months, and of the month after them."""
    first = 1 + seed % 5
    with joined() as con:
        table = con.sql(
            "SELECT row_number() OVER () AS id, time_hour AS day, month, carrier, origin, dest, hour, distance, temp, "
            "wind_speed, precip, visib, CASE WHEN arrived_late THEN 'late' ELSE 'on time' END AS y FROM joined "
            f"WHERE arrived_late IS NOT NULL AND month BETWEEN {first} AND {first + 7} AND flight % 20 = {seed % 20} "
            "ORDER BY day"
        ).to_arrow_table()
    day = pa.compute.cast(table["day"], pa.timestamp("us", "UTC"))
    table = table.set_column(1, "day", day)
    numbers = [name for name in table.column_names if pa.types.is_floating(table.schema.field(name).type)]
    month = table["month"].to_numpy()
    table = table.drop_columns(["month"]).select(
        [*numbers, *(name for name in table.column_names if name not in (*numbers, "month"))]
    )
    return World(
        "flights",
        "binary",
        table.filter(pa.array(month < first + 7)),
        table.filter(pa.array(month == first + 7)),
        "day",
    )


def errors(world: World, seed: int) -> tuple[dict[str, float], bool]:
    """The serving booster's error on later rows over that of others, by whose, and whether it was refused."""
    data = DataSpec(source="x", target="y", task=world.task, key=("id",), time=world.time)
    spec = SplitSpec(strategy="time" if world.time else "random")
    config = PipelineConfig(name="audit", data=data, split=spec, tune=TuneSpec(seed=seed))
    problem = training.define(config, schema_of(world.known), training.labels(world.known, "y"))
    parts = split(world.known, spec, key=("id",), time=world.time, target="y")
    own = len(parts.train) + len(parts.validation)

    def recipe(rounds: int) -> Recipe:
        found = Found({**PARAMS, "nthread": 1}, rounds, 0.0, (), 0, 0.0)
        return make_recipe(config, problem, found, judged_rows=own, rows=len(world.known), device="cpu")

    curve = fitting.fit_judged(problem, recipe(MOST_ROUNDS), parts, spec).curve.validation
    best = int(np.argmin(curve)) + 1
    made = recipe(best)
    judged = fitting.fit_judged(problem, made, parts.open(), spec).model
    served = refit.refit(problem, made, judged, parts, spec)
    error = error_of(problem, served.model, world.later)
    found = {"rule": error / error_of(problem, judged, world.later)}
    whole = training.encoded_part(problem, served.model.features, parts.every_row())
    parameters = booster.complete_parameters(
        problem.task, made.params, classes=len(problem.classes), device="cpu", seed=seed
    )
    for factor in FACTORS:
        other = booster.fit_booster(parameters, whole, rounds=round(best * factor), names=served.model.features.names)
        found[f"x{factor:g}"] = error / error_of(problem, dataclasses.replace(served.model, booster=other), world.later)
    return found, bool(refit.refusal(GateSpec(), spec, problem, judged, parts.holdout, served))


def error_of(problem: Problem, model: Model, later: pa.Table) -> float:
    raw = booster.predict_raw(model.booster, features.encode(model.features, later))
    y = postprocess.encode_target(later["y"], problem.task, problem.classes)
    return metric_value(problem.task, ERRORS[problem.task], y, postprocess.apply_postprocess(model.post, raw).p)


def schema_of(table: pa.Table) -> Schema:
    def kind(type_: pa.DataType) -> str:
        if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
            return "timestamp" if pa.types.is_timestamp(type_) else "date"
        return "text" if pa.types.is_string(type_) else "integer" if pa.types.is_integer(type_) else "number"

    return Schema(columns=tuple(Column(name=field.name, kind=kind(field.type)) for field in table.schema))
