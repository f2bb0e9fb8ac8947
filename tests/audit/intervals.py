"""How many later values lie in the 90% intervals: overall, by fifths of the prediction, in the following month.

Made worlds, and the flights by month. On public tables that packages ship (tests/bench/tables.py):

    python -m tests.audit.intervals --packages FOLDER [--data FOLDER] [--only TABLE ...]

"One width" is what models of earlier versions had: one half width, on the logarithm where the objective has it.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tests.audit.refit import schema_of
from treadle.tasks import booster, features, fitting, postprocess, refit, training, validation
from treadle.tasks.config.spec import DataSpec, PipelineConfig
from treadle.tasks.coverage import by_fifths
from treadle.tasks.dataset import SplitSpec, split
from treadle.tasks.interval import own_quantiles
from treadle.tasks.objective import candidate_objectives
from treadle.tasks.prepared import Preparation
from treadle.tasks.recipe import make_recipe
from treadle.tasks.search import Found, TuneSpec
from treadle.tasks.validation import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from treadle.tasks.fitting import Fit
    from treadle.tasks.objective import Objective

PARAMS = {"learning_rate": 0.1, "max_depth": 5, "subsample": 0.9, "colsample_bytree": 0.8, "nthread": 1}
MOST_ROUNDS = 250
KNOWN, LATER = 6_000, 10_000
ORIGINS = 5
MONTH = timedelta(days=30)
MOST_ROWS = 20_000


class World(NamedTuple):
    """A table with the target `y`; `known` and `later` are its rows before and after. `group` parts undated rows."""

    name: str
    known: pa.Table
    later: pa.Table
    time: str = ""
    group: str = ""


class Held(NamedTuple):
    """Intervals on later rows: which values they hold [n], their ends [n], predictions and values [n]."""

    inside: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray
    y: np.ndarray

    @property
    def fifths(self) -> list[float]:
        return [float(self.inside[rows].mean()) for rows in by_fifths(self.p)]

    @property
    def width(self) -> float:
        return float(np.mean(self.upper - self.lower))

    @property
    def top(self) -> float:
        """The share inside of the fifth with the largest values."""
        return float(self.inside[by_fifths(self.y)[-1]].mean())


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies repetitions."""
    for make in (skewed, noisy, with_zeros):
        found = [measure(make(seed * 100 + repeat), seed) for repeat in range(scale)]
        name = make.__name__.replace("_", " ")
        now = [one for one, _, _ in found]
        yield name, "distance of the coverage from 0.9", float(np.mean([abs(h.inside.mean() - 0.9) for h in now])), 0.03
        worst = [max(abs(share - 0.9) for share in held.fifths) for held in now]
        yield name, "the same in the worst fifth of the predictions", float(np.mean(worst)), 0.03
        positive = [float((one.lower < 0).mean()) for one in now if one.y.min() >= 0]
        if positive:
            yield name, "share of lower ends below 0 of a target that is not", float(np.mean(positive)), 0.0
        yield name, "mean width / of one width", float(np.mean([a.width / b.width for a, b, _ in found])), 1.5
    for make, name in ((flights, "flights"), (growing, "growing")):
        found = [measure(world, seed)[0].inside.mean() for origin in range(ORIGINS * scale) for world in [make(origin)]]
        yield name, "share outside in the following month, mean of five origins", 1 - float(np.mean(found)), 0.13


def measure(world: World, seed: int) -> tuple[Held, Held, str]:
    """The intervals of a serving model on later rows, those of one width, and what the former are made of."""
    fit, objective, post = served(world, seed)
    X = features.encode(fit.features, world.later)
    raw = booster.predict_raw(fit.booster, X)
    second = None
    if post.bands and post.bands.quantiles and fit.interval is not None:
        second = own_quantiles(post.bands.quantiles, booster.predict_raw(fit.interval, X))
    old = post.model_copy(
        update={"bands": None, "spread": objective.spread, "half_width": one_width(fit, objective, post)}
    )
    y = np.asarray(world.later["y"].cast(pa.float64()))
    found = []
    for one in (post, old):
        answers = postprocess.apply_postprocess(one, raw, second)
        lower, upper = (answers.columns[name].to_numpy() for name in ("lower", "upper"))
        found.append(Held((y >= lower) & (y <= upper), lower, upper, answers.p, y))
    return found[0], found[1], "quantiles" if second is not None else "bands"


