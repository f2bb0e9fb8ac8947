"""Do learning rates below those of the search pay? Prints loss, rounds and CPU seconds by rate.

    python -m tests.bench.rates [--data FOLDER] [--packages FOLDER] [--tables NAME ...]

The same folds and settings at each rate, early stopping with a patience that fits it, and as many rounds as it wants.
`gain` is how much lower the loss is than at `BASE`, in percent, with its standard error over the rows left out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tests.bench import tables
from tests.bench.encodings import error_of, of_table
from treadle.tasks import features
from treadle.tasks.booster import complete_parameters
from treadle.tasks.influence import row_losses

RATES, BASE = (0.1, 0.05, 0.02, 0.01), 0.05
SETTINGS = {
    "steady": {"max_depth": 4, "min_child_weight": 1, "subsample": 0.75, "colsample_bytree": 0.5, "lambda": 4},
    "strict": {"max_depth": 3, "min_child_weight": 8, "subsample": 0.6, "colsample_bytree": 0.3, "lambda": 30},
}
MEASURED, ROWS = 3, 10_000
PROGRESS = 60
"""Rounds x rate at most."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="folder of tables: NAME.parquet beside NAME.json")
    parser.add_argument("--packages", type=Path, help="folder with the packages that ship tables")
    parser.add_argument("--tables", nargs="+", default=["attrition", "aids_trial", "telco_churn", "ames"])
    chosen = parser.parse_args()
    known = tables.available(chosen.data, chosen.packages)
    print("| table | setting | rate | loss | gain, % | rounds | CPU seconds of a fold |\n" + "|---" * 7 + "|")
    for name in chosen.tables:
        for setting in SETTINGS:
            measure(known[name], setting)


def measure(table: tables.Table, setting: str) -> None:
    """Print a line for each rate."""
    import xgboost

    problem = of_table(table, ROWS)
    params = complete_parameters(problem.task, SETTINGS[setting], classes=problem.classes, device="cpu", seed=0)
    losses: dict[float, list[np.ndarray]] = {rate: [] for rate in RATES}
    rounds, seconds = ({rate: list[float]() for rate in RATES} for _ in range(2))
    for fold in problem.folds[:MEASURED]:
        known, y = problem.table.take(fold.fitted), problem.y[fold.fitted]
        spec = features.fit_features(
            known,
            problem.schema,
            columns=known.column_names,
            categories=(),
            time=problem.time,
            timezone="",
        )
        truth = problem.y[fold.answered]
        fitted = xgboost.QuantileDMatrix(features.encode(spec, known), y, nthread=1)
        held = features.encode(spec, problem.table.take(fold.answered))
        apart = xgboost.QuantileDMatrix(held, truth, ref=fitted, nthread=1)
        for rate in RATES:
            began = time.process_time()
            booster = xgboost.train(
                {**params, "eta": rate, "nthread": 1},
                fitted,
                num_boost_round=int(PROGRESS / rate),
                evals=[(apart, "held")],
                early_stopping_rounds=max(int(4 / rate), 20),
                verbose_eval=False,
            )
            seconds[rate].append(time.process_time() - began)
            rounds[rate].append(booster.best_iteration + 1)
            raw = booster.predict(apart, iteration_range=(0, booster.best_iteration + 1)).astype(np.float64)
            losses[rate].append(
                (raw - truth) ** 2 if problem.task == "regression" else row_losses("log_loss", truth, raw)
            )
    base = np.concatenate(losses[BASE])
    for rate in RATES:
        own = np.concatenate(losses[rate])
        gain, error = (100 * one / base.mean() for one in ((base - own).mean(), error_of(base - own, None)))
        figures = f"{own.mean():.5g} | {gain:+.2f} ± {error:.2f} | {np.mean(rounds[rate]):.0f}"
        print(f"| {table.name} | {setting} | {rate} | {figures} | {np.mean(seconds[rate]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
