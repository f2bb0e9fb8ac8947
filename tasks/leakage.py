"""Columns that give the target away: one alone, or two together, from which it can be computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from treadle.tasks.centring import centred_target
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from treadle.tasks.booster import MatrixRows

THRESHOLD = 0.999
"""AUC or R² from which on columns are said to give the target."""

SUSPICIOUS = 0.95
"""Where all columns together stay below this on rows not fitted on, no two of them give the target."""

ROWS, CANDIDATES = 10_000, 10


@dataclass(frozen=True, slots=True)
class Leak:
    """One or two source columns and how well they alone give the target: `metric` is 'AUC' or 'R²'."""

    columns: tuple[str, ...]
    score: float
    metric: str


def find_leaks(
    task: str,
    train: MatrixRows,
    *,
    columns: Mapping[str, Sequence[int]],
    seed: int,
    achieved: float = 0.0,
    used: Sequence[str] = (),
) -> tuple[Leak, ...]:
    """The leaks among the training rows, best first; a pair is named only where neither column leaks alone.

    `columns` maps each source column to its features' indices in `train.X`. Up to 10,000 rows are halved: trees on
    each half answer for the other. Two numbers whose weighted sum is the target (a total and its parts) are found by
    the R² of the regression on both, for every pair, and other pairs among the ten columns that a booster on all of
    them uses most. Multiclass scores are the mean AUC of each class against the rest.

    Rows count by their weights: a row of weight 2 as two, except that trees take any two rows for a leaf.

    `achieved` is the AUC or R² of the model itself on rows that it was not fitted on, and `used` are the columns that
    it used, most of all first: a tuned model on all rows may find what the quick one here cannot find on half of them.
    """
    rows = _sample(train, seed)
    rows = replace(rows, y=centred_target(task, rows.y))
    halves = _halves(len(rows.y), seed)
    together, candidates = _candidates(task, rows, columns, halves)
    metric = "R²" if task == "regression" else "AUC"
    found: list[Leak] = []
    if not (together < SUSPICIOUS and achieved < SUSPICIOUS):  # so NaN is suspicious too
        candidates = list(dict.fromkeys([*candidates, *used[:CANDIDATES]]))
        found += _read_off(task, rows, columns, candidates, halves, metric)
    if task == "regression":
        leaking = {name for leak in found for name in leak.columns}
        found += [leak for leak in _sums(rows, columns) if not leaking & set(leak.columns)]
    return tuple(sorted(found, key=lambda leak: -leak.score))


def _read_off(
    task: str,
    rows: MatrixRows,
    columns: Mapping[str, Sequence[int]],
    candidates: Sequence[str],
    halves: np.ndarray,
    metric: str,
) -> Iterator[Leak]:
    """Leaks of one candidate, then of two that do not leak alone."""
    alone = {name: _score(task, rows, columns[name], halves) for name in candidates}
    leaking = [name for name, score in alone.items() if score >= THRESHOLD]
    yield from (Leak((name,), alone[name], metric) for name in leaking)
    for pair in combinations([name for name in candidates if name not in leaking], 2):
        both = [index for name in pair for index in columns[name]]
        if (score := _score(task, rows, both, halves)) >= THRESHOLD:
            yield Leak(pair, score, metric)


def _sample(train: MatrixRows, seed: int) -> MatrixRows:
    """At most `ROWS` rows, with weights whose mean is 1 (None: all alike)."""
    import numpy as np

    if len(train.y) > ROWS:
        train = train.take(np.random.default_rng(seed).choice(len(train.y), ROWS, replace=False))
    return replace(train, weight=relative(train.weight))


def _halves(rows: int, seed: int) -> np.ndarray:
    """A random half of the rows as a mask."""
    import numpy as np

    half = np.zeros(rows, dtype=bool)
    half[np.random.default_rng(seed).permutation(rows)[: rows // 2]] = True
    return half


def _candidates(
    task: str, rows: MatrixRows, columns: Mapping[str, Sequence[int]], halves: np.ndarray
) -> tuple[float, list[str]]:
    """How well all columns together give the other half's target, and the columns by which."""
    from treadle.tasks import booster

    names = tuple(f"f{index}" for index in range(rows.X.shape[1]))
    classes = int(rows.y.max()) + 1 if task != "regression" else 0
    params = booster.complete_parameters(task, {"max_depth": 6, "eta": 0.2}, classes=classes, device="cpu", seed=0)
    fitted, other = booster.fit_booster(params, rows.take(halves), rounds=60, names=names), rows.take(~halves)
    gains = list(booster.gain_importance(fitted, names).values())
    by_column = {name: sum(gains[index] for index in indices) for name, indices in columns.items()}
    score = quality(task, other.y, booster.predict_raw(fitted, other.X), other.weight)
    return score, sorted(columns, key=lambda name: -by_column[name])[:CANDIDATES]


