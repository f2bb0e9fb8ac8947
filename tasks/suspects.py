"""Columns to question: they may know what is known only afterwards. Warnings with evidence; nothing is refused.

`leakage` finds columns that give the target; these checks find what is less certain. One column that carries nearly
all that the columns tell; a column whose gaps alone tell the target; a column that is filled in only after a while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.tasks.weights import effective_rows, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.booster import MatrixRows

SAMPLED, FEWEST = 10_000, 300
"""At most so many rows are looked at by models, and at least so many are needed."""

ALONE, LOST = 0.9, 0.5
"""A column carries most where it alone gives this share of what all columns give, and they lose that one without it."""

NEARLY_ALL = {"AUC": 0.9, "R²": 0.85}
"""It also does where it alone gives so much, and at least as much as all others together."""

ALMOST_CERTAIN = 0.97
"""AUC or R² alone from which on the others do not matter: they may be copies of it."""

GAPS_TELL = 0.7
"""AUC from which on a column's gaps alone are said to tell a class from the others."""

GAPS_EXPLAIN = 0.25
"""R² from which on a column's gaps alone are said to tell a number."""

FEWEST_GAPS = 30
"""So many rows with a value, and without one, a check of gaps needs."""

FEWEST_POSITIVES = 60
"""Of the rarer class, so that each half has enough of it to measure an AUC."""

NEWEST = (0.01, 0.03, 0.1)
"""Shares of the rows that are looked at as the newest: a column is filled in after days, weeks or months."""

EMPTIER = 0.3
"""How much emptier the newest rows must be than any older ones, or rows without a label than those with one."""

WINDOW = 50
"""Rows that a window has at least."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A source column to question: what is suspected of it, and the figures that say so, as a sentence."""

    column: str
    suspicion: str
    evidence: str


def question_columns(
    task: str,
    rows: MatrixRows,
    *,
    columns: Mapping[str, Sequence[int]],
    classes: Sequence[object],
    seed: int,
) -> tuple[Suspect, ...]:
    """Columns that carry most, or whose gaps tell; of labelled rows, encoded.

    `columns` maps each source column to its features' indices in `rows.X`, `classes` are the labels in code order.
    Shares are of AUC above .5 (multiclass: the mean of each class against the rest) or of R², on rows that were not
    fitted on: up to 10,000 are halved. Below 300 rows nothing is suspected. Rows count by `rows.weight`; how many say
    enough is asked of as many rows of equal weight (`weights.effective_rows`).
    """
    if len(rows.y) < FEWEST:
        return ()
    rows = replace(rows, weight=relative(rows.weight))
    return (*_carrying(task, rows, columns, seed), *_telling_gaps(task, rows, columns, classes))


def _carrying(task: str, rows: MatrixRows, columns: Mapping[str, Sequence[int]], seed: int) -> Iterator[Suspect]:
    """The one column without which little is left, and which alone gives nearly all."""
    import numpy as np

    of_class = (effective_rows(rows.weight, rows.y == code) for code in (0, 1))
    rare = task == "binary" and min(of_class) < FEWEST_POSITIVES
    if len(columns) < 3 or rare:
        return
    some = rows.take(_chosen(task, rows.y, seed))
    fit_on = np.arange(len(some.y)) < len(some.y) // 2
    metric, chance = ("R²", 0.0) if task == "regression" else ("AUC", 0.5)
    everything = [index for indices in columns.values() for index in indices]
    together, gains = _lift(task, some, everything, fit_on)
    if together <= 0.05:
        return
    by_column, at = {}, 0
    for name, indices in columns.items():
        by_column[name] = sum(gains[at : at + len(indices)])
        at += len(indices)
    first = max(by_column, key=lambda name: by_column[name])
    alone, _ = _lift(task, some, columns[first], fit_on)
    without, _ = _lift(task, some, [index for index in everything if index not in columns[first]], fit_on)
    carries = alone >= ALONE * together and together - without >= LOST * together
    as_good_as_others = alone >= without and chance + alone >= NEARLY_ALL[metric]
    if carries or as_good_as_others or chance + alone >= ALMOST_CERTAIN:
        yield Suspect(
            first,
            "carries most of what the columns tell",
            f"{metric} {chance + together:.3f} with all columns, {chance + alone:.3f} with it alone, "
            f"{chance + without:.3f} without it",
        )


