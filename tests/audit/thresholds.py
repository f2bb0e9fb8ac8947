"""What the default threshold flags, and what a declared cost costs, on months of flights and on rare classes.

Each month is answered for by a model of all months before; its threshold and calibration come from the month before,
answered for by a model of what lies before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pandas.api.types import is_numeric_dtype

from treadle.flows.demo.stage import joined
from treadle.tasks import booster, postprocess
from treadle.tasks.booster import MatrixRows
from treadle.tasks.threshold import ThresholdRule, choose_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS = {"eta": 0.08, "max_depth": 5, "subsample": 0.9, "colsample_bytree": 0.8, "nthread": 1}
ROUNDS = 80
MONTHS = range(4, 13)
COSTS = ((5.0, 1.0), (1.0, 1.0), (1.0, 3.0))
RULES = {"positives": ThresholdRule(), **{name: ThresholdRule(by=name) for name in ("f1_macro", "f1")}}
WORLDS = 40


class Answers(NamedTuple):
    """Calibrated probabilities and labels of rows that were left out, and of the rows after them."""

    p: np.ndarray
    y: np.ndarray
    later_p: np.ndarray
    later_y: np.ndarray


def calibrated(raw: np.ndarray, y: np.ndarray, later: np.ndarray, later_y: np.ndarray) -> Answers:
    post = postprocess.fit_postprocess("binary", (0, 1), y.astype(np.float32), raw.astype(np.float32))
    p, later_p = (postprocess.calibrate(post, one) for one in (raw, later))
    return Answers(p, y, later_p, later_y)


def flights(seed: int) -> Iterator[Answers]:
    """A month after the other, each with the month before as rows left out; a fifth of the flights."""
    with joined() as con:
        frame = con.sql(
            "SELECT * EXCLUDE (year, time_hour, tailnum, plane_model) FROM joined WHERE arrived_late IS NOT NULL "
            f"AND hash(month, day, carrier, flight, origin, {seed}) % 5 = 0"
        ).df()
    y, month = frame.pop("arrived_late").to_numpy().astype(np.float32), frame["month"].to_numpy()
    for name in frame.columns:
        if not is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("category").cat.codes
    X = frame.to_numpy(np.float32)
    fixed = booster.complete_parameters("binary", PARAMS, classes=2, device="cpu", seed=seed)
    names = [str(name) for name in frame.columns]

    def answers(of: int) -> np.ndarray:
        before, now = month < of, month == of
        fitted = booster.fit_booster(fixed, MatrixRows(X=X[before], y=y[before]), rounds=ROUNDS, names=names)
        return booster.predict_raw(fitted, X[now])

    raw = {of: answers(of) for of in MONTHS}
    for of in MONTHS[1:]:
        yield calibrated(raw[of - 1], y[month == of - 1], raw[of], y[month == of])


def rare(seed: int, share: float, rows: int = 4_000) -> Answers:
    """Scores that rank positives fairly well; `share` of the rows is positive."""
    draw = np.random.default_rng([seed, rows])

    def part() -> tuple[np.ndarray, np.ndarray]:
        y = (draw.random(rows) < share).astype(np.float32)
        odds = share / (1 - share) * np.exp(1.5 * draw.normal(size=rows) + 2.25 * y - 1.125)
        return odds / (1 + odds), y

    return calibrated(*part(), *part())


def ratio_and_f1(one: Answers, rule: ThresholdRule) -> tuple[float, float]:
    """How many times as many rows are called positive as are, and the F1 of that."""
    called = one.later_p >= choose_threshold(rule, one.p, one.y)
    hits, positives = float((called & (one.later_y == 1)).sum()), float(one.later_y.sum())
    return float(called.sum()) / positives, 2 * hits / (called.sum() + positives)


def cost(one: Answers, threshold: float, miss: float, alarm: float) -> float:
    called = one.later_p >= threshold
    return float((miss * (~called & (one.later_y == 1)) + alarm * (called & (one.later_y == 0))).mean())


def cheapest(p: np.ndarray, y: np.ndarray, miss: float, alarm: float) -> float:
    """The threshold of the least cost on these very rows."""
    order = np.argsort(-p, kind="stable")
    hits, called = np.append(0, np.cumsum(y[order])), np.arange(len(p) + 1)
    best = int(np.argmin(miss * (y.sum() - hits) + alarm * (called - hits)))
    return float(p[order[best - 1]]) if best else 1.1


def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
    months = list(flights(seed))
    worlds = {
        "flights, 8 months": months,
        "2% positive": [rare(seed * 10_007 + one, 0.02) for one in range(WORLDS * scale)],
        "0.5% positive": [rare(seed * 10_007 + one, 0.005) for one in range(WORLDS * scale)],
    }
    for name, answers in worlds.items():
        found = {by: np.array([ratio_and_f1(one, rule) for one in answers]) for by, rule in RULES.items()}
        apart = {by: float(np.abs(np.log(np.maximum(of[:, 0], 0.01))).mean()) for by, of in found.items()}
        f1 = {by: float(of[:, 1].mean()) for by, of in found.items()}
        others = max(f1["f1_macro"], f1["f1"])
        yield name, "rows called over rows positive: mean |log|", apart["positives"], min(1.0, apart["f1"])
        yield name, "the same by macro F1", apart["f1_macro"], float("inf")
        yield name, "the same by F1", apart["f1"], float("inf")
        yield name, "F1 below the better of F1 and macro F1", others - f1["positives"], 0.05
    for miss, alarm in COSTS:
        excess = np.zeros((len(months), 2))
        for place, one in enumerate(months):
            best = cost(one, cheapest(one.later_p, one.later_y, miss, alarm), miss, alarm)
            declared = choose_threshold(ThresholdRule(by="cost", miss=miss, alarm=alarm), one.p, one.y)
            cuts = (declared, cheapest(one.p, one.y, miss, alarm))
            excess[place] = [cost(one, cut, miss, alarm) / best - 1 for cut in cuts]
        by_formula, by_search = excess.mean(axis=0)
        name = f"flights, cost {miss:g} to {alarm:g}"
        yield name, "excess over the best threshold: alarm / (alarm + miss)", by_formula, by_search + 0.05
        yield name, "the same: least cost on rows left out", by_search, float("inf")
