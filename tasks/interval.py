"""Regression's 90% interval: how far the target lies from the prediction, by the height of the prediction.

Fitted on answers for rows that were left out, and conformal: whatever the model is worth, nine in ten values lie inside
where later rows are like these (Vovk, Gammerman & Shafer 2005, Algorithmic learning in a random world; in bins of the
prediction: Mondrian conformal prediction, Boström & Johansson 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.target_scale import Transform, from_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from treadle.tasks.dataset.folds import Fold

MISSED = 0.1
"""Share of values that may lie outside."""

BIN_ROWS, MOST_BINS = 125, 20
"""Offsets are taken in bins of so many rows or more: with fewer, the ends are luck."""

PARTS = 5
"""Undated rows are dealt to so many parts; each is covered by bands of the others."""

LATER = 1.3
"""A piece of time counts so many times as much as the one before it. Chosen with `PIECES` on three dated tables, see
tests/audit/intervals.py."""

PIECES = 6
"""Dated rows are parted into so many pieces of time or more, to see how far one is from the others."""

QUANTILE_ROUNDS = 100
"""Rounds of a second booster for quantiles, two trees each."""

LEAST_NARROWER = 0.03
"""Quantiles of a second booster are taken where they make the mean width smaller by this share: they cost a file."""

DRIFT = 0.5
"""Standard deviations of the pieces' own factors that are added for the piece to come, on dated tables."""

MOST_WIDENED = 10.0
"""Where a window is this far from the others nothing is known of the next one, and wider bands say no more."""


QuantileScale = Literal["", "own", "log1p"]
"""The scale of a second booster's output; empty: there is none."""


class Bands(BaseModel):
    """An interval around a prediction whose ends depend on the prediction.

    On `scale` (the target's own, or log1p) the ends are the prediction plus `lower` and plus `upper`, linear between
    `knots` (predictions on the scale, rising) and constant beyond; then both are moved away from their middle by the
    factor `widen`. No end is below `floor` or above `ceiling`, where the target has such bounds. With `quantiles` the
    offsets are added to the two quantiles of a second booster instead, whose output is on that scale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Transform = ""
    knots: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    widen: float = 1.0
    floor: float | None = None
    ceiling: float | None = None
    quantiles: QuantileScale = ""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows on the scale of their bands: labels [n], predictions [n], what offsets are added to [n], weights [n].

    Weights have a mean of 1; `floor` and `ceiling` are the target's bounds, infinite where it has none.
    """

    y: np.ndarray
    p: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    floor: float
    ceiling: float

    def take(self, at: np.ndarray) -> _Rows:
        own = replace(self, y=self.y[at], p=self.p[at], weight=self.weight[at])
        return replace(own, low=self.low[at], high=self.high[at])


def fit_bands(
    y: np.ndarray,
    p: np.ndarray,
    *,
    scale: Transform = "",
    weight: np.ndarray | None = None,
    windows: np.ndarray | None = None,
    quantiles: np.ndarray | None = None,
    quantile_scale: QuantileScale = "",
) -> Bands:
    """The bands for labels `y` [n] and predictions `p` [n] of rows that the models were not fitted on, in float64.

    `scale` is the one on which errors are about equally wide for small and large predictions: log1p is ignored where a
    label is negative. `windows` [n] numbers the pieces of time in which dated rows were answered for, the oldest
    first: each is covered by bands of those before it, so that the factor `widen` tells of drift, and a later piece
    counts `LATER` times as much. `weight` [n] weighs rows, those of weight 0 do not count: the interval holds 90% of
    the weight, a row that comes counting as one of mean weight (Tibshirani, Barber, Candès & Ramdas 2019, Conformal
    prediction under covariate shift). Without rows every interval is its prediction.

    `quantiles` [n, 2] are a second booster's answers for the same rows, on the target's own scale (`quantile_scale` is
    that of its output). The bands are around these where they are surely narrower, see `_narrower`.
    """
    import numpy as np

    if not len(y) or (weight is not None and not (weight > 0).any()):
        return Bands(knots=(0.0,), lower=(0.0,), upper=(0.0,))
    weights = np.ones(len(y))
    if weight is not None:
        counts = weight > 0
        y, p, weights = y[counts], p[counts], weight[counts] / weight[counts].mean()
        windows = None if windows is None else windows[counts]
        quantiles = None if quantiles is None else quantiles[counts]
    parts, dated = np.arange(len(y)) % PARTS, False
    if windows is not None and len(np.unique(windows)) > 1:
        parts, dated = np.unique(windows, return_inverse=True)[1], True
        weights = weights * LATER**parts
        weights = weights / weights.mean()
    plain = _bands(y, p, None, weights, parts, band_scale(y, logarithm=scale == "log1p"), dated=dated)
    if quantiles is None or not np.isfinite(quantiles).all():
        return plain
    second = _bands(y, p, quantiles, weights, parts, plain.scale, dated=dated)
    second = second.model_copy(update={"quantiles": quantile_scale})
    widths = [np.subtract(*ends(one, p, quantiles)[::-1]) for one in (plain, second)]
    return second if _narrower(widths[1], widths[0], weights, parts) else plain


