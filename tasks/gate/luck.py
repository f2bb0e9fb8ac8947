"""Could a score be luck? Exact permutations of the labels; where rows depend on each other, a bound over the dummy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.tasks import baselines, metrics
from treadle.tasks.gate.resample import gain_spread
from treadle.tasks.gate.weighted_luck import orders, weighted_score
from treadle.tasks.influence import class_codes, quantile_metric, row_losses
from treadle.tasks.weights import relative

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from treadle.tasks.gate.values import Judged
    from treadle.tasks.influence import Floats

    Score = Callable[[np.ndarray], Floats]
    """Labels [shuffles, n] -> how good each row of them is: the metric, or what rises with it."""

PERMUTATIONS = 9_999
STAGES = (1_000, 20_000)
"""So many rows at most: few of them first, as most models show on few already that they are no luck."""

GIVEN_UP = 20
"""After so many shuffles that score as well the rest would change nothing (Besag & Clifford 1991)."""

CELLS = 1_000_000


def luck(judged: Judged, seed: int) -> float:
    """The probability of so good a score by a challenger whose predictions say nothing: 1 if they do say nothing.

    Where rows do not depend on each other, the share of 9,999 permutations of the labels that score as well, the real
    order counted among them (Phipson & Smyth 2010): exact whatever the metric. More than 1,000 rows are tested twice,
    on a sample of 1,000 and if that does not do on 20,000 at most; the smaller share counts double, for there were two
    tests. Where rows depend on each other, the one-sided p-value of the gain over a dummy that always answers these
    rows' own mean or shares.

    Where rows have weights, each label keeps its own: the pairs of label and weight are permuted against the
    predictions, so that weights by class (claims that weigh more) cannot pass for a model that tells them apart.
    """
    import numpy as np

    if not np.isfinite(judged.challenger).all():
        return 1.0
    if judged.groups is not None or judged.times is not None:
        return _by_bound(judged)
    draw = np.random.default_rng([seed, 1])  # not the stream of other draws
    if len(judged.y) <= STAGES[0]:
        return _by_permutation(judged, np.arange(len(judged.y)), draw)
    share = 1.0
    for most in STAGES:
        some = np.sort(draw.permutation(len(judged.y))[:most])
        share = min(share, _by_permutation(judged, some, draw))
        if share <= 1 / (PERMUTATIONS + 1):
            break
    return min(1.0, 2 * share)


def _by_bound(judged: Judged) -> float:
    import numpy as np

    y = judged.y
    classes = judged.challenger.shape[1] if judged.challenger.ndim == 2 else 0
    dummy = baselines.dummy(judged.task, y, len(y), classes=classes, weight=judged.weight, metric=judged.metric)
    over = gain_spread(replace(judged, champion=dummy, champion_threshold=0.5), judged.metric)
    return over.standard.beyond(over.gain) if np.isfinite(over.gain) else 1.0


def _by_permutation(judged: Judged, rows: np.ndarray, draw: np.random.Generator) -> float:
    """The share of permutations that score as well as the real order, on the rows at the positions `rows`."""
    import numpy as np

    order = rows[np.argsort(judged.challenger[rows], kind="stable")] if judged.task == "binary" else rows
    y, p = (np.asarray(of[order], dtype=np.float64) for of in (judged.y, judged.challenger))
    weights = relative(None if judged.weight is None else judged.weight[order])
    if weights is None:
        score, unshuffled = _score(judged, y, p), y[None, :]
    else:
        score = weighted_score(judged, y, p, weights)
        unshuffled = np.arange(len(y))[None, :]
    actual = float(score(unshuffled)[0])
    if not np.isfinite(actual):
        return 1.0
    least = actual - 1e-9 * max(1.0, abs(actual))
    as_good, done, several = 0, 0, 50
    while done < PERMUTATIONS and as_good < GIVEN_UP:
        several = min(2 * several, max(1, CELLS // len(y)), PERMUTATIONS - done)
        shuffled = _shuffled(judged.task, y, several, draw) if weights is None else orders(len(y), several, draw)
        as_good += int((score(shuffled) >= least).sum())
        done += several
    return (as_good + 1) / (done + 1)


def _shuffled(task: str, y: Floats, several: int, draw: np.random.Generator) -> np.ndarray:
    """Labels in random orders, [several, n]."""
    import numpy as np

    if task != "binary":
        coded = y if task == "regression" else y.astype(np.uint8)
        return np.array([draw.permutation(coded) for _ in range(several)])
    labels, positives = np.zeros((several, len(y)), dtype=np.uint8), int(y.sum())
    for one in labels:
        one[draw.choice(len(y), positives, replace=False, shuffle=False)] = 1
    return labels


def _score(judged: Judged, y: Floats, p: Floats) -> Score:
    """What of the metric does not depend on the order of the labels is computed once; binary `p` comes sorted."""
    import numpy as np

    if judged.task == "multiclass":
        return _of_classes(judged.metric, y, p)
    if judged.task == "binary":
        return _of_two(judged.metric, y, p, judged.challenger_threshold)
    if quantile_metric(judged.metric):
        return lambda labels: np.asarray(-row_losses(judged.metric, labels, p).mean(axis=1))
    return lambda labels: np.asarray(labels @ p)  # squares of y and of p stay the same, so R² and RMSE follow this


def _of_two(metric: str, y: Floats, p: Floats, threshold: float) -> Score:
    import numpy as np

    rows, positives = len(y), int(y.sum())
    if metric == "average_precision":
        return _average_precision(p)
    if metric == "roc_auc":
        weight, base = _midranks(p), 0.0 if 0 < positives < rows else float("nan")
    elif metric == "f1":
        given = class_codes(p, threshold)
        weight, base = 2 * given / (given.sum() + positives), 0.0
    else:
        sides = [row_losses(metric, np.full(rows, side), p, threshold) for side in (0.0, 1.0)]
        weight, base = (sides[1] - sides[0]) * (1.0 if metrics.greater_is_better(metric) else -1.0), 0.0
    return lambda labels: np.asarray(labels @ weight + base)


def _of_classes(metric: str, y: Floats, p: Floats) -> Score:
    """Counts of each class and of each answer stay the same; only how they meet changes."""
    import numpy as np

    classes, given = p.shape[1], class_codes(p)
    actual = np.bincount(y.astype(np.int64), minlength=classes)
    held = np.flatnonzero(actual)
    if metric in ("log_loss", "accuracy"):
        sign = 1.0 if metric == "accuracy" else -1.0
        losses = [sign * row_losses(metric, np.full(len(y), float(one)), p) for one in held]
        return lambda labels: np.asarray(
            sum((labels == one) @ loss for one, loss in zip(held, losses, strict=True)), dtype=np.float64
        )
    answered = np.bincount(given.astype(np.int64), minlength=classes)
    of = actual if metric == "balanced_accuracy" else (actual + answered) / 2

    def score(labels: np.ndarray) -> Floats:
        hits = [((labels == one) & (given == one)).sum(axis=1) / of[one] for one in held]
        return np.asarray(np.mean(hits, axis=0), dtype=np.float64)

    return score


def _midranks(p: Floats) -> Floats:
    """Ranks of sorted `p` from 1, ties in the middle."""
    import numpy as np

    starts = np.flatnonzero(np.r_[True, p[1:] > p[:-1]])
    sizes = np.diff(np.r_[starts, len(p)])
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def _average_precision(p: Floats) -> Score:
    import numpy as np

    starts = np.flatnonzero(np.r_[True, p[1:] > p[:-1]])
    flagged = len(p) - starts

    def score(labels: np.ndarray) -> Floats:
        positives = np.add.reduceat(labels.astype(np.float64), starts, axis=1)
        found = np.cumsum(positives[:, ::-1], axis=1)[:, ::-1]
        return np.asarray((positives * found / flagged).sum(axis=1))

    return score
