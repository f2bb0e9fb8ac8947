"""An explanation as plain values, which JSON can hold: what is not known is None, never NaN."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExplainedColumn:
    """One source column of a model; every share and mean is over the rows that were explained.

    `gain` is its share of the trees' gain on the fitted rows. `contribution` is the mean absolute contribution in the
    explanation's unit, `share` that as a share of all columns'. `direction` is Spearman's correlation of value and
    contribution, from -1 to 1 (None where values have no order, or several classes are predicted). `highest` and
    `lowest` name the levels with the highest and lowest mean contribution (empty for numbers). `drop` is how much worse
    the metric gets where the column is permuted, with a 95% interval `drop_lower` to `drop_upper`; None where it was
    not measured. `points` are (contribution, place of the value among the values from 0 to 1, or None) of some rows.
    """

    column: str
    gain: float
    contribution: float
    share: float
    direction: float | None = None
    highest: str = ""
    lowest: str = ""
    drop: float | None = None
    drop_lower: float | None = None
    drop_upper: float | None = None
    points: tuple[tuple[float, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class CorrelatedColumns:
    """Columns that are strongly associated with each other; `drop` is that of permuting them together, as above.

    `association` is the weakest one that joins them: |Spearman's correlation| of two numbers, else Cramer's V.
    """

    columns: tuple[str, ...]
    association: float
    drop: float | None = None
    drop_lower: float | None = None
    drop_upper: float | None = None


@dataclass(frozen=True, slots=True)
class RowReason:
    """What a column's `value` in a row adds to the row's margin."""

    column: str
    value: str
    contribution: float


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """A holdout row: why it was chosen, its key, prediction and label as text, and its contributions.

    `base` + the sum of all `reasons` = `margin`; reasons of all columns, the largest first. `named` is the class that
    they speak of (multiclass: the one that is predicted; binary: the positive one; empty for a regression).
    """

    chosen: str
    row: str
    prediction: str
    label: str
    named: str
    base: float
    margin: float
    reasons: tuple[RowReason, ...]


@dataclass(frozen=True, slots=True)
class ColumnEffect:
    """How the mean delivered prediction moves with one column.

    `method` is 'partial dependence' or 'accumulated local effects', `why` says why. `kind` is 'number', 'moment'
    (seconds since 1970) or 'levels'. `at` [points] are values, for levels 0, 1, ...; `labels` [points] as text.
    `lines` maps a class (empty for one line) to the mean prediction [points]. `counts` [bins] are rows of the holdout
    by `edges` [bins + 1], or by level. `missing` is the mean prediction where the column has no value, by line.
    """

    column: str
    method: str
    why: str
    kind: str
    at: tuple[float, ...]
    labels: tuple[str, ...]
    lines: dict[str, tuple[float, ...]]
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    missing: dict[str, float] | None = None
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model's predictions are made of.

    `unit` says in which unit contributions are. `rows` judged; of these `explained` have contributions, and `permuted`
    were permuted `repeats` times. `base` is the base value of each margin. `error` is the largest difference between
    base value + contributions and the margin, as a share of the row's absolute contributions (at least 1).
    `columns` are all source columns, the largest contribution first. `task` and `metric` are the problem's.
    """

    task: str
    metric: str
    unit: str
    rows: int
    explained: int
    permuted: int
    repeats: int
    base: tuple[float, ...]
    error: float
    columns: tuple[ExplainedColumn, ...]
    groups: tuple[CorrelatedColumns, ...] = ()
    examples: tuple[ExplainedRow, ...] = ()
    effects: tuple[ColumnEffect, ...] = ()