def _chosen(task: str, y: np.ndarray, seed: int) -> np.ndarray:
    """Up to `SAMPLED` rows in random order; of a class that is rarer than its equal share, as many as that share holds.

    An AUC does not depend on how many rows each class has, but its error does.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(len(y))
    if task == "regression" or len(y) <= SAMPLED:
        return shuffled[:SAMPLED]
    codes = np.unique(y)
    rare = [code for code in codes if (y == code).sum() < SAMPLED // len(codes)]
    first = np.isin(y[shuffled], rare)
    return draw.permutation(np.concatenate([shuffled[first], shuffled[~first]])[:SAMPLED])


def _lift(task: str, rows: MatrixRows, features: Sequence[int], fit_on: np.ndarray) -> tuple[float, list[float]]:
    """Quality above chance on the rows not fitted on, at least 0, and the share of the gain of each of `features`."""
    from treadle.tasks import booster, leakage
    from treadle.tasks.centring import centred_target

    rows = replace(rows, X=rows.X[:, list(features)], y=centred_target(task, rows.y))
    names, other = tuple(f"f{index}" for index in range(len(features))), rows.take(~fit_on)
    classes = int(rows.y.max()) + 1 if task != "regression" else 0
    params = booster.complete_parameters(task, {"max_depth": 5, "eta": 0.1}, classes=classes, device="cpu", seed=0)
    fitted = booster.fit_booster(params, rows.take(fit_on), rounds=60, names=names)
    score = leakage.quality(task, other.y, booster.predict_raw(fitted, other.X), other.weight)
    chance = 0.0 if task == "regression" else 0.5
    return max(score - chance, 0.0), list(booster.gain_importance(fitted, names).values())


def _telling_gaps(
    task: str, rows: MatrixRows, columns: Mapping[str, Sequence[int]], classes: Sequence[object]
) -> Iterator[Suspect]:
    """Columns of which it suffices to know whether they have a value."""
    import numpy as np

    from treadle.tasks.leakage import correlations

    def told_apart(some: np.ndarray) -> bool:
        return min(effective_rows(rows.weight, some), effective_rows(rows.weight, ~some)) >= FEWEST_GAPS

    def mean(values: np.ndarray, at: np.ndarray) -> float:
        return float(np.average(values[at], weights=None if rows.weight is None else rows.weight[at]))

    for name, indices in columns.items():
        empty = np.isnan(rows.X[:, indices[0]])
        if not told_apart(empty):
            continue
        suspicion = "its gaps alone tell the target"
        if task == "regression":
            both = np.column_stack([empty, rows.y]).astype(np.float64)
            r2 = float(correlations(both, rows.weight)[0, 1] ** 2) if np.ptp(rows.y) > 0 else 0.0
            if r2 >= GAPS_EXPLAIN:
                means = f"mean {mean(rows.y, empty):.4g} without a value, {mean(rows.y, ~empty):.4g} with one"
                yield Suspect(name, suspicion, f"R² {r2:.3f} from its gaps alone; {means}")
            continue
        # for one yes or no, AUC is half of one and the difference of its shares in both groups
        shares = []
        for code in np.unique(rows.y):
            of_class = rows.y == code
            if told_apart(of_class):
                shares.append((mean(empty, of_class), mean(empty, ~of_class), int(code)))
        if not shares:
            continue
        inside, outside, code = max(shares, key=lambda share: abs(share[0] - share[1]))
        if (auc := 0.5 + abs(inside - outside) / 2) >= GAPS_TELL:
            label = classes[code] if code < len(classes) else code
            evidence = f"empty in {inside:.0%} of the rows with {label!r} and in {outside:.0%} of the others"
            yield Suspect(name, suspicion, f"AUC {auc:.3f} from its gaps alone; {evidence}")


def filled_later(
    rows: pa.Table, columns: Sequence[str], *, time: str = "", labelled: np.ndarray | None = None
) -> tuple[Suspect, ...]:
    """Columns that are emptier in the newest rows than in any older ones, or in rows without a label.

    `rows` have typed columns; `labelled` is a mask [n]. Empty is a null; of numbers and booleans also 0 and false,
    which stand for "nothing yet". Windows of equal numbers of rows in the order of `time` are compared, so that a
    season or an outage, which older windows know as well, is not suspected. Every row counts as
    one, whatever its weight: the question is how columns are filled in, not what they tell.
    """
    order = _in_order(rows, time) if time else None
    found = []
    for name in columns:
        if name == time:
            continue
        for empty, what in _empties(rows[name]):
            evidence = "" if order is None else _emptier_newest(empty[order], what)
            # rows without a label are the newest: a season explains their zeros, where no window was compared
            if not evidence and labelled is not None and (order is None or what == "empty"):
                evidence = _emptier_unlabelled(empty, labelled, what)
            if evidence:
                found.append(Suspect(name, "is filled in only after a while", evidence))
                break
    return tuple(found)


def _in_order(rows: pa.Table, time: str) -> np.ndarray | None:
    """The dated rows from oldest to newest; None where nearly none is dated."""
    import numpy as np

    from treadle.tasks.dataset.split import moments

    when, has_time = moments(rows, time)
    dated = np.flatnonzero(has_time)
    if len(dated) < 3 * WINDOW or np.ptp(when[dated]) == 0:
        return None
    return dated[np.argsort(when[dated], kind="stable")]


def _empties(column: pa.ChunkedArray) -> Iterator[tuple[np.ndarray, str]]:
    """Masks of what is empty, with its word: a null; then 0 or false as well."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    missing = column.is_null(nan_is_null=True).to_numpy()
    yield missing, "empty"
    if pa.types.is_boolean(kind):
        yield pc.fill_null(pc.equal(column, False), True).to_numpy(), "empty or false"
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield missing | pc.fill_null(pc.equal(column, 0), True).to_numpy(), "empty or 0"


def _emptier_unlabelled(empty: np.ndarray, labelled: np.ndarray, what: str) -> str:
    if min(labelled.sum(), (~labelled).sum()) < WINDOW:
        return ""
    without, with_label = empty[~labelled].mean(), empty[labelled].mean()
    if without - with_label < EMPTIER:
        return ""
    return f"{what} in {without:.0%} of the rows without a label, in {with_label:.0%} of those with one"


def _emptier_newest(empty: np.ndarray, what: str) -> str:
    """The evidence where the newest rows are emptier than any window of as many older ones; `empty` is in order."""
    for share in NEWEST:
        size = max(WINDOW, round(share * len(empty)))
        windows = len(empty) // size
        if windows < 3:
            return ""
        # the window beside the newest may be half filled in already
        means = empty[len(empty) - windows * size :].reshape(windows, size).mean(axis=1)
        older = means[:-2].max()
        if means[-1] - older >= EMPTIER:
            return (
                f"{what} in {means[-1]:.0%} of the newest {size:,} rows, "
                f"in at most {older:.0%} of any {size:,} older ones, {empty[: -2 * size].mean():.0%} of all of them"
            )
    return ""
