"""Target statistics: a level as the target's mean in its training rows, shrunk to the mean of all.

A row's own label must never be in its own statistic: a model would learn to read it there. So a booster is fitted on
`cross_fitted` rows, each with statistics of rows in other folds, while rows that have no label yet get those of all
training rows. See Micci-Barreca 2001, A preprocessing scheme for high-cardinality categorical attributes; Prokhorenkova
and others 2018, CatBoost, for the leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.centring import offset_of
from treadle.tasks.features.encoding import encode, level_codes
from treadle.tasks.features.fitting import xgboost_name
from treadle.tasks.features.masking import mask_known_levels
from treadle.tasks.features.spec import OTHER, Feature, FeatureSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa

INNER_FOLDS = 5

MOST_CLASSES = 10
"""With more classes there are no statistics: each class but one takes a feature."""

LEAST_PRIOR = 1.0
"""A level's rows are outweighed by at least so many of the mean of all, however alike they are."""


def has_statistics(spec: FeatureSpec) -> bool:
    """Whether the spec has target statistics or counts, open or fitted."""
    return any(feature.kind in ("statistic", "count") for feature in spec.features)


def fit_statistics(
    spec: FeatureSpec, rows: pa.Table, y: np.ndarray, *, task: str, classes: int, weight: np.ndarray | None = None
) -> FeatureSpec:
    """`spec` with its open statistics and counts fitted on these rows; without open ones as it is.

    `y` [rows] are values or class codes, `weight` [rows] the rows' weights. With several classes an open
    statistic becomes a feature for each class but the first, with more than `MOST_CLASSES` the code of its level.
    """
    if not any(feature.is_open for feature in spec.features):
        return spec
    named: dict[str, Feature] = {}
    offset = offset_of(y) if task == "regression" else 0.0
    for feature in _declared(spec, task, classes):
        name = xgboost_name(feature.name, named)
        named[name] = feature.model_copy(update={"name": name})
        if feature.is_open:
            groups = _groups(spec, feature, rows)
            if feature.kind == "count":
                named[name] = named[name].model_copy(update=_counted(groups, len(feature.levels)))
                continue
            named[name] = named[name].model_copy(update={"offset": offset})
            table = _tables(groups, _targets(named[name], y), weight, len(feature.levels) + 2, None)[0]
            *values, fallback, missing = (float(f"{value:.7g}") for value in table)
            update = {"values": tuple(values), "fallback": fallback, "missing": missing}
            named[name] = named[name].model_copy(update=update)
    return spec.model_copy(update={"features": tuple(named.values())})


def cross_fitted(
    spec: FeatureSpec,
    rows: pa.Table,
    y: np.ndarray,
    *,
    task: str,
    classes: int,
    seed: int,
    groups: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    masked: bool = True,
) -> tuple[FeatureSpec, np.ndarray]:
    """`spec` fitted on these rows, and the rows encoded for fitting a booster: float32 [rows, features].

    In the encoded rows each row's statistics come from the other `INNER_FOLDS`: rows dealt by `y`, or whole `groups`
    [rows] where they are given. A spec without open statistics is only applied. With `masked` some known levels are
    masked (`mask_known_levels`), so that the booster learns what to answer for unseen ones.
    """
    closed = fit_statistics(spec, rows, y, task=task, classes=classes, weight=weight)
    X = encode(spec, rows) if closed is spec else out_of_fold(closed, rows, y, seed=seed, groups=groups, weight=weight)
    return closed, mask_known_levels(closed, rows, X, y, seed=seed) if masked else X


