"""Whether encodings that are chosen by measurement predict other rows as well as the better of those that were tried.

Each world has columns whose best encoding is known: levels whose order means nothing or is that of their effect, labels
that nothing predicts, a tenure between two dates, words that say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tests.bench import encodings as native
from treadle.tasks import features
from treadle.tasks.booster import MatrixRows, complete_parameters, fit_booster, predict_raw
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.folds import dealt_folds, rolling_folds
from treadle.tasks.metrics import metric_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KNOWN, LATER = 20_000, 10_000
REPEATS = 3
SECONDS = 600.0
PARAMS = {"eta": 0.1, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.8}
ROUNDS = 120
STATISTICS = ("statistics", "counts")
NATIVE = ("native", "codes", "statistics (many)")
"""XGBoost's own splits of categories, and what is chosen from instead; public tables: tests/bench/encodings.py."""


class World(NamedTuple):
    """A table of known and later rows, in that order, with what is to be learned."""

    task: str
    table: pa.Table
    y: np.ndarray
    known: int
    time: str | None = None


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies repetitions."""
    seeds = [seed * 1_000 + repeat for repeat in range(REPEATS * scale)]
    for count in (500, 2_000):
        for kind, limit in (("unordered", 0.9), ("ordered", 1.01)):
            worlds = [levels(one, count, kind) for one in seeds]
            experiment = f"{count:,} {kind} levels"
            yield experiment, "1 - AUC of the choice / of codes", mean(ratio(one) for one in worlds), limit
    off = [abs(auc_of_nothing(one) - 0.5) for one in seeds]
    yield "shuffled labels, 2,000 levels", "|out-of-fold AUC - 0.5|", max(off), 0.02
    yield "tenure", "1 - R2 of the choice / of calendar parts", mean(ratio(tenure(one)) for one in seeds), 0.85
    for count in (20, 100, 500):
        losses = [native.mean_losses(native.world("", count, one), NATIVE) for one in seeds]
        lost = mean(min(one[other] for other in NATIVE[1:]) / one["native"] for one in losses)
        yield f"{count} unordered levels", "log loss of codes or statistics / of native splits", lost, 1.02
    taken = mean("ngrams" in choice(words(one)).encodings.get("c", ()) for one in seeds)
    yield "words that say nothing", "share that is taken", taken, 0.34


def mean(values: Iterator[float]) -> float:
    """The mean of some figures."""
    return float(np.mean(list(values)))


def levels(seed: int, count: int, kind: str) -> World:
    """One column of many levels beside three numbers, two of which matter together only."""
    draw = np.random.default_rng(seed)
    level, x = draw.integers(0, count, KNOWN + LATER), draw.normal(size=(KNOWN + LATER, 3))
    effect = draw.normal(0, 1.2, count)
    if kind == "ordered":
        effect = np.sort(effect)
    y = draw.random(len(level)) < 1 / (1 + np.exp(-effect[level] - x[:, 0] - 0.5 * x[:, 1] * x[:, 2]))
    names = [f"v{one:05}" for one in level]
    return World("binary", pa.table({"c": names, **{f"x{one}": x[:, one] for one in range(3)}}), y, KNOWN)


def tenure(seed: int) -> World:
    """Rows in time order whose target is the root of the years since another date."""
    draw = np.random.default_rng(seed)
    at = np.sort(draw.integers(15_000, 16_500, 6_000))
    since, due = at - draw.integers(10, 3_000, 6_000), at + draw.integers(1, 60, 6_000)
    y = 3 * np.sqrt((at - since) / 365) + draw.normal(0, 1, 6_000)
    days = {"at": at, "since": since, "due": due}
    table = pa.table({name: pa.array(one.astype("int32")).cast(pa.date32()) for name, one in days.items()})
    return World("regression", table, y, 4_500, "at")


def words(seed: int) -> World:
    """Six of 400 words in each row, and a target that none of them moves."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(f"word{one}" for one in draw.integers(0, 400, 6)) for _ in range(4_000)]
    x = draw.normal(size=4_000)
    y = draw.random(4_000) < 1 / (1 + np.exp(-x))
    return World("binary", pa.table({"c": texts, "x": x}), y, 4_000)


def schema_of(table: pa.Table) -> Schema:
    """The table's schema: text, dates, numbers."""
    kinds = [
        "text" if pa.types.is_string(one.type) else "date" if pa.types.is_date(one.type) else "number"
        for one in table.schema
    ]
    return Schema(
        columns=tuple(Column(name=name, kind=kind) for name, kind in zip(table.column_names, kinds, strict=True))
    )


def choice(world: World) -> features.EncodingChoice:
    """What is chosen on the known rows."""
    known, y = world.table.slice(0, world.known), world.y[: world.known].astype(np.float32)
    if world.time:
        when = known[world.time].cast(pa.int32()).to_numpy().astype(float)
        folds = rolling_folds(when, [when[world.known * part // 10] for part in (4, 6, 8)])
    else:
        folds = dealt_folds(y, 0)
    problem = features.EncodingProblem(
        rows=known,
        y=y,
        schema=schema_of(known),
        columns=tuple(known.column_names),
        categories=(),
        time=world.time,
        timezone="",
        task=world.task,
        classes=2,
        folds=folds,
        seed=0,
    )
    return features.choose_encodings(problem, seconds=SECONDS)


def ratio(world: World) -> float:
    """The error on later rows of what is chosen, as a share of that by default."""
    chosen = choice(world)
    return error(world, chosen.encodings, chosen.differences) / error(world, {}, ())


def error(world: World, encodings: Mapping[str, tuple[str, ...]], differences: Sequence[tuple[str, str]]) -> float:
    """1 - AUC, or the squared error as a share of the variance, on later rows."""
    known, later = world.table.slice(0, world.known), world.table.slice(world.known)
    p = answers(world.task, known, world.y[: world.known], later, encodings, differences, time=world.time)
    y = world.y[world.known :].astype(np.float64)
    return 1 - metric_value(world.task, "roc_auc" if world.task == "binary" else "r2", y, p)


def answers(
    task: str,
    known: pa.Table,
    y: np.ndarray,
    later: pa.Table,
    encodings: Mapping[str, tuple[str, ...]],
    differences: Sequence[tuple[str, str]] = (),
    time: str | None = None,
) -> np.ndarray:
    """Predictions for later rows of a booster on the known ones."""
    spec = features.fit_features(
        known,
        schema_of(known),
        columns=known.column_names,
        categories=(),
        time=time,
        timezone="",
        encodings=encodings,
        differences=differences,
    )
    spec, X = features.cross_fitted(spec, known, y.astype(np.float32), task=task, classes=2, seed=1)
    params = complete_parameters(task, PARAMS, classes=2, device="cpu", seed=0)
    booster = fit_booster(params, MatrixRows(X=X, y=y.astype(np.float32)), rounds=ROUNDS, names=spec.names)
    return predict_raw(booster, features.encode(spec, later)).astype(np.float64)


def auc_of_nothing(seed: int) -> float:
    """Out-of-fold AUC where labels are shuffled, by statistics, counts and codes."""
    world = levels(seed, 2_000, "unordered")
    y = np.random.default_rng(seed).permutation(world.y)[:KNOWN]
    table, p = world.table.slice(0, KNOWN), np.empty(KNOWN)
    for fold in dealt_folds(y, seed):
        known, later = table.take(fold.fitted), table.take(fold.answered)
        p[fold.answered] = answers("binary", known, y[fold.fitted], later, {"c": ("codes", *STATISTICS)})
    return metric_value("binary", "roc_auc", y.astype(np.float64), p)
