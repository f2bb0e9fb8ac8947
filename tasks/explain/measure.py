"""Explains a judged model on the rows that judged it, within a number of seconds.

Samples are drawn with a seed, and their sizes follow from the booster's size, so that they are the same on any machine;
only where a machine is far slower than expected something is left out.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks.explain.effects import column_effect
from treadle.tasks.explain.found import CorrelatedColumns, ExplainedColumn, Explanation
from treadle.tasks.explain.permutation import Drop, permutation_drops
from treadle.tasks.explain.rows import chosen_rows, class_text, explained_rows
from treadle.tasks.explain.shapley import Contributions, contributions, row_cost, rows_for, unit_of
from treadle.tasks.explain.source import (
    SourceRows,
    associations,
    level_texts,
    shown_as,
    strong_groups,
    values_as_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.bundle import Model
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.explain.found import ColumnEffect
    from treadle.tasks.explain.shapley import RowCost
    from treadle.tasks.training import Problem

ROWS_PER_SECOND = 10_000
"""A run may spend a second on explanations for each so many rows that it has."""

FEWEST_SECONDS, MOST_SECONDS = 1.0, 6.0
SHARE_OF_BUDGET = 0.06
"""Of the seconds of a run; with the pictures it stays below a tenth."""

SLOW = 6
"""So many times the seconds are waited for; what is not measured by then is left out."""

SHAP, PERMUTATION, EFFECTS = 0.4, 0.4, 0.2
"""What share of the seconds each of them gets."""

MOST_EXPLAINED, FEWEST_EXPLAINED = 1_000, 20
MOST_PERMUTED, FEWEST_PERMUTED = 20_000, 200
PERMUTED_COLUMNS, ASSOCIATED_COLUMNS = 15, 30
MOST_EFFECT_ROWS, FEWEST_EFFECT_ROWS = 500, 50
EFFECT_COLUMNS, EFFECT_CALLS = 6, 13
POINTS_SHOWN = 80
FEWEST_OF_A_LEVEL = 5


def seconds_to_explain(rows: int, budget: float | None = None) -> float:
    """The seconds that explanations may take in a run of so many rows and a budget of so many seconds."""
    seconds = min(MOST_SECONDS, max(FEWEST_SECONDS, rows / ROWS_PER_SECOND))
    return seconds if budget is None else max(0.5, min(seconds, SHARE_OF_BUDGET * budget))


def explain_model(
    problem: Problem,
    model: Model,
    table: pa.Table,
    judged: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    gains: Mapping[str, float],
    *,
    link: str = "identity",
    dependence: Dependence | None = None,
    seconds: float = 2.0,
    seed: int = 0,
) -> Explanation:
    """What the predictions of `model` for the rows of `table` are made of.

    `judged` has the rows' labels [n] (codes or values), delivered predictions [n] or [n, classes] and weights (or
    None); `gains` are each source column's share of the gain; `link` is that of the model's objective.
    """
    import numpy as np

    y, p, weight = judged
    rng, begun, cost = np.random.default_rng(seed), time.perf_counter(), row_cost(model.booster)
    chosen = chosen_rows(problem.task, y, p)
    most = rows_for(SHAP * seconds, cost.shap, fewest=FEWEST_EXPLAINED, most=min(MOST_EXPLAINED, len(y)))
    order = rng.permutation(len(y))
    sample = SourceRows.of(model, table, y, weight, order[:MOST_PERMUTED])
    some = sample.take(np.arange(min(most, len(sample.y))))
    columns = model.features.sources
    found = _contributions(model, some.X, begun + SLOW * SHAP * seconds, cost)
    some = some.take(np.arange(len(found.values)))
    offset = _offset(problem, model, link, p[order[: len(found.values)]], found)
    found = found.shifted(offset)
    ranked = _columns(problem, some, found, gains)
    names = [one.column for one in ranked if one.share > 0]
    strength = associations(model, sample.table, names[:ASSOCIATED_COLUMNS], seed)
    deadline = begun + SLOW * seconds
    effects = _effects(problem, sample, names[:ASSOCIATED_COLUMNS], strength, EFFECTS * seconds / cost.predict)
    strong = strong_groups(names[:ASSOCIATED_COLUMNS], strength)
    near = dependence.of(order[:MOST_PERMUTED]) if dependence else None
    predictions = PERMUTATION * seconds / cost.predict
    ranked, groups, size, repeats = _permuted(problem, sample, ranked, strong, predictions, seed, (near, deadline))
    examples = SourceRows.of(model, table, y, weight, np.array([at for _, at in chosen], dtype=np.int64))
    whys = _contributions(model, examples.X, float("inf"), cost, found).shifted(offset)
    at = [at for _, at in chosen]
    return Explanation(
        task=problem.task,
        metric=problem.metric,
        unit=unit_of(
            problem.task, link, model.post.transform, problem.target, [class_text(one) for one in problem.classes]
        ),
        rows=len(y),
        explained=len(found.values),
        permuted=size,
        repeats=repeats,
        base=tuple(found.base.tolist()),
        error=max(found.error, whys.error),
        columns=tuple(ranked),
        groups=groups,
        examples=explained_rows(problem, examples.table, [why for why, _ in chosen], p[at], whys, columns),
        effects=effects,
    )


def _offset(problem: Problem, model: Model, link: str, p: np.ndarray, found: Contributions) -> float:
    """What predictions [n] are more than margins where a regression's target was centred for training; else 0."""
    import numpy as np

    if problem.task != "regression" or link != "identity" or model.post.transform:
        return 0.0
    return float(np.median(p - found.margins[:, 0]))