def served(world: World, seed: int) -> tuple[Fit, Objective, postprocess.Post]:
    """The serving model of the known rows, as a training run makes it with fixed parameters."""
    dated = bool(world.time)
    spec = SplitSpec(strategy="time" if dated else "group" if world.group else "random", group=world.group)
    drop = (world.group,) if world.group else ()
    data = DataSpec(source="x", target="y", task="regression", key=("id",), time=world.time, drop=drop)
    config = PipelineConfig(name="audit", data=data, split=spec, tune=TuneSpec(seed=seed))
    problem = training.define(config, schema_of(world.known), training.labels(world.known, "y"))
    parts = split(world.known, spec, key=("id",), time=world.time, target="y")
    own = len(parts.train) + len(parts.validation)
    best: tuple[float, Objective, int] | None = None
    labels = training.labels_as_numbers(problem, training.together(parts.train, parts.validation))
    for objective in candidate_objectives("regression", "rmse", labels):
        found = Found(PARAMS, MOST_ROUNDS, 0.0, (), 0, 0.0)
        recipe = make_recipe(
            config, problem, found, Preparation(objective=objective), judged_rows=own, rows=own, device="cpu"
        )
        tried = fitting.fit_judged(problem, recipe, parts.open(), spec)
        at, rounds = tried.answers.answered, int(np.argmin(tried.curve.validation)) + 1
        y, raw = tried.answers.y[at], tried.answers.raw[at]
        error = float(np.sqrt(np.mean((objective.decode(raw, objective.smear(y, raw)) - y) ** 2)))
        if best is None or error < 0.99 * best[0]:
            best = error, objective, rounds
    assert best is not None
    layout = Layout(kind="windows" if dated else "folds", quantiles=True)
    prepared = Preparation(objective=best[1], layout=layout)
    found = Found(PARAMS, best[2], 0.0, (), 0, 0.0)
    recipe = make_recipe(config, problem, found, prepared, judged_rows=own, rows=len(world.known), device="cpu")
    every = parts.every_row()
    numbers = training.labels_as_numbers(problem, every)
    if dated:
        left_out = validation.usable_folds(numbers, refit.folds(problem, parts, spec, numbers, seed))
    else:
        left_out = list(validation.dealt(problem, every, spec, numbers, seed))
    fit = fitting.fit_recipe(problem, recipe, every, left_out, judged_rows=own, intervals=True)
    return fit, best[1], fitting.calibrated(problem, recipe, fit)


def one_width(fit: Fit, objective: Objective, post: postprocess.Post) -> float:
    """Half of the interval that models of earlier versions had: the conformal 90% quantile of absolute residuals."""
    y, raw = fit.y[fit.answered].astype(float), fit.raw[fit.answered].astype(np.float32).astype(float)
    centre = np.log1p(raw) if objective.spread and not objective.transform else raw
    away = np.sort(np.abs((np.log1p(y) if objective.spread else y) - centre))
    return float(away[min(int(np.ceil((len(away) + 1) * 0.9)), len(away)) - 1])


def parted(name: str, X: np.ndarray, y: np.ndarray, known: int) -> World:
    columns = {f"x{at}": X[:, at] for at in range(X.shape[1])}
    table = pa.table({"id": np.arange(len(y)), **columns, "y": y})
    return World(name, table.slice(0, known), table.slice(known))


def skewed(seed: int) -> World:
    """A positive amount over three orders of magnitude."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(KNOWN + LATER, 4))
    return parted("skewed", X, np.exp(2 + X[:, 0] + 0.5 * X[:, 1] * X[:, 2] + 0.5 * draw.normal(size=len(X))), KNOWN)


def noisy(seed: int) -> World:
    """The spread depends on a column that the mean does not depend on."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(KNOWN + LATER, 4))
    return parted("noisy", X, 3 * X[:, 0] + draw.normal(size=len(X)) * np.where(X[:, 3] > 0, 4.0, 0.5), KNOWN)


