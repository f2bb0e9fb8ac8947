"""Do XGBoost's native categorical splits beat codes and target statistics? Prints one table.

    python -m tests.bench.encodings [--data FOLDER] [--packages FOLDER] [--tables NAME ...]

Every text column of a table is encoded in each of the ways of `WAYS`, all else is equal: the same five folds (by the
table's groups, or rolling where it is dated), learning rate and depth, each booster with the rounds that are best for
it on the rows left out. The loss is log loss or squared error. `gain` is how much a way lowers it against codes, in
percent, with its standard error over the rows left out. Beside the public tables stand worlds in which the order of
levels means nothing.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tests.bench import tables
from treadle.tasks import features
from treadle.tasks.booster import complete_parameters
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.folds import Fold, dealt_folds, rolling_folds
from treadle.tasks.features.fitting import kept_levels
from treadle.tasks.influence import row_losses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from tests.bench.tables import Table

ROWS = 6_000
"""Larger tables are sampled."""

ROUNDS, PATIENCE = 400, 20
PARAMS = {"eta": 0.1, "max_depth": 5, "min_child_weight": 2, "subsample": 0.9, "colsample_bytree": 0.8}

SEEDS = 2
"""Boosters whose losses are averaged."""

MANY = 8
"""From so many levels on treadle measures target statistics."""


class Way(NamedTuple):
    """How columns of at least three levels are encoded: those of fewer than `MANY`, and those of more.

    `c` is a native category, with XGBoost's parameters `params`; the other letters are codes and target statistics
    with counts.
    """

    few: str
    many: str
    params: Mapping[str, int] = {}


WAYS = {
    "codes": Way("codes", "codes"),
    "statistics (many)": Way("codes", "statistics"),
    "statistics (all)": Way("statistics", "statistics"),
    "native": Way("c", "c"),
    "native, 16 at most": Way("c", "c", {"max_cat_threshold": 16}),
    "native one-hot": Way("c", "c", {"max_cat_to_onehot": 100_000}),
    "native (few)": Way("c", "codes"),
    "native (few), statistics (many)": Way("c", "statistics"),
}


class Problem(NamedTuple):
    """Rows to learn from, with the folds that answer for them."""

    name: str
    task: str
    classes: int
    table: pa.Table
    schema: Schema
    y: np.ndarray
    folds: tuple[Fold, ...]
    time: str | None = None
    groups: np.ndarray | None = None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="folder of tables: NAME.parquet beside NAME.json")
    parser.add_argument("--packages", type=Path, help="folder with the packages that ship tables")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="only these, codes first")
    parser.add_argument("--rows", type=int, default=ROWS, help="of larger tables so many rows are drawn")
    chosen = parser.parse_args()
    heads = ("table", "rows", "columns of 3 to 7, 8 and more levels", *chosen.ways, "best native against best other")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for problem in problems(chosen.data, chosen.packages, chosen.tables, chosen.rows):
        if line := measured(problem, chosen.ways):
            print(line, flush=True)


def problems(data: Path | None, packages: Path | None, names: Iterable[str] | None, most: int) -> Iterator[Problem]:
    """The worlds, then the public tables that are not held back, of at most so many rows."""
    worlds = {f"unordered {levels}": levels for levels in (5, 20, 100, 500)}
    for name, levels in worlds.items():
        if names is None or name.replace(" ", "_") in names:
            yield world(name, levels)
    for name, table in tables.available(data, packages).items():
        if not table.unseen and (names is None or name in names):
            yield of_table(table, most)


def world(name: str, levels: int, seed: int = 0) -> Problem:
    """One column whose levels have unordered effects, beside three numbers."""
    draw = np.random.default_rng([levels, seed])
    level, x = draw.integers(0, levels, ROWS), draw.normal(size=(ROWS, 3))
    margin = draw.normal(0, 1.2, levels)[level] + x[:, 0] + 0.5 * x[:, 1] * x[:, 2]
    y = (draw.random(ROWS) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    columns = {"c": [f"v{one:04}" for one in level], **{f"x{one}": x[:, one] for one in range(3)}}
    table = pa.table(columns)
    return Problem(name, "binary", 2, table, schema_of(table), y, dealt_folds(y, 0))


def of_table(table: Table, most: int) -> Problem:
    """A public table, sampled."""
    frame = tables.read(table)
    if len(frame) > most:
        at = np.sort(np.random.default_rng(0).choice(len(frame), most, replace=False))
        frame = frame.iloc[at].reset_index(drop=True)
    labels = tables.classes(table, frame[table.target])
    target = frame[table.target]
    if table.task == "regression":
        y = target.to_numpy(np.float32)
    else:
        order = sorted(labels, key=lambda label: (label == table.positive, label))
        y = target.astype(str).map({label: code for code, label in enumerate(order)}).to_numpy(np.float32)
    groups = None if not table.group else frame[table.group].factorize()[0]
    if table.time:
        when = frame[table.time].to_numpy().astype("datetime64[s]").astype(np.float64)
        folds = rolling_folds(when, [float(np.quantile(when, part / 10)) for part in (5, 6, 7, 8, 9)])
    else:
        folds = dealt_folds(y if groups is None else groups, 0) if groups is None else grouped(groups)
    dropped = [table.target, *(name for name in table.drop if name in frame)]
    rows = typed(frame.drop(columns=dropped))
    return Problem(table.name, table.task, len(labels), rows, schema_of(rows), y, folds, table.time or None, groups)


def grouped(groups: np.ndarray) -> tuple[Fold, ...]:
    """Five folds of whole groups."""
    fold = np.random.default_rng(0).integers(0, 5, groups.max() + 1)[groups]
    return tuple(Fold(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(5))


def typed(frame: pd.DataFrame) -> pa.Table:
    """Numbers, dates and text."""
    import pandas as pd

    columns = {}
    for name in frame:
        column = frame[name]
        if pd.api.types.is_datetime64_any_dtype(column):
            columns[str(name)] = pa.array(column.dt.date, pa.date32())
        elif pd.api.types.is_numeric_dtype(column):
            columns[str(name)] = pa.array(column.astype(float), pa.float64(), from_pandas=True)
        else:
            text = [None if one is None or one != one else str(one) for one in column.astype(object)]
            columns[str(name)] = pa.array(text, pa.string())
    return pa.table(columns)


def schema_of(table: pa.Table) -> Schema:
    """The table's schema: text, dates, numbers."""
    kinds = [
        "text" if pa.types.is_string(one.type) else "date" if pa.types.is_date(one.type) else "number"
        for one in table.schema
    ]
    return Schema(
        columns=tuple(Column(name=name, kind=kind) for name, kind in zip(table.column_names, kinds, strict=True))
    )


