"""How a table is parted and a prediction scored when models are compared. Every system gets the same rows.

Random and group splits: three folds, stratified by class, with one seed for all. Dated tables: fold 0 tests the last
fifth of the rows in the order of time, fold 1 the fifth before it, fold 2 the one before that; all rows strictly
earlier than the test rows are for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import tables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from tests.bench.tables import Table

SEED, FOLDS = 20240601, 3

LEAST = 1e-6
"""Lowest probability in log loss: what a class that training did not have may cost."""


@dataclass(frozen=True)
class Parts:
    """Rows to train and to test on, with the target in both; columns that no system gets are gone."""

    train: pd.DataFrame
    test: pd.DataFrame
    labels: list[str]


def load(table: Table, fold: int) -> Parts:
    """One fold of a table."""
    frame = tables.read(table)
    train, test = rows(table, frame, fold)
    labels = tables.classes(table, frame[table.target])
    frame = frame.drop(columns=[name for name in table.drop if name in frame])
    return Parts(frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True), labels)


def rows(table: Table, frame: pd.DataFrame, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and test rows."""
    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    if table.split == "time":
        times = frame[table.time].to_numpy()
        order = np.argsort(times, kind="stable")
        times, count = times[order], len(frame)

        def start(position: int) -> int:  # never inside one timestamp
            return int(np.searchsorted(times, times[position], side="left"))

        first = start(int(count * (0.8 - 0.2 * fold)))
        last = start(int(count * (1.0 - 0.2 * fold))) if fold else count
        return order[:first], order[first:last]
    stratified, target = table.task != "regression", frame[table.target]
    if table.split == "group":
        kind = StratifiedGroupKFold if stratified else GroupKFold
        return list(kind(FOLDS, shuffle=True, random_state=SEED).split(frame, target, frame[table.group]))[fold]
    kind = StratifiedKFold if stratified else KFold
    return list(kind(FOLDS, shuffle=True, random_state=SEED).split(frame, target))[fold]


def error(table: Table, labels: list[str], truth: pd.Series, predicted: pd.DataFrame) -> float:
    """1 - AUC, log loss or root mean squared error: lower is better.

    `predicted` has a row per row of `truth` and the column `prediction` (regression), `probability` (of the positive
    label) or a column per class; a class without a column has the probability 0. Refuses other lengths and values that
    are not finite.
    """
    import numpy as np
    from sklearn.metrics import mean_squared_error, roc_auc_score

    if table.task == "multiclass":
        predicted = predicted.rename(columns=str).reindex(columns=labels).fillna(0.0)
    else:
        predicted = predicted[["probability" if table.task == "binary" else "prediction"]]
    values = predicted.to_numpy(float)
    if len(values) != len(truth) or not np.isfinite(values).all():
        raise ValueError(f"{table.name}: {len(values)} predictions for {len(truth)} rows, or not all are finite")
    if table.task == "binary":
        return 1.0 - float(roc_auc_score(truth.astype(str) == table.positive, values[:, 0]))
    if table.task == "multiclass":
        values = np.clip(values, LEAST, None)
        values /= values.sum(axis=1, keepdims=True)
        codes = truth.astype(str).map({label: code for code, label in enumerate(labels)}).to_numpy(int)
        return float(-np.log(values[np.arange(len(codes)), codes]).mean())
    return float(np.sqrt(mean_squared_error(truth.astype(float), values[:, 0])))


def resampled(
    table: Table, labels: list[str], truth: pd.Series, predicted: pd.DataFrame, draws: int = 30
) -> list[float]:
    """`error` on bootstrap samples of the test rows.

    The samples depend on the number of rows alone. So two systems' values belong together, and the spread of their
    differences is the standard error of the difference between the systems.
    """
    import numpy as np

    random, count = np.random.default_rng(SEED), len(truth)
    found = []
    for _ in range(draws):
        drawn = random.integers(0, count, count)
        sample = truth.iloc[drawn]
        whole = table.task != "binary" or sample.nunique() == 2
        found.append(error(table, labels, sample, predicted.iloc[drawn]) if whole else float("nan"))
    return found