def band_scale(y: np.ndarray, *, logarithm: bool) -> Transform:
    """The logarithm where it is wanted and no label of `y` [n] is negative, else the target's own scale."""
    return "log1p" if logarithm and bounds(y)[0] == 0.0 else ""


def _bands(
    y: np.ndarray,
    p: np.ndarray,
    quantiles: np.ndarray | None,
    weights: np.ndarray,
    parts: np.ndarray,
    scale: Transform,
    *,
    dated: bool,
) -> Bands:
    """Bands on one scale, around the prediction or around quantiles."""
    import numpy as np

    floor, ceiling = bounds(y)
    limits = [float(_scaled(scale, np.array(bound))) for bound in (_or(floor, -np.inf), _or(ceiling, np.inf))]
    at = _scaled(scale, p)
    low, high = (at, at) if quantiles is None else (_scaled(scale, quantiles[:, side]) for side in (0, 1))
    rows = _Rows(_scaled(scale, y), at, low, high, weights, *limits)
    knots, lower, upper = _shape(rows)
    return Bands(
        scale=scale,
        knots=tuple(knots.tolist()),
        lower=tuple(lower.tolist()),
        upper=tuple(upper.tolist()),
        widen=_widening(rows, parts, dated=dated),
        floor=floor,
        ceiling=ceiling,
    )


def _narrower(other: np.ndarray, plain: np.ndarray, weight: np.ndarray, parts: np.ndarray) -> bool:
    """Whether the mean width of `other` [n] is smaller than of `plain` [n] by `LEAST_NARROWER`, and surely so.

    Both hold 90% of the same rows. Surely: by two standard errors of the difference between the parts of the rows.
    """
    import numpy as np

    ratios = []
    for part in np.unique(parts):
        own = parts == part
        total = float(weight[own] @ plain[own])
        ratios.append(float(weight[own] @ other[own]) / total if total > 0 else 1.0)
    error = float(np.std(ratios, ddof=1)) / len(ratios) ** 0.5 if len(ratios) > 1 else float("inf")
    gain = 1 - float(np.mean(ratios))
    return gain > LEAST_NARROWER and gain > 2 * error


def time_pieces(when: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Numbers the pieces of time in which rows were answered for, oldest first: int64 [n], 0 where they were not.

    `when` [n] are times as numbers. Each fold's answered rows are cut into pieces of about equal rows, so that there
    are `PIECES` or more in all; rows of one time stay together.
    """
    import numpy as np

    pieces, number = np.zeros(len(when), dtype=np.int64), 0
    each = -(-PIECES // len(folds))
    for fold in sorted(folds, key=lambda one: float(when[one.answered].min())):
        times = when[fold.answered]
        edges = np.unique(np.quantile(times, np.linspace(0, 1, each + 1)[1:-1], method="higher"))
        which = np.unique(np.searchsorted(edges, times, side="right"), return_inverse=True)[1]
        pieces[fold.answered] = number + which
        number += int(which.max()) + 1
    return pieces


def bounds(y: np.ndarray) -> tuple[float | None, float | None]:
    """What the target is never below and never above, from its labels [n]; None where nothing is known.

    0 below labels that are never negative, and above ones that are never positive; 1 above shares (0 to 1, beyond 0.5).
    """
    if not len(y):
        return None, None
    low, high = float(y.min()), float(y.max())
    ceiling = 1.0 if low >= 0 and 0.5 < high <= 1 else 0.0 if high <= 0 and low < 0 else None
    return (0.0 if low >= 0 else None), ceiling


def ends(bands: Bands, p: np.ndarray, quantiles: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end for predictions `p` float64 [n]; a prediction inside the target's bounds is never outside.

    `quantiles` [n, 2] are the second booster's, on the target's own scale, where the bands have one: without them the
    ends are NaN. The scorer repeats it (infra/tracking/scorer/postprocessing.py).
    """
    import numpy as np

    if bands.quantiles and quantiles is None:
        return np.full(len(p), np.nan), np.full(len(p), np.nan)
    at = _scaled(bands.scale, p)
    low, high = at, at
    if bands.quantiles and quantiles is not None:
        low, high = _scaled(bands.scale, quantiles[:, 0]), _scaled(bands.scale, quantiles[:, 1])
    low, high = low + np.interp(at, bands.knots, bands.lower), high + np.interp(at, bands.knots, bands.upper)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 0.0) * bands.widen
    lower = np.minimum(from_raw(bands.scale, middle - half), p)
    upper = np.maximum(from_raw(bands.scale, middle + half), p)
    if bands.floor is not None:
        lower, upper = np.maximum(lower, bands.floor), np.maximum(upper, bands.floor)
    if bands.ceiling is not None:
        lower, upper = np.minimum(lower, bands.ceiling), np.minimum(upper, bands.ceiling)
    return lower, upper