def out_of_fold(
    spec: FeatureSpec,
    rows: pa.Table,
    y: np.ndarray,
    *,
    seed: int,
    groups: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Labelled rows encoded by a fitted spec, its statistics taken anew from the rows of other folds.

    For whatever compares features with labels: with the spec's own statistics rows that it was fitted on would give
    their labels away. Parameters as in `cross_fitted`.
    """
    import numpy as np

    encoded = encode(spec, rows)
    fold = _inner_folds(y, seed, groups)
    for index, feature in enumerate(spec.features):
        if feature.kind == "statistic":
            of = _groups(spec, feature, rows)
            tables = _tables(of, _targets(feature, y), weight, len(feature.levels) + 2, fold)
            encoded[:, index] = tables[fold, of].astype(np.float32)
    return encoded


def _declared(spec: FeatureSpec, task: str, classes: int) -> Iterator[Feature]:
    """The features of the fitted spec: open statistics by class, or codes where there are too many classes."""
    coded = {feature.source for feature in spec.features if feature.kind == "code"}
    for feature in spec.features:
        if not feature.is_open or feature.kind == "count" or task != "multiclass":
            yield feature
        elif classes <= MOST_CLASSES:
            for code in range(1, classes):
                yield feature.model_copy(update={"name": f"{feature.name}.{code}", "class_code": code})
        elif feature.source not in coded:
            yield feature.model_copy(update={"name": feature.source, "kind": "code"})


def _counted(level: np.ndarray, levels: int) -> dict[str, object]:
    """The fields of a fitted count: rows of each level (int64 [rows], see `_groups`) as the logarithm of 1 + so many.

    A level that no row has counts 0, and so does every value that is no level.
    """
    import numpy as np

    counts = [round(float(value), 6) for value in np.log1p(np.bincount(level, minlength=levels + 2))]
    return {"values": tuple(counts[:levels]), "fallback": 0.0, "missing": counts[levels + 1]}


def _groups(spec: FeatureSpec, feature: Feature, rows: pa.Table) -> np.ndarray:
    """The level of each row, int64 [rows]: a null is a level of its own, after that of all that are none."""
    import numpy as np

    codes, levels = level_codes(spec, feature, rows), len(feature.levels)
    placed = np.where(codes == OTHER, levels, codes)
    return np.where(np.isnan(codes), levels + 1, placed).astype(np.int64)


def _targets(feature: Feature, y: np.ndarray) -> np.ndarray:
    import numpy as np

    if feature.class_code is not None:
        return np.asarray((y == feature.class_code).astype(np.float64))
    return np.asarray(y.astype(np.float64) - feature.offset)


def _inner_folds(y: np.ndarray, seed: int, groups: np.ndarray | None) -> np.ndarray:
    """The fold of each row, int64 [rows]."""
    import numpy as np

    from treadle.tasks.dataset.folds import deal

    if groups is None:
        return deal(y, seed, INNER_FOLDS)
    _, group = np.unique(groups, return_inverse=True)
    return deal(np.zeros(group.max(initial=-1) + 1), seed, INNER_FOLDS)[group]


def _tables(
    of: np.ndarray, target: np.ndarray, weight: np.ndarray | None, levels: int, fold: np.ndarray | None
) -> np.ndarray:
    """The shrunk means of each level, float64 [1, levels], or for each fold those of all rows outside it."""
    import numpy as np

    middle = float(np.average(target, weights=weight)) if len(target) else 0.0
    apart = target - middle
    rows = np.ones(len(target)) if weight is None else weight * (len(target) / weight.sum())
    folds = INNER_FOLDS if fold is not None else 1
    cell = of if fold is None else fold * levels + of
    counts, sums, squares = (
        np.bincount(cell, weights=one, minlength=folds * levels).reshape(folds, levels)
        for one in (rows, rows * apart, rows * apart**2)
    )
    if fold is not None:
        counts, sums, squares = (one.sum(axis=0) - one for one in (counts, sums, squares))
        counts[counts < 1e-9 * max(1, len(target))] = 0.0  # differences of weights are not quite zero
    return middle + np.array([_shrunk(*one) for one in zip(counts, sums, squares, strict=True)])


def _shrunk(counts: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The credible mean of each level, float64 [levels]; a level without rows has that of the last but one, `OTHER`.

    A level's own mean has the weight n / (n + within / between), with the variance of rows within levels and of the
    levels' means, both by the method of moments (Bühlmann and Straub 1970; Searle, Casella and McCulloch 1992, 3.6).
    """
    import numpy as np

    total, filled = counts.sum(), counts > 0
    if not filled.any():
        return np.zeros(len(counts))
    prior = sums.sum() / total
    means = np.where(filled, sums / np.where(filled, counts, 1), prior)
    levels = int(filled.sum())
    within = max(0.0, float((squares - counts * means**2).sum())) / max(total - levels, 1e-9)
    credible = np.zeros(len(counts))
    if levels > 1 and total > levels:
        size = (total - (counts**2).sum() / total) / (levels - 1)
        spread = float((counts * (means - prior) ** 2).sum()) / (levels - 1)
        between = max(0.0, (spread - within) / max(size, 1e-9))
        if between > 0:
            credible = counts / (counts + max(within / between, LEAST_PRIOR))
    shrunk = prior + credible * (means - prior)
    return np.asarray(np.where(filled, shrunk, shrunk[-2]))