def with_zeros(seed: int) -> World:
    """Amounts of which a third are zero."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(KNOWN + LATER, 4))
    zero = draw.random(len(X)) < 1 / (1 + np.exp(1 + X[:, 1]))
    return parted("with zeros", X, np.where(zero, 0.0, np.exp(1 + X[:, 0] + 0.5 * draw.normal(size=len(X)))), KNOWN)


def growing(origin: int) -> World:
    """Three years of ten rows a day, whose level and noise grow, with seasons; the month after each origin."""
    draw = np.random.default_rng(origin)
    day = np.repeat(np.arange(1_095), 10)
    x = draw.normal(size=(len(day), 3))
    level = (20 + day / 40 + 6 * np.sin(2 * np.pi * day / 365)) * np.exp(0.2 * x[:, 0])
    y = np.maximum(level * (1 + 0.15 * draw.normal(size=len(day))), 0.0)
    when = pa.array((15_000 + day).astype("int32")).cast(pa.date32())
    table = pa.table({"id": np.arange(len(day)), "day": when, **{f"x{at}": x[:, at] for at in range(3)}, "y": y})
    until = 1_065 - 60 * (origin % ORIGINS)
    return World(
        "growing",
        table.filter(pa.array(day < until)),
        table.filter(pa.array((day >= until) & (day < until + 30))),
        "day",
    )


@cache
def delays() -> pd.DataFrame:
    """All flights of 2013 with their delay, and what is known before they leave."""
    from tests.bench.tables import available, read

    table = available(None, None)["flights_late"]
    known = read(table).drop(columns=[one for one in (*table.drop, "late") if one != "arr_delay"])
    return known.rename(columns={"arr_delay": "y"})


def flights(origin: int) -> World:
    """The delay of every 15th flight of the months before, and of the month after: August to December."""
    month, frame = 8 + origin % ORIGINS, delays()
    some = frame[frame["flight"] % 15 == origin % 15].sort_values("time_hour", kind="stable")
    known, later = (arrow(some[part]) for part in (some["month"] < month, some["month"] == month))
    return World("flights", known, later, "time_hour")


def public(name: str, data: Path | None, packages: Path | None, seed: int) -> Iterator[World]:
    """The worlds of a public table: one of random rows or groups, or one for each of five origins."""
    import pandas as pd

    from tests.bench.tables import available, read

    table = available(data, packages)[name]
    frame = read(table).drop(columns=[one for one in table.drop if one != table.group], errors="ignore")
    frame = frame.rename(columns={"y": "y (input)"} if table.target != "y" else {}).rename(columns={table.target: "y"})
    time = table.time
    if time and frame[time].dtype.kind in "iu":
        frame[time] = pd.to_datetime(frame[time].astype(str), format="%Y%m%d")
    draw = np.random.default_rng(seed)
    if time:
        last = frame[time].max()
        for origin in range(ORIGINS):
            cut = last - MONTH * (1 + 2 * origin)
            later = frame[(frame[time] > cut) & (frame[time] <= cut + MONTH)]
            yield World(name, arrow(sampled(frame[frame[time] <= cut], draw)), arrow(later), time)
        return
    if table.group:
        names = draw.permutation(frame[table.group].unique())
        apart = frame[table.group].isin(names[: len(names) // 3])
    else:
        apart = pd.Series(draw.random(len(frame)) < 1 / 3, index=frame.index)
    yield World(name, arrow(sampled(frame[~apart], draw)), arrow(frame[apart]), group=table.group)


def sampled(frame: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    at = np.sort(draw.choice(len(frame), min(MOST_ROWS, len(frame)), replace=False))
    return frame.iloc[at]


def arrow(frame: pd.DataFrame) -> pa.Table:
    """Typed columns, with a key."""
    columns: dict[str, pa.Array] = {"id": pa.array(np.arange(len(frame)))}
    for name in frame:
        values, kind = frame[name], frame[name].dtype
        if str(kind).startswith("datetime"):
            columns[str(name)] = pa.array(values.dt.tz_localize("UTC"), pa.timestamp("us", "UTC"))
        elif kind.kind in "iubf":
            columns[str(name)] = pa.array(
                values.astype(float if kind.kind == "f" or name == "y" else "int64"), from_pandas=True
            )
        else:
            columns[str(name)] = pa.array([None if value is None or value != value else str(value) for value in values])
    return pa.table(columns)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.audit.intervals", description="intervals on public tables")
    parser.add_argument("--data", type=Path, help="folder of NAME.parquet with NAME.json")
    parser.add_argument("--packages", type=Path, help="folder of the packages that ship tables")
    parser.add_argument(
        "--only", nargs="+", default=["ames", "diamonds", "gss_wages", "nlswork", "chicago_rides", "hotel_rates"]
    )
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    print(
        "| table | made of | held | by fifths of the prediction | largest fifth | width / one width | one width held |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in chosen.only:
        found = [measure(world, chosen.seed) for world in public(name, chosen.data, chosen.packages, chosen.seed)]
        now, before = [one for one, _, _ in found], [one for _, one, _ in found]
        fifths = " ".join(f"{share:.2f}" for share in np.mean([held.fifths for held in now], axis=0))
        made = "/".join(dict.fromkeys(kind for _, _, kind in found))
        shares = [np.mean([held.inside.mean() for held in several]) for several in (now, before)]
        ratio = np.exp(np.mean([np.log(a.width / b.width) for a, b, _ in found]))
        top = np.mean([held.top for held in now])
        print(
            f"| {name} | {made} | {shares[0]:.3f} | {fifths} | {top:.2f} | {ratio:.2f} | {shares[1]:.3f} |", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
