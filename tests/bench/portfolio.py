"""Which XGBoost settings to try first: measured on public tables, then chosen greedily (`make bench-portfolio`).

`measure` appends a line per table and setting to a CSV: loss, rounds and CPU seconds of a cross-validation (the last
window of a dated table) with early stopping. One thread, so that CPU seconds mean something on a busy machine. Early
stopping and score use the same rows, which is equally optimistic for every setting of one rate and a little kinder to
slow ones. `choose` reads the CSV and prints the orders. Unseen tables are never measured here.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import pandas as pd

    from tests.bench.tables import Table

MOST_ROUNDS, FOLDS = 1_500, 3
MOST_SECONDS = 10.0
"""CPU seconds of a fold; a booster that takes longer is scored as it is then: a search of a minute has no more."""

ONE_FOLD = 5_000
"""Rows from which one of the folds says enough."""

SETTINGS: dict[str, dict[str, float | str]] = {
    # XGBoost's tuned defaults (Holzmueller et al. 2024, "Better by default")
    "tuned_classes": {"eta": 0.08, "max_depth": 6, "min_child_weight": 5e-6, "lambda": 0, "colsample_bylevel": 0.9,
                      "subsample": 0.65},
    "tuned_numbers": {"eta": 0.05, "max_depth": 9, "min_child_weight": 2, "lambda": 0, "subsample": 0.7},
    "slow_deep": {"eta": 0.018, "max_depth": 13, "min_child_weight": 2, "alpha": 1.1, "subsample": 0.84,
                  "colsample_bytree": 0.75, "colsample_bylevel": 0.58},
    # AutoGluon's portfolio for XGBoost (TabRepo)
    "ag_69_018_10": {"colsample_bytree": 0.69, "eta": 0.018, "max_depth": 10, "min_child_weight": 0.60},
    "ag_66_088_5": {"colsample_bytree": 0.66, "eta": 0.088, "max_depth": 5, "min_child_weight": 0.63},
    "ag_91_093_7": {"colsample_bytree": 0.91, "eta": 0.093, "max_depth": 7, "min_child_weight": 0.80},
    "ag_52_0072_9": {"colsample_bytree": 0.52, "eta": 0.0072, "max_depth": 9, "min_child_weight": 0.86},
    "ag_75_010_4": {"colsample_bytree": 0.75, "eta": 0.010, "max_depth": 4, "min_child_weight": 0.92},
    "ag_leaves_10": {"grow_policy": "lossguide", "eta": 0.0068, "max_depth": 0, "max_leaves": 10, "alpha": 4.2},
    # treadle's portfolio up to 0.1
    "default": {"eta": 0.08, "max_depth": 6, "min_child_weight": 1, "subsample": 0.9, "colsample_bytree": 0.8},
    "shallow": {"eta": 0.09, "max_depth": 4, "min_child_weight": 0.6, "subsample": 0.9, "colsample_bytree": 0.9},
    "deep": {"eta": 0.07, "max_depth": 8, "min_child_weight": 1.2, "subsample": 0.85, "colsample_bytree": 0.7,
             "lambda": 2},
    "deepest": {"eta": 0.07, "max_depth": 10, "min_child_weight": 1.4, "subsample": 0.8, "colsample_bytree": 0.6,
                "lambda": 4},
    "small_4": {"eta": 0.05, "max_depth": 4, "min_child_weight": 1, "subsample": 0.75, "colsample_bytree": 0.5,
                "lambda": 4},
    "small_2": {"eta": 0.08, "max_depth": 2, "min_child_weight": 1, "subsample": 0.8, "colsample_bytree": 0.6},
    "small_3": {"eta": 0.05, "max_depth": 3, "min_child_weight": 4, "subsample": 0.7, "colsample_bytree": 0.5,
                "lambda": 10},
    # shallow and strongly regularised, for small and noisy tables
    "strong_2": {"eta": 0.03, "max_depth": 2, "min_child_weight": 5, "subsample": 0.6, "colsample_bytree": 0.4,
                 "lambda": 20},
    "strong_3": {"eta": 0.03, "max_depth": 3, "min_child_weight": 8, "subsample": 0.6, "colsample_bytree": 0.3,
                 "lambda": 30},
    # a cheap one for tables where rounds are slow, and leaves instead of levels
    "quick_5": {"eta": 0.2, "max_depth": 5, "min_child_weight": 2, "subsample": 0.9, "colsample_bytree": 0.8,
                "lambda": 2},
    "leaves_31": {"grow_policy": "lossguide", "eta": 0.05, "max_depth": 0, "max_leaves": 31, "min_child_weight": 5,
                  "subsample": 0.8, "colsample_bytree": 0.8},
}  # fmt: skip


SMALL_ONLY = (
    "small_2", "small_3", "strong_2", "strong_3",
    # five to ten times the median cost, and far from the best on the first ten samples
    "ag_69_018_10", "ag_52_0072_9", "ag_leaves_10",
)  # fmt: skip
"""Settings that are not measured on tables of 2,000 training rows and more."""


@dataclass(frozen=True)
class Sample:
    """A table, or so many of its rows, and the group of sizes for which it speaks."""

    table: str
    rows: int
    group: str

    @property
    def name(self) -> str:
        return f"{self.table}@{self.rows}"


def fits(setting: str, group: str) -> bool:
    """Is a setting measured on samples of this group?"""
    return group == "small" or setting not in SMALL_ONLY


SAMPLES = (
    Sample("attrition", 1_470, "small"),
    Sample("breast_cancer", 569, "small"),
    Sample("aids_trial", 2_139, "small"),
    Sample("telco_churn", 1_000, "small"),
    Sample("ames", 1_000, "small"),
    Sample("randhie", 1_500, "small"),
    Sample("nlswork", 1_500, "small"),
    Sample("diamonds", 1_000, "small"),
    Sample("telco_churn", 7_043, "middle"),
    Sample("movielens", 20_000, "large"),
    Sample("hotel_rates", 15_402, "middle"),
    Sample("adult", 20_000, "large"),
    Sample("ames", 2_930, "middle"),
    Sample("inst_eval", 20_000, "large"),
    Sample("bike_hour", 17_379, "middle"),
    Sample("flights_late", 20_000, "large"),
    Sample("lending_club", 9_857, "middle"),
    Sample("diamonds", 20_000, "large"),
    Sample("nlswork", 10_000, "middle"),
    Sample("gss_wages", 20_000, "large"),
    Sample("chicago_rides", 5_698, "middle"),
    Sample("diabetes_readmit", 6_000, "middle"),
    Sample("digits", 1_797, "small"),
)
"""Small tables speak for fewer than 2,000 training rows, 20,000 rows of large tables for large tables."""


@dataclass(frozen=True)
class Measurement:
    """One setting on one sample; `loss`: log loss or RMSE of the scaled target; `cut`: time or rounds ended."""

    sample: str
    group: str
    setting: str
    loss: float
    rounds: float
    cpu_seconds: float
    cut: bool


def patience(rate: float) -> int:
    """Rounds without a gain after which a booster of this learning rate stops."""
    return int(min(max(3 / rate, 25), 200))


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as codes in sorted order, dates as days and calendar parts, missing as NaN."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in frame:
        column = frame[name]
        if pd.api.types.is_datetime64_any_dtype(column):
            columns |= {
                f"{name}_days": (column - column.min()).dt.total_seconds() / 86_400,
                **{f"{name}_{part}": getattr(column.dt, part) for part in ("month", "day_of_week", "hour")},
            }
        elif pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype(float)
        else:
            codes = pd.Categorical(column.astype("str")).codes
            columns[name] = pd.Series(codes, index=frame.index).where(column.notna()).astype(float)
    return pd.DataFrame(columns)


def sampled(table: Table, rows: int) -> pd.DataFrame:
    """At most `rows` rows, drawn once for all settings; a dated table in the order of its dates."""
    frame = tables.read(table)
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=zlib.crc32(table.name.encode()))
    frame = frame.sort_values(table.time, kind="stable") if table.time else frame
    return frame.reset_index(drop=True)


def parts(table: Table, frame: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and rows to watch: three folds, one of them for many rows, the last fifth of a dated table."""
    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    target = frame[table.target]
    if table.split == "time":
        cut = int(len(frame) * 0.8)
        return [(np.arange(cut), np.arange(cut, len(frame)))]
    if table.split == "group":
        folds = list(GroupKFold(FOLDS).split(frame, target, frame[table.group]))
    else:
        kind = KFold if table.task == "regression" else StratifiedKFold
        folds = list(kind(FOLDS, shuffle=True, random_state=1).split(frame, target))
    return folds[: 1 if len(frame) >= ONE_FOLD else FOLDS]


