"""Columns that give the target away: one alone, or two together, from which it can be computed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from treadle.tasks.centring import centred_target

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

    `achieved` is the AUC or R² of the model itself on rows that it was not fitted on, and `used` are the columns that
    it used, most of all first: a tuned model on all rows may find what the quick one here cannot find on half of them.
    """
    X, y = _sample(train, seed)
    y = centred_target(task, y)
    halves = _halves(len(y), seed)
    together, candidates = _candidates(task, X, y, columns, halves)
    metric = "R²" if task == "regression" else "AUC"
    found: list[Leak] = []
    if not (together < SUSPICIOUS and achieved < SUSPICIOUS):  # so NaN is suspicious too
        candidates = list(dict.fromkeys([*candidates, *used[:CANDIDATES]]))
        found += _read_off(task, X, y, columns, candidates, halves, metric)
    if task == "regression":
        leaking = {name for leak in found for name in leak.columns}
        found += [leak for leak in _sums(X, y, columns) if not leaking & set(leak.columns)]
    return tuple(sorted(found, key=lambda leak: -leak.score))


def _read_off(
    task: str,
    X: np.ndarray,
    y: np.ndarray,
    columns: Mapping[str, Sequence[int]],
    candidates: Sequence[str],
    halves: np.ndarray,
    metric: str,
) -> Iterator[Leak]:
    """Leaks of one candidate, then of two that do not leak alone."""
    alone = {name: _score(task, X[:, list(columns[name])], y, halves) for name in candidates}
    leaking = [name for name, score in alone.items() if score >= THRESHOLD]
    yield from (Leak((name,), alone[name], metric) for name in leaking)
    for pair in combinations([name for name in candidates if name not in leaking], 2):
        both = [index for name in pair for index in columns[name]]
        if (score := _score(task, X[:, both], y, halves)) >= THRESHOLD:
            yield Leak(pair, score, metric)


def _sample(train: MatrixRows, seed: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    if len(train.y) <= ROWS:
        return train.X, train.y
    chosen = np.random.default_rng(seed).choice(len(train.y), ROWS, replace=False)
    return train.X[chosen], train.y[chosen]


def _halves(rows: int, seed: int) -> np.ndarray:
    """A random half of the rows as a mask."""
    import numpy as np

    half = np.zeros(rows, dtype=bool)
    half[np.random.default_rng(seed).permutation(rows)[: rows // 2]] = True
    return half


def _candidates(
    task: str, X: np.ndarray, y: np.ndarray, columns: Mapping[str, Sequence[int]], halves: np.ndarray
) -> tuple[float, list[str]]:
    """How well all columns together give the other half's target, and the columns by which."""
    from treadle.tasks import booster

    names = tuple(f"f{index}" for index in range(X.shape[1]))
    classes = int(y.max()) + 1 if task != "regression" else 0
    params = booster.complete_parameters(task, {"max_depth": 6, "eta": 0.2}, classes=classes, device="cpu", seed=0)
    half = _part(X, y, halves)
    fitted = booster.fit_booster(params, half, rounds=60, names=names)
    gains = list(booster.gain_importance(fitted, names).values())
    by_column = {name: sum(gains[index] for index in indices) for name, indices in columns.items()}
    score = quality(task, y[~halves], booster.predict_raw(fitted, X[~halves]))
    return score, sorted(columns, key=lambda name: -by_column[name])[:CANDIDATES]


def _part(X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> MatrixRows:
    from treadle.tasks.booster import MatrixRows

    return MatrixRows(X=X[rows], y=y[rows])


def _score(task: str, X: np.ndarray, y: np.ndarray, halves: np.ndarray) -> float:
    """How well trees on these columns give the target, each half answered for by the other."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    scores = []
    for fit_on in (halves, ~halves):
        model = tree(min_samples_leaf=2, random_state=0).fit(X[fit_on], y[fit_on])
        if task == "regression":
            answer = model.predict(X[~fit_on])
        else:
            answer = np.zeros((int((~fit_on).sum()), int(y.max()) + 1))
            answer[:, model.classes_.astype(int)] = model.predict_proba(X[~fit_on])
            answer = answer[:, 1] if task == "binary" else answer
        scores.append(quality(task, y[~fit_on], answer))
    return float(np.mean(scores))


def quality(task: str, y: np.ndarray, answer: np.ndarray) -> float:
    """AUC (of each class against the rest, mean), or R², of `answer` [n] or [n, classes]."""
    import numpy as np
    from sklearn.metrics import r2_score, roc_auc_score

    if task == "regression":
        return float(r2_score(y, answer)) if np.ptp(y) > 0 else 0.0
    codes = np.unique(y)
    if len(codes) < 2:
        return 0.0
    if task == "binary":
        return float(roc_auc_score(y, answer))
    return float(np.mean([roc_auc_score(y == code, answer[:, int(code)]) for code in codes]))


def _sums(X: np.ndarray, y: np.ndarray, columns: Mapping[str, Sequence[int]]) -> Iterator[Leak]:
    """One number, or a pair whose weighted sum is the target: R² of the regression on both, from correlations.

    R² = (a² + b² - 2abr) / (1 - r²) with a, b the correlations with the target and r that of the two.
    """
    import numpy as np

    source = [name for name, indices in columns.items() if len(indices) == 1]
    indices = [columns[name][0] for name in source]
    whole = [
        position for position, index in enumerate(indices) if np.isfinite(X[:, index]).all() and np.ptp(X[:, index]) > 0
    ]
    if not whole or np.ptp(y) == 0:
        return
    values = X[:, [indices[position] for position in whole]].astype(np.float64)
    table = np.atleast_2d(np.corrcoef(np.column_stack([values, y.astype(np.float64)]), rowvar=False))
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