def _score(task: str, rows: MatrixRows, features: Sequence[int], halves: np.ndarray) -> float:
    """How well trees on these features give the target, each half answered for by the other."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    scores = []
    for fit_on in (halves, ~halves):
        half, other = rows.take(fit_on), rows.take(~fit_on)
        model = tree(min_samples_leaf=2, random_state=0).fit(half.X[:, list(features)], half.y, half.weight)
        X = other.X[:, list(features)]
        if task == "regression":
            answer = model.predict(X)
        else:
            answer = np.zeros((len(other.y), int(rows.y.max()) + 1))
            answer[:, model.classes_.astype(int)] = model.predict_proba(X)
            answer = answer[:, 1] if task == "binary" else answer
        scores.append(quality(task, other.y, answer, other.weight))
    return float(np.mean(scores))


def quality(task: str, y: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None) -> float:
    """AUC (of each class against the rest, mean), or R², of `answer` [n] or [n, classes]; rows count by `weight` [n].

    Without two classes, or a target that varies, it is 0.
    """
    import numpy as np
    from sklearn.metrics import r2_score, roc_auc_score

    if task == "regression":
        return float(r2_score(y, answer, sample_weight=weight)) if np.ptp(y) > 0 else 0.0
    codes = np.unique(y)
    if len(codes) < 2:
        return 0.0
    if task == "binary":
        return float(roc_auc_score(y, answer, sample_weight=weight))
    scores = [roc_auc_score(y == code, answer[:, int(code)], sample_weight=weight) for code in codes]
    return float(np.mean(scores))


def _sums(rows: MatrixRows, columns: Mapping[str, Sequence[int]]) -> Iterator[Leak]:
    """One number, or a pair whose weighted sum is the target: R² of the regression on both, from correlations.

    R² = (a² + b² - 2abr) / (1 - r²) with a, b the correlations with the target and r that of the two.
    """
    import numpy as np

    X, y = rows.X, rows.y
    source = [name for name, indices in columns.items() if len(indices) == 1]
    indices = [columns[name][0] for name in source]
    whole = [
        position for position, index in enumerate(indices) if np.isfinite(X[:, index]).all() and np.ptp(X[:, index]) > 0
    ]
    if not whole or np.ptp(y) == 0:
        return
    values = X[:, [indices[position] for position in whole]].astype(np.float64)
    table = correlations(np.column_stack([values, y.astype(np.float64)]), rows.weight)
    with_target, between = table[:-1, -1], table[:-1, :-1]
    for i, j in combinations(range(len(whole)), 2):
        a, b, r = with_target[i], with_target[j], between[i, j]
        if 1 - r**2 > 1e-9 and max(a**2, b**2) < THRESHOLD:
            score = (a**2 + b**2 - 2 * a * b * r) / (1 - r**2)
            if score >= THRESHOLD:
                yield Leak((source[whole[i]], source[whole[j]]), float(min(score, 1.0)), "R²")
    for i, a in enumerate(with_target):
        if a**2 >= THRESHOLD:
            yield Leak((source[whole[i]],), float(a**2), "R²")


def correlations(values: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Pearson's correlation of each two columns of `values` [n, columns], rows weighted: float64 [columns, columns].

    A column that does not vary has none: NaN.
    """
    import numpy as np

    if weight is None:
        return np.atleast_2d(np.corrcoef(values, rowvar=False))
    covariance = np.atleast_2d(np.cov(values, rowvar=False, aweights=weight))
    spread = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(covariance / np.outer(spread, spread))