def measured(sample: Sample, table: Table, frame: pd.DataFrame, setting: str) -> Measurement:
    """Cross-validate one setting; each fold takes at most `MOST_SECONDS` of CPU."""
    import numpy as np
    import xgboost as xgb

    labels = tables.classes(table, frame[table.target])
    if labels:
        target = frame[table.target].map({label: code for code, label in enumerate(labels)}).to_numpy(float)
    else:
        target = frame[table.target].to_numpy(float)
    features = numbers(frame.drop(columns=[table.target, *[name for name in table.drop if name in frame]]))
    scale = float(np.std(target)) if not labels else 1.0
    target = (target - target.mean()) / scale if not labels else target
    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
    params: dict[str, Any] = {
        "tree_method": "hist", "nthread": 1, "seed": 1, "objective": objective[table.task],
        "eval_metric": {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}[table.task],
        **({"num_class": len(labels)} if table.task == "multiclass" else {}),
        **SETTINGS[setting],
    }  # fmt: skip
    folds = parts(table, frame)

    class Clock(xgb.callback.TrainingCallback):
        def __init__(self) -> None:
            self.end = time.process_time() + MOST_SECONDS
            self.over = False

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            self.over = time.process_time() > self.end
            return self.over

    began, losses, rounds, cut = time.process_time(), [], [], False
    for fit, watch in folds:
        inside = xgb.QuantileDMatrix(features.iloc[fit], target[fit], nthread=1)
        outside = xgb.QuantileDMatrix(features.iloc[watch], target[watch], ref=inside, nthread=1)
        clock = Clock()
        booster = xgb.train(
            params, inside, MOST_ROUNDS, evals=[(outside, "watched")], verbose_eval=False, callbacks=[clock],
            early_stopping_rounds=patience(float(params["eta"])),
        )  # fmt: skip
        losses.append(booster.best_score)
        rounds.append(booster.best_iteration + 1)
        cut |= clock.over or booster.num_boosted_rounds() >= MOST_ROUNDS
    return Measurement(
        sample.name, sample.group, setting, round(statistics.fmean(losses), 6), statistics.fmean(rounds),
        round(time.process_time() - began, 2), cut,
    )  # fmt: skip


