"""How the mean delivered prediction moves with one column.

Partial dependence (Friedman 2001, Greedy function approximation, section 8.2) sets a column to the same value in every
row. Where a column is associated with another one that makes rows that do not occur; numbers and moments then get
accumulated local effects (Apley & Zhu 2020, Visualizing the effects of predictor variables in black box supervised
learning models), which move each row only within its own bin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.explain.found import ColumnEffect
from treadle.tasks.explain.source import level_texts, shown_as, value_text, values_as_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.explain.source import SourceRows

ASSOCIATED = 0.5
"""From this association with another column on, a partial dependence would rest on rows that do not occur."""

POINTS = 12
LEVELS_SHOWN = 8
LINES = 3
HISTOGRAM_BINS = 24


def column_effect(
    rows: SourceRows, whole: pa.Table, column: str, beside: tuple[str, float], lines: Mapping[str, int]
) -> ColumnEffect | None:
    """The effect of `column` by the `rows`, its distribution by the table `whole`; None where it has one value only.

    `beside` is the column that it is most associated with, and how strongly. `lines` maps names to positions among
    the classes of predictions [n, classes]; one line with position -1 for predictions [n]. Of more than `LINES` those
    are kept that move most.
    """
    kind = shown_as(rows.model, whole, column)
    if kind == "levels":
        return _with_moving_lines(_of_levels(rows, whole, column, lines))
    other, strength = beside
    local = strength >= ASSOCIATED
    why = (
        f"it is correlated with {other} ({strength:.2f}), so that each row is moved only near its own value"
        if local
        else "it is hardly correlated with other columns, so that every row is given each value in turn"
    )
    method = "accumulated local effects" if local else "partial dependence"
    return _with_moving_lines(_of_numbers(rows, whole, column, lines, kind, (method, why)))


def _with_moving_lines(effect: ColumnEffect | None) -> ColumnEffect | None:
    """The effect with its `LINES` lines that move most, the most moved first."""
    if effect is None or len(effect.lines) <= 1:
        return effect
    kept = sorted(effect.lines, key=lambda name: min(effect.lines[name]) - max(effect.lines[name]))[:LINES]
    missing = None if effect.missing is None else {name: effect.missing[name] for name in kept}
    return replace(effect, lines={name: effect.lines[name] for name in kept}, missing=missing)


def _of_numbers(
    rows: SourceRows, whole: pa.Table, column: str, lines: Mapping[str, int], kind: str, how: tuple[str, str]
) -> ColumnEffect | None:
    import numpy as np
    import pyarrow as pa

    values = values_as_numbers(whole[column])
    filled = np.flatnonzero(np.isfinite(values))
    answered_for = np.isfinite(values_as_numbers(rows.table[column]))
    if len(filled) < 2 or not answered_for.any():
        return None
    places = _grid_places(values, filled)
    if len(places) < 2:
        return None
    at, grid = values[places], whole[column].take(places).combine_chunks()
    if how[0] == "partial dependence":
        found = [_mean(rows, _set(rows, column, grid, [point] * len(rows.y)), lines) for point in range(len(at))]
        curves = {name: tuple(one[name] for one in found) for name in lines}
    else:
        curves = _accumulated(rows, column, grid, at, lines)
    missing = None
    if len(filled) < 0.99 * len(values):
        missing = _mean(rows, rows.with_values(column, pa.nulls(len(rows.y), grid.type)), lines)
    low, high = _inner(values[filled])
    counts, edges = np.histogram(values[filled], bins=HISTOGRAM_BINS, range=(low, high))
    return ColumnEffect(
        column=column,
        method=how[0],
        why=how[1],
        kind=kind,
        at=tuple(at.tolist()),
        labels=tuple(value_text(pa.chunked_array([grid]), place) for place in range(len(at))),
        lines=curves,
        counts=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
        missing=missing,
        rows=len(rows.y),
    )


def _grid_places(values: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Positions of rows with distinct, rising values: all where they are few, else quantiles of the rows.

    Where most rows have one value (amounts that are mostly 0), quantiles of the distinct values besides.
    """
    import numpy as np

    ordered = filled[np.argsort(values[filled], kind="stable")]
    _, first = np.unique(values[ordered], return_index=True)
    distinct = ordered[first]
    if len(distinct) <= POINTS:
        return distinct

    def spread(of: np.ndarray) -> np.ndarray:
        return of[np.unique((np.linspace(0.01, 0.99, POINTS) * (len(of) - 1)).round().astype(np.int64))]

    places = spread(ordered)
    if len(np.unique(values[places])) < POINTS // 2:
        places = np.concatenate([places, spread(distinct)])
    return places[np.unique(values[places], return_index=True)[1]]


