"""Stories as a training run would tell them, from drawn numbers instead of a fitted model."""

from __future__ import annotations

import numpy as np

from treadle.tasks import metrics
from treadle.tasks.booster import Curve
from treadle.tasks.gate import SliceVerdict, Verdict
from treadle.tasks.report import Story
from treadle.tasks.search import Trial


def verdict(metric: str, rows: int, decision: str = "PROMOTE", slices: tuple[SliceVerdict, ...] = ()) -> Verdict:
    return Verdict(
        decision=decision,
        headline=f"better than the dummy by 0.21 {metric}",
        reasons=("the gain is at least 0.19 with 95% confidence", "a linear model has 0.70"),
        metric=metric,
        value=0.71,
        champion_value=0.5,
        gain=0.21,
        lower=0.19,
        upper=0.23,
        power=0.99,
        rows=rows,
        rows_needed=None,
        slices=slices,
    )


def trials(count: int) -> tuple[Trial, ...]:
    rng = np.random.default_rng(3)
    return tuple(
        Trial(
            number=number,
            params={
                "learning_rate": float(10 ** rng.uniform(-2, -0.5)),
                "max_depth": int(rng.integers(3, 11)),
                "max_bin": 256,
            },
            value=None if number == 3 else float(0.7 + 0.02 * rng.random()),
            rounds=100,
            seconds=1.0,
            state="failed" if number == 3 else "pruned" if number % 3 == 2 else "complete",
        )
        for number in range(count)
    )


def draw(task: str, rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated predictions that know something of them."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        truth = rng.lognormal(3, 1, rows)
        return truth.astype(np.float32), truth * rng.normal(1, 0.2, rows)
    if task == "binary":
        p = rng.beta(1, 3, rows)
        return (rng.random(rows) < p).astype(np.float32), p
    p = rng.dirichlet(np.full(classes, 0.3), rows)
    return np.array([rng.choice(classes, p=line) for line in p], dtype=np.float32), p


def story(task: str, rows: int = 500, *, classes: int = 3, tried: int = 12, seed: int = 0, **changes: object) -> Story:
    y, p = draw(task, rows, classes, seed)
    metric = metrics.default_metric(task)
    labels = {"binary": ("no", "yes"), "regression": ()}.get(task, tuple(f"class {code}" for code in range(classes)))
    challenger = metrics.scores(task, y, p)
    values: dict[str, object] = {
        "pipeline": "orders",
        "version": None,
        "verdict": verdict(metric, rows),
        "task": task,
        "metric": metric,
        "target": "paid late",
        "classes": labels,
        "scores": {"challenger": challenger, "dummy": dict.fromkeys(challenger, 0.5)},
        "train_scores": challenger,
        "curve": Curve(
            metric, tuple(0.8 - 0.5 / n for n in range(1, 301)), tuple(0.7 - 0.4 / n for n in range(1, 301))
        ),
        "y": y,
        "p": p,
        "threshold": 0.4 if task == "binary" else None,
        "importance": {"amount": 0.6, "Customer Since": 0.3, "country": 0.1},
        "trials": trials(tried),
        "facts": {"data version": "rows@3", "seed": "0"},
        "holdout_reads": 1,
        "lower": p - 20 if task == "regression" else None,
        "upper": p + 20 if task == "regression" else None,
    }
    return Story(**{**values, **changes})  # type: ignore[arg-type]