def measure(out: Path, found: Mapping[str, Table], samples: Iterable[Sample]) -> None:
    """Append what `out` does not have yet."""
    done = {(one.sample, one.setting) for one in recorded(out)}
    for sample in samples:
        table = found.get(sample.table)
        if table is None or table.unseen:
            print(f"{sample.name}: left out, its table is not there", flush=True)
            continue
        frame = sampled(table, sample.rows)
        for setting in SETTINGS:
            if fits(setting, sample.group) and (sample.name, setting) not in done:
                result = measured(sample, table, frame, setting)
                append(out, result)
                print(f"{sample.name:24} {setting:16} {result.loss:.5f} {result.cpu_seconds:6.1f} s", flush=True)


def append(out: Path, result: Measurement) -> None:
    """One more line of the CSV, with a header if it is the first."""
    fresh = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(result)))
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(result))


def recorded(out: Path) -> list[Measurement]:
    """The lines of a CSV that `append` wrote."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return [
            Measurement(
                line["sample"], line["group"], line["setting"], float(line["loss"]), float(line["rounds"]),
                float(line["cpu_seconds"]), line["cut"] == "True",
            )
            for line in csv.DictReader(file)
        ]  # fmt: skip


Figures = dict[str, dict[str, float]]
"""Setting -> sample -> a figure."""


def regrets(results: Sequence[Measurement]) -> Figures:
    """How far each setting is from the best of its sample: 0 the best one, 1 as bad as the median one, at most 2.

    Samples on which a setting is missing are left out for all.
    """
    by_sample: dict[str, dict[str, float]] = {}
    for one in results:
        by_sample.setdefault(one.sample, {})[one.setting] = one.loss
    everywhere = {one.setting for one in results}
    whole = {name: losses for name, losses in by_sample.items() if set(losses) == everywhere}
    figures: Figures = {setting: {} for setting in everywhere}
    for name, losses in whole.items():
        best = min(losses.values())
        spread = max(statistics.median(losses.values()) - best, 1e-12)
        for setting, loss in losses.items():
            figures[setting][name] = min((loss - best) / spread, 2.0)
    return figures


def costs(results: Sequence[Measurement]) -> Figures:
    """CPU seconds of each setting on each sample, as a multiple of the median setting's."""
    figures: Figures = {}
    for name in {one.sample for one in results}:
        seconds = {one.setting: one.cpu_seconds for one in results if one.sample == name}
        median = statistics.median(seconds.values())
        for setting, value in seconds.items():
            figures.setdefault(setting, {})[name] = value / max(median, 1e-9)
    return figures