def measured(problem: Problem, ways: Sequence[str]) -> str:
    """The table's line, empty where no column has three levels."""
    texts = [one.name for one in problem.schema.columns if one.kind == "text"]
    counts = {name: len(kept_levels(problem.table[name].combine_chunks())) for name in texts}
    few = [name for name, count in counts.items() if 3 <= count < MANY]
    many = [name for name, count in counts.items() if count >= MANY]
    if not few + many:
        return ""
    answered = np.concatenate([fold.answered for fold in problem.folds])
    groups = None if problem.groups is None else problem.groups[answered]
    found = {
        name: np.concatenate([losses(problem, WAYS[name], few, many, fold) for fold in problem.folds]) for name in ways
    }

    def gain(after: np.ndarray, before: np.ndarray) -> str:
        apart, whole = before - after, found["codes"].mean()
        return f"{100 * apart.mean() / whole:+.2f} ± {100 * error_of(apart, groups) / whole:.2f}"

    cells = [f"{found['codes'].mean():.5g}", *(gain(found[name], found["codes"]) for name in ways[1:])]
    native = [name for name in ways if "native" in name]
    best, other = (
        min(names, key=lambda name: float(found[name].mean()))
        for names in (native, [name for name in ways if name not in native])
    )
    cells.append(gain(found[best], found[other]))
    return f"| {problem.name} | {len(problem.y):,} | {len(few)}, {len(many)} | " + " | ".join(cells) + " |"


def mean_losses(problem: Problem, ways: Iterable[str]) -> dict[str, float]:
    """The mean loss of each way on the rows left out, where the text columns have `MANY` levels or more."""
    many = [one.name for one in problem.schema.columns if one.kind == "text"]
    return {
        name: float(np.concatenate([losses(problem, WAYS[name], [], many, fold) for fold in problem.folds]).mean())
        for name in ways
    }


def error_of(apart: np.ndarray, groups: np.ndarray | None) -> float:
    """The standard error of a mean of differences."""
    centred = apart - apart.mean()
    if groups is not None:
        centred = np.bincount(groups, weights=centred)
    return math.sqrt(float(centred @ centred)) / len(apart)


def losses(problem: Problem, way: Way, few: list[str], many: list[str], fold: Fold) -> np.ndarray:
    """The loss of each row that the fold answers for."""
    import xgboost

    names = dict.fromkeys(few, way.few) | dict.fromkeys(many, way.many)
    statistics, native = [[one for one, is_ in names.items() if is_ == kind] for kind in ("statistics", "c")]
    rows, y = problem.table.take(fold.fitted), problem.y[fold.fitted]
    spec = features.fit_features(
        rows,
        problem.schema,
        columns=rows.column_names,
        categories=(),
        time=problem.time,
        timezone="",
        encodings=dict.fromkeys(statistics, ("statistics", "counts")),
    )
    spec, X = features.cross_fitted(spec, rows, y, task=problem.task, classes=problem.classes, seed=1)
    held, truth = features.encode(spec, problem.table.take(fold.answered)), problem.y[fold.answered]
    types = ["c" if one.kind == "code" and one.source in native else "q" for one in spec.features]
    for encoded in (X, held):
        for index, kind in enumerate(types):
            if kind == "c":
                encoded[encoded[:, index] < 0, index] = np.nan
    params = complete_parameters(problem.task, PARAMS, classes=problem.classes, device="cpu", seed=0)
    about = {"feature_types": types, "enable_categorical": True, "nthread": 1}
    fitted = xgboost.QuantileDMatrix(X, y, **about)
    apart = xgboost.QuantileDMatrix(held, truth, ref=fitted, **about)
    found = []
    for seed in range(SEEDS):
        booster = xgboost.train(
            {**params, **way.params, "nthread": 1, "seed": seed},
            fitted,
            num_boost_round=ROUNDS,
            evals=[(apart, "held")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        raw = booster.predict(apart, iteration_range=(0, booster.best_iteration + 1)).astype(np.float64)
        found.append((raw - truth) ** 2 if problem.task == "regression" else row_losses("log_loss", truth, raw))
    return np.asarray(np.mean(found, axis=0))


if __name__ == "__main__":
    main()