def _contributions(
    model: Model, X: np.ndarray, deadline: float, cost: RowCost, like: Contributions | None = None
) -> Contributions:
    """Contributions by source column, of rows in blocks until the deadline; of a linear model relative to the first."""
    import numpy as np

    from treadle.tasks.coefficients import line_of

    block = max(1, int(0.2 / cost.shap))
    background = np.nan_to_num(X.astype(np.float64)).mean(axis=0)
    if like is not None and line_of(model.booster) is not None:
        background = like.background
    parts = []
    for start in range(0, len(X), block):
        parts.append(contributions(model.booster, X[start : start + block], background))
        if time.perf_counter() > deadline:
            break
    joined = Contributions(
        np.concatenate([one.values for one in parts]),
        parts[0].base,
        np.concatenate([one.margins for one in parts]),
        background,
    )
    return joined.by_column(model.features).centred()


def _columns(
    problem: Problem, some: SourceRows, found: Contributions, gains: Mapping[str, float]
) -> list[ExplainedColumn]:
    """Every source column, the largest mean absolute contribution first."""
    import numpy as np

    weights = np.ones(len(some.y)) if some.weight is None else some.weight
    sizes = np.average(np.abs(found.values).mean(axis=2), axis=0, weights=weights)
    total = float(sizes.sum()) or 1.0
    columns = []
    for place, name in enumerate(some.model.features.sources):
        added = found.values[:, place]
        one = ExplainedColumn(
            column=name,
            gain=float(gains.get(name, 0.0)),
            contribution=float(sizes[place]),
            share=float(sizes[place]) / total,
        )
        speaks = added.shape[1] == 1 and sizes[place] > 0
        columns.append(_by_value(one, some, added[:, 0], weights) if speaks else one)
    return sorted(columns, key=lambda one: (-one.contribution, one.column))