def best_so_far(order: Sequence[str], regret: Figures) -> float:
    """Mean over samples of the least regret among the settings of `order`; 2, the worst, for none."""
    samples = next(iter(regret.values()))
    return statistics.fmean(min((regret[setting][name] for setting in order), default=2.0) for name in samples)


def greedy(regret: Figures, length: int, cost: Figures | None = None) -> list[str]:
    """Settings, each the one that lowers the mean regret most after those before it, by its cost if costs are given.

    Where none lowers it, the one that is best alone comes next.
    """
    order: list[str] = []
    while len(order) < min(length, len(regret)):
        now = best_so_far(order, regret)

        def gain(setting: str, now: float = now) -> tuple[float, float]:
            lowered = now - best_so_far([*order, setting], regret)
            price = statistics.fmean(cost[setting].values()) if cost else 1.0
            return round(lowered / price, 9), -best_so_far([setting], regret)

        order.append(max(sorted(set(regret) - set(order)), key=gain))
    return order


def held_out(regret: Figures, length: int, cost: Figures | None = None) -> list[float]:
    """Mean regret after 1 to `length` settings on samples that the order was chosen without, each left out in turn."""
    samples = sorted(next(iter(regret.values())))
    after: list[list[float]] = []
    for out in samples:
        table = out.rpartition("@")[0]
        rest = {
            setting: {name: value for name, value in by.items() if name.rpartition("@")[0] != table}
            for setting, by in regret.items()
        }
        order = greedy(rest, length, cost)
        alone = {setting: {out: by[out]} for setting, by in regret.items()}
        after.append([best_so_far(order[:k], alone) for k in range(1, len(order) + 1)])
    return [statistics.fmean(values) for values in zip(*after, strict=True)]


def chosen(results: Sequence[Measurement], length: int = 8) -> str:
    """The orders for each group of sizes as Markdown: mean regret and cumulated cost after each setting."""
    lines: list[str] = []
    for group in ("small", "middle", "large"):
        own = [one for one in results if one.group == group and fits(one.setting, group)]
        regret = regrets(own)
        samples = sorted(next(iter(regret.values()), {}))
        if not samples:
            continue
        cost = {
            setting: {name: value for name, value in by.items() if name in samples}
            for setting, by in costs(own).items()
        }
        lines += [f"## {group}: {len(samples)} samples", "", ", ".join(samples), ""]
        for title, prices in (("lowest regret after k settings", None), ("lowest regret by cost", cost)):
            order = greedy(regret, length, prices)
            unseen = held_out(regret, length, prices) if len({name.rpartition("@")[0] for name in samples}) > 1 else []
            head = "| k | setting | own regret | regret after k | on a table left out | cost | cost up to k |"
            lines += [f"### {title}", "", head, "|---|---|---|---|---|---|---|"]
            spent = 0.0
            for k, setting in enumerate(order, 1):
                price = statistics.fmean(cost[setting].values())
                spent += price
                left_out = f"{unseen[k - 1]:.3f}" if unseen else "-"
                lines.append(
                    f"| {k} | {setting} | {best_so_far([setting], regret):.2f} | {best_so_far(order[:k], regret):.3f} "
                    f"| {left_out} | {price:.2f} | {spent:.2f} |"
                )
            lines.append("")
        ranked = sorted(regret, key=lambda setting: best_so_far([setting], regret))
        lines += ["Alone: " + ", ".join(f"{setting} {best_so_far([setting], regret):.2f}" for setting in ranked), ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, then print the orders."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.portfolio", description=__doc__)
    parser.add_argument("step", choices=("measure", "choose"))
    parser.add_argument("--out", type=Path, default=Path("build/portfolio.csv"), help="the CSV of measurements")
    parser.add_argument("--data", type=Path, help="a folder with further tables")
    parser.add_argument("--packages", type=Path, help="a folder with packages that ship tables")
    options = parser.parse_args(arguments)
    if options.step == "measure":
        options.out.parent.mkdir(parents=True, exist_ok=True)
        measure(options.out, tables.available(options.data, options.packages), SAMPLES)
    print(chosen(recorded(options.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
