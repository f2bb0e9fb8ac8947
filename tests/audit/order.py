"""How often `init` takes the order of a file for time: shuffled rows, patients side by side, sites one after the other.

And how often it misses an order that is one of time, and matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from treadle.tasks.booster import MatrixRows
from treadle.tasks.dataset.order import file_order

if TYPE_CHECKING:
    from collections.abc import Iterator

WEIGHTS = np.array([1.0, 0.8, 0.6, 0.4, 0.0, 0.0, 0.0, 0.0])
MEANINGLESS = ("shuffled", "shuffled, two classes", "patients side by side", "60 sites, one after the other")
IN_TIME = ("the relation changes", "columns drift", "the level rises")
FALSE, MISSED = 0.05, 0.2


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    """Experiment, figure, measured, limit; `scale` multiplies the tables of each experiment."""
    for kind in MEANINGLESS:
        for count in (600, 2_000):
            yield f"{kind}, {count:,} rows", "order proposed", proposed(kind, count, 40 * scale, seed), FALSE
    for kind in IN_TIME:
        yield f"{kind}, 6,000 rows", "not proposed", 1 - proposed(kind, 6_000, 10 * scale, seed), MISSED


def proposed(kind: str, count: int, tables: int, seed: int) -> float:
    """The share of tables whose order is proposed as time."""
    return float(np.mean([_in_time(kind, count, np.random.default_rng([seed, one])) for one in range(tables)]))


def _in_time(kind: str, count: int, draw: np.random.Generator) -> bool:
    X, noise, t = draw.normal(size=(count, 8)), draw.normal(size=count), np.linspace(0, 1, count)
    y = X @ WEIGHTS + noise
    if kind == "shuffled, two classes":
        y = (y > 0).astype(float)
    elif kind == "patients side by side":
        patient = np.repeat(np.arange(count), draw.integers(3, 9, count))[:count]
        X = draw.normal(size=(count, 8))[patient] + 0.3 * X
        y = X @ WEIGHTS + 1.5 * draw.normal(size=count)[patient] + noise
    elif kind == "60 sites, one after the other":
        site = np.sort(draw.integers(0, 60, count))
        X += draw.normal(size=(60, 8))[site]
        y = X @ WEIGHTS + draw.normal(size=60)[site] + noise
    elif kind == "the relation changes":
        y = X @ WEIGHTS * (1 - 2 * t) + noise
    elif kind == "columns drift":
        X[:, 0] += 3 * t
        y = 2 * np.sin(2 * X[:, 0]) + X @ WEIGHTS + noise
    elif kind == "the level rises":
        y = y + 3 * t
    table = pa.table({**{f"x{one}": X[:, one] for one in range(8)}, "y": y})
    part = MatrixRows(X=X.astype(np.float32), y=y.astype(np.float32))
    return file_order("binary" if kind.endswith("classes") else "regression", part, table, target="y").in_time