def _by_value(one: ExplainedColumn, some: SourceRows, added: np.ndarray, weights: np.ndarray) -> ExplainedColumn:
    """The column with how its contributions `added` [rows] go with its values: direction, levels, and points."""
    import numpy as np
    from scipy.stats import rankdata, spearmanr

    column, kind = some.table[one.column], shown_as(some.model, some.table, one.column)
    if kind in ("number", "moment"):
        values = values_as_numbers(column)
        here = np.isfinite(values)
        places = np.full(len(values), np.nan)
        if here.sum() > 1:
            places[here] = (rankdata(values[here]) - 1) / max(1, here.sum() - 1)
        points = tuple(
            (float(value), None if np.isnan(place) else round(float(place), 2))
            for value, place in zip(added[:POINTS_SHOWN], places, strict=False)
        )
        if here.sum() < 3 or not np.ptp(values[here]) or not np.ptp(added[here]):
            return replace(one, points=points)
        return replace(one, direction=float(spearmanr(values[here], added[here]).statistic), points=points)
    one = replace(one, points=tuple((float(value), None) for value in added[:POINTS_SHOWN]))
    if kind == "text":
        return one
    texts = level_texts(column).astype(str)
    levels, which = np.unique(texts, return_inverse=True)
    rows = np.bincount(which)
    means = np.bincount(which, weights * added) / np.maximum(np.bincount(which, weights), 1e-300)
    known = np.flatnonzero(rows >= min(FEWEST_OF_A_LEVEL, rows.max()))
    if len(known) < 2:
        return one
    high, low = known[means[known].argmax()], known[means[known].argmin()]
    return replace(one, highest=str(levels[high]), lowest=str(levels[low]))


def _effects(
    problem: Problem, sample: SourceRows, names: Sequence[str], strength: np.ndarray, predictions: float
) -> tuple[ColumnEffect, ...]:
    """The effects of the first columns of `names`, with so many predictions in all."""
    import numpy as np

    size = rows_for(predictions, EFFECT_COLUMNS * EFFECT_CALLS, fewest=FEWEST_EFFECT_ROWS, most=MOST_EFFECT_ROWS)
    few, lines = sample.take(np.arange(min(size, len(sample.y)))), _lines(problem)
    found = []
    for place, name in enumerate(names):
        if shown_as(sample.model, sample.table, name) == "text":
            continue
        others = np.where(np.arange(len(names)) == place, -1.0, strength[place])
        beside = (names[int(others.argmax())], float(others.max())) if len(names) > 1 else ("", 0.0)
        effect = column_effect(few, sample.table, name, beside, lines)
        found += [] if effect is None else [effect]
        if len(found) == EFFECT_COLUMNS:
            break
    return tuple(found)


def _permuted(
    problem: Problem,
    sample: SourceRows,
    ranked: list[ExplainedColumn],
    groups: Sequence[tuple[tuple[str, ...], float]],
    predictions: float,
    seed: int,
    bounds: tuple[Dependence | None, float],
) -> tuple[list[ExplainedColumn], tuple[CorrelatedColumns, ...], int, int]:
    """The columns and groups with their drops, how many rows were permuted, and how often: by so many predictions."""
    import numpy as np

    dependence, deadline = bounds
    used = [one.column for one in ranked if one.share > 0][:PERMUTED_COLUMNS]
    parts = [(name,) for name in used] + [columns for columns, _ in groups]
    for repeats in (5, 3):
        calls = max(1, len(parts)) * repeats
        size = min(len(sample.y), rows_for(predictions, calls, fewest=FEWEST_PERMUTED, most=MOST_PERMUTED))
        if size >= min(len(sample.y), 2_000):
            break
    at = np.arange(size)
    drops = permutation_drops(
        sample.take(at),
        problem.metric,
        parts,
        repeats=repeats,
        seed=seed,
        dependence=dependence.of(at) if dependence else None,
        deadline=deadline,
    )
    by_part = dict(zip(parts, drops, strict=True))
    columns = []
    for one in ranked:
        drop = by_part.get((one.column,)) if one.share > 0 else Drop(0.0, 0.0, 0.0)
        ends = (None, None, None) if drop is None else (drop.value, drop.lower, drop.upper)
        columns.append(replace(one, drop=ends[0], drop_lower=ends[1], drop_upper=ends[2]))
    joined = []
    for names, least in groups:
        drop = by_part[names]
        ends = (None, None, None) if drop is None else (drop.value, drop.lower, drop.upper)
        joined.append(CorrelatedColumns(names, least, *ends))
    return columns, tuple(joined), size, repeats


def _lines(problem: Problem) -> dict[str, int]:
    """The lines that an effect may have: one, or one for each class."""
    if problem.task != "multiclass":
        return {"": -1}
    return {class_text(one): at for at, one in enumerate(problem.classes)}