def own_quantiles(scale: QuantileScale, raw: np.ndarray) -> np.ndarray:
    """A second booster's output `raw` float32 [n, 2] as quantiles in order, float64 on the target's own scale."""
    import numpy as np

    return np.sort(from_raw("log1p" if scale == "log1p" else "", raw.astype(np.float64)), axis=1)


def _scaled(scale: Transform, values: np.ndarray) -> np.ndarray:
    """Values as the bands' scale has them: log1p of what is above 0."""
    import numpy as np

    return np.log1p(np.maximum(values, 0.0)) if scale else values


def _widening(rows: _Rows, parts: np.ndarray, *, dated: bool) -> float:
    """The factor by which bands of other parts hold 90% of the rows of each part; of dated ones, of the parts before.

    Of dated ones it is at least 1. It is larger where rows lie further from their predictions than those of earlier
    parts do, or where this distance differs between parts.
    """
    import numpy as np

    away, tiny = np.full(len(rows.y), np.nan), np.finfo(np.float64).tiny
    for part in np.unique(parts):
        own = parts == part
        others = parts < part if dated else ~own
        if not others.any():
            continue
        knots, lower, upper = _shape(rows.take(others))
        low = rows.low[own] + np.interp(rows.p[own], knots, lower)
        high = rows.high[own] + np.interp(rows.p[own], knots, upper)
        with np.errstate(over="ignore"):
            away[own] = np.abs(rows.y[own] - (low + high) / 2) / np.maximum((high - low) / 2, tiny)
    known = ~np.isnan(away)
    if not known.any():
        return 1.0
    factor = _quantile(away[known], rows.weight[known], 1 - MISSED)
    if dated:
        factor = max(factor * _spread_of_factors(away[known], parts[known]), 1.0)
    return min(factor, MOST_WIDENED)


def _spread_of_factors(away: np.ndarray, parts: np.ndarray) -> float:
    """What the piece of time to come may need beyond those that were seen, as a factor of 1 or more.

    `DRIFT` standard deviations of the factors (as logarithms) by which each of the `parts` [n] would have held 90%; 1
    where there are no two of them.
    """
    import numpy as np

    factors = [_quantile(away[parts == part], np.ones(int((parts == part).sum())), 1 - MISSED) for part in set(parts)]
    usable = np.log([one for one in factors if 0 < one < np.inf])
    return float(np.exp(min(DRIFT * float(np.std(usable, ddof=1)), 10.0))) if len(usable) > 1 else 1.0


def _shape(rows: _Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Knots with lower and upper offsets: of each bin of the predictions their mean, and conformal quantiles.

    What cannot lie beyond a bound of the target is not missed there, so the other end may miss more.
    """
    import numpy as np

    bins = min(MOST_BINS, max(1, len(rows.p) // BIN_ROWS))
    edges = np.unique(np.quantile(rows.p, np.linspace(0, 1, bins + 1)[1:-1]))
    which = np.searchsorted(edges, rows.p, side="right")
    knots, lower, upper = [], [], []
    for one in np.unique(which):
        own = rows.take(which == one)
        below, above = own.low - own.y, own.y - own.high
        low, high = -_quantile(below, own.weight, 1 - MISSED / 2), _quantile(above, own.weight, 1 - MISSED / 2)
        never_below = float(np.average(own.low + low <= own.floor, weights=own.weight))
        never_above = float(np.average(own.high + high >= own.ceiling, weights=own.weight))
        knots.append(float(own.p.mean()))
        lower.append(-_quantile(below, own.weight, 1 - MISSED / 2 * (1 + never_above)))
        upper.append(_quantile(above, own.weight, 1 - MISSED / 2 * (1 + never_below)))
    return np.array(knots), np.array(lower), np.array(upper)


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The smallest of `values` [n] below or at which `share` of the weight lies, with one row more at infinity.

    The largest where that is too few rows. `weight` [n] has a mean of about 1.
    """
    import numpy as np

    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, (reached[-1] + 1) * share * (1 - 1e-12)))
    return float(values[order[min(place, len(values) - 1)]])


def _or(bound: float | None, other: float) -> float:
    return other if bound is None else bound
