"""Golden rows: a few rows whose predictions every loader of the model must reproduce.

They are training rows, and training rows changed to where two paths may disagree: no value, an unknown category, a
value exactly at a split of a tree or next to it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pyarrow as pa
    from xgboost import Booster

    from treadle.tasks.features import Feature, FeatureSpec

T = TypeVar("T")

ROWS = 200
NULLS, UNSEEN, EDGES = 50, 20, 30
"""Changed rows of each sort, at most (edges are pairs of rows); the rest are rows as they are."""

Value = str | int | float | None
RowChange = tuple[str, Value]
"""A column and the value that it gets in one row."""


def choose_golden_rows(candidates: pa.Table, spec: FeatureSpec, booster: Booster) -> pa.Table:
    """About 200 rows with the columns of `candidates` (typed, at least one row); the same input gives the same rows."""
    import pyarrow as pa

    changes = [
        *evenly_spaced(list(_nulls(spec)), NULLS),
        *evenly_spaced(list(_unseen(spec, candidates.schema)), UNSEEN),
        *(change for pair in evenly_spaced(list(_edges(spec, booster, candidates.schema)), EDGES) for change in pair),
    ]
    sampled = evenly_spaced(range(candidates.num_rows), ROWS - len(changes))
    changed = [sampled[number % len(sampled)] for number in range(len(changes))]
    rows = candidates.take([*sampled, *changed])
    for name in dict.fromkeys(column for column, _ in changes):
        values = rows[name].to_pylist()
        for number, (column, value) in enumerate(changes, start=len(sampled)):
            if column == name:
                values[number] = value
        index = rows.schema.get_field_index(name)
        rows = rows.set_column(index, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows.combine_chunks()


def sorts(rows: pa.Table, spec: FeatureSpec, booster: Booster) -> tuple[int, int, int]:
    """How many of the golden `rows` hold a null, a category that is no level, a value at a split or next below it."""
    import numpy as np

    from treadle.tasks.features import OTHER, category_features, encode, level_codes

    X = encode(spec, rows)
    unknown = np.zeros(len(X), dtype=bool)
    for feature in category_features(spec):
        unknown |= level_codes(spec, feature, rows) == OTHER
    missing = np.isnan(X).any(axis=1)
    for source in spec.sources:
        missing |= rows[source].is_null().to_numpy()
    at_edge = np.zeros(len(X), dtype=bool)
    for index, thresholds in _thresholds(booster).items():
        at = np.array(sorted(thresholds), dtype=np.float32)
        feature = spec.features[index]
        if feature.values:
            table = np.append(np.unique(np.array(feature.values, dtype=np.float32)), np.float32(np.inf))
            place = np.searchsorted(table, at)
            below, upper = table[np.maximum(place - 1, 0)][:, None], table[place][:, None]
        else:
            whole = feature.kind == "code" or (X[:, index] == np.rint(X[:, index]))
            below = np.where(whole, np.ceil(at)[:, None] - 1, np.nextafter(at, np.float32(-np.inf))[:, None])
            upper = np.where(whole, np.ceil(at)[:, None], at[:, None])
        at_edge |= ((X[:, index] == upper) | (X[:, index] == below)).any(axis=0)
    return int(missing.sum()), int(unknown.sum()), int(at_edge.sum())


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]


def _nulls(spec: FeatureSpec) -> Iterator[RowChange]:
    for source in spec.sources:
        yield source, None


def _unseen(spec: FeatureSpec, schema: pa.Schema) -> Iterator[RowChange]:
    """A value that is no level: a word, or the number after the greatest."""
    import pyarrow as pa

    from treadle.tasks.features import category_features

    for feature in category_features(spec):
        if pa.types.is_integer(schema.field(feature.source).type):
            yield feature.source, max((int(level) for level in feature.levels), default=0) + 1
        else:
            yield feature.source, "never seen " + "".join(feature.levels)[:20]


def _edges(spec: FeatureSpec, booster: Booster, schema: pa.Schema) -> Iterator[tuple[RowChange, RowChange]]:
    """Values at the booster's thresholds and next below: what is less goes left, so the two part."""
    import numpy as np
    import pyarrow as pa

    for index, thresholds in sorted(_thresholds(booster).items()):
        feature = spec.features[index]
        whole = pa.types.is_integer(schema.field(feature.source).type)
        for threshold in evenly_spaced(sorted(thresholds), 4):
            at = np.float32(threshold)
            above = math.ceil(at)
            if beside := _levels_beside(feature, at):
                below, level = beside
                yield (feature.source, int(below) if whole else below), (feature.source, int(level) if whole else level)
            elif feature.kind == "number" and whole and abs(at) < 2**53:
                above += round(feature.offset)
                yield (feature.source, above - 1), (feature.source, above)
            elif feature.kind == "number" and not whole:
                ends = (float(np.nextafter(at, np.float32(-np.inf))), float(at))
                yield (feature.source, ends[0] + feature.offset), (feature.source, ends[1] + feature.offset)


def _levels_beside(feature: Feature, at: np.float32) -> tuple[str, str] | None:
    """The levels whose numbers lie next below a threshold and next to it from above; None where there are none."""
    import numpy as np

    if feature.kind == "code":
        above = math.ceil(at)
        return (feature.levels[above - 1], feature.levels[above]) if 0 < above < len(feature.levels) else None
    if not feature.levels or not feature.values:
        return None
    values = np.array(feature.values, dtype=np.float32)
    lower, upper = np.where(values < at, values, -np.inf), np.where(values >= at, values, np.inf)
    if not (np.isfinite(lower).any() and np.isfinite(upper).any()):
        return None
    return feature.levels[int(lower.argmax())], feature.levels[int(upper.argmin())]


def _thresholds(booster: Booster) -> dict[int, set[float]]:
    """Feature index -> the values that its splits compare with, from the booster's own JSON."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    found: dict[int, set[float]] = {}
    for tree in learner["gradient_booster"]["model"]["trees"]:
        nodes = zip(tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True)
        for left, feature, threshold in nodes:
            if left != -1:
                found.setdefault(feature, set()).add(threshold)
    return found