def _accumulated(
    rows: SourceRows, column: str, grid: pa.Array, at: np.ndarray, lines: Mapping[str, int]
) -> dict[str, tuple[float, ...]]:
    """Mean differences within bins between neighbours of `at`, added up; their mean over rows is the mean prediction.

    Rows without a value take no part; those beyond the ends count for the outer bins.
    """
    import numpy as np

    values = values_as_numbers(rows.table[column])
    here = np.flatnonzero(np.isfinite(values))
    some = rows.take(here)
    bins = np.clip(np.searchsorted(at, values[here], side="right") - 1, 0, len(at) - 2)
    lower, upper = (some.answers(_set(some, column, grid, bins + step)) for step in (0, 1))
    own = some.answers(some.X)
    weight = np.ones(len(here)) if some.weight is None else some.weight
    totals = np.bincount(bins, weight, len(at) - 1)
    curves = {}
    for name, place in lines.items():
        moved = _line(upper, place) - _line(lower, place)
        step = np.bincount(bins, weight * moved, len(at) - 1) / np.where(totals > 0, totals, 1)
        curve = np.concatenate([[0.0], np.cumsum(step)])
        level = float(weight @ np.interp(values[here], at, curve) / weight.sum())
        mean = float(weight @ _line(own, place) / weight.sum())
        curves[name] = tuple((curve - level + mean).tolist())
    return curves


def _of_levels(rows: SourceRows, whole: pa.Table, column: str, lines: Mapping[str, int]) -> ColumnEffect | None:
    import numpy as np
    import pyarrow as pa

    texts = level_texts(whole[column]).astype(str)
    _, first, counts = np.unique(texts, return_index=True, return_counts=True)
    if len(first) < 2:
        return None
    most = np.argsort(-counts, kind="stable")[:LEVELS_SHOWN]
    grid = whole[column].take(pa.array(first[most])).combine_chunks()
    found = [_mean(rows, _set(rows, column, grid, [point] * len(rows.y)), lines) for point in range(len(most))]
    return ColumnEffect(
        column=column,
        method="partial dependence",
        why="every row is given each level in turn",
        kind="levels",
        at=tuple(float(place) for place in range(len(most))),
        labels=tuple(str(texts[first[one]]) for one in most),
        lines={name: tuple(one[name] for one in found) for name in lines},
        counts=tuple(counts[most].tolist()),
        rows=len(rows.y),
    )


def _set(rows: SourceRows, column: str, grid: pa.Array, points: Sequence[int] | np.ndarray) -> np.ndarray:
    """`X` with the values of `grid` at `points` [n] in the column."""
    import pyarrow as pa

    return rows.with_values(column, grid.take(pa.array(points)))


def _mean(rows: SourceRows, X: np.ndarray, lines: Mapping[str, int]) -> dict[str, float]:
    import numpy as np

    p = rows.answers(X)
    return {name: float(np.average(_line(p, place), weights=rows.weight)) for name, place in lines.items()}


def _line(p: np.ndarray, place: int) -> np.ndarray:
    return p if place < 0 else p[:, place]


def _inner(values: np.ndarray) -> tuple[float, float]:
    """Limits that a few far values do not stretch: the middle 98%, or the range where that is empty."""
    import numpy as np

    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99]))
    return (low, high) if high > low else (float(values.min()), float(values.max()))
