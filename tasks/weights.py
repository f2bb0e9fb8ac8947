"""Row weights: how much each row counts in fits, metrics and calibration (`[data] weight`).

A weight says how many rows of its kind a row stands for: its exposure, or one over the share in which it was sampled.
Only ratios matter. Rows of weight 0 neither train nor judge. Weights that are all the same change nothing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from treadle.tasks.dataset import Parts
    from treadle.tasks.influence import Floats

RULE = "weights are numbers of 0 or more, and not all 0"


def row_weights(rows: pa.Table, column: str) -> Floats | None:
    """The weights of `rows` as they stand in `column`, float64 [n]; None where no column is named.

    Raises DataError naming the column, how many rows, the first value and where it is, where one is missing, negative
    or infinite, where all are 0, and where the column is not there or holds no numbers.
    """
    import numpy as np
    import pyarrow as pa

    if not column:
        return None
    if column not in rows.column_names:
        raise DataError(f"column {column!r}, which data.weight names, is not in the table", "correct data.weight")
    values = rows[column]
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        raise DataError(f"column {column!r} holds {values.type}, no weights", f"correct data.weight: {RULE}")
    weight = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    for what, wrong in (("missing", np.isnan(weight)), ("negative", weight < 0), ("infinite", np.isinf(weight))):
        if count := int(wrong.sum()):
            at = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"column {column!r}: {count:,} of {len(weight):,} weights are {what} "
                f"(the first: {values[at].as_py()!r}, labelled row {at + 1:,}); {RULE}",
                f"correct the rows, or let the contract refuse them: not null and at least 0 for {column!r}",
            )
    if len(weight) and not weight.any():
        raise DataError(f"column {column!r}: all {len(weight):,} weights are 0; {RULE}", "correct data.weight")
    return weight


def counting_parts(parts: Parts, column: str) -> Parts:
    """The same parts without their rows of weight 0; where no column is named, as they are.

    Rows are parted before, so that a row's part does not depend on weights. Raises DataError where training,
    validation or holdout rows all have weight 0.
    """
    if not column:
        return parts
    tables: dict[str, pa.Table | None] = {one.name: getattr(parts, one.name) for one in dataclasses.fields(parts)}
    counting = {name: _counting(rows, column) for name, rows in tables.items() if rows is not None}
    for name, what in (("train", "training"), ("validation", "validation"), ("holdout", "holdout")):
        if (before := len(getattr(parts, name))) and not len(counting[name] or ()):
            raise DataError(
                f"column {column!r}: all {before:,} {what} rows have weight 0, which neither train nor judge",
                "give some of them a weight, or correct data.weight",
            )
    return dataclasses.replace(parts, **counting)


def _counting(rows: pa.Table, column: str) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.greater(rows[column], 0))


def relative(weight: np.ndarray | None) -> Floats | None:
    """Weights whose mean over the rows that count (weight above 0) is 1, float64 [n]; None where all are the same.

    So a weighted row counts as one row on average: XGBoost's min_child_weight and a linear model's penalty keep their
    meaning, and equal weights give what no weights give, to the bit.
    """
    import numpy as np

    if weight is None:
        return None
    weights = np.asarray(weight, dtype=np.float64)
    counted = weights[weights > 0]
    if not len(counted):
        return weights
    if counted[0] == counted.max() == counted.min():
        return None if len(counted) == len(weights) else (weights > 0).astype(np.float64)
    return np.asarray(weights / counted.mean())


def effective_rows(weight: np.ndarray | None, among: np.ndarray) -> int:
    """How many rows of equal weight say as much as the rows of the mask `among` [n]: (sum w)² / sum w² (Kish 1965).

    Without weights their number.
    """
    import numpy as np

    if weight is None:
        return int(np.sum(among))
    weights = np.asarray(weight, dtype=np.float64)[among]
    squares = float((weights**2).sum())
    return int(np.floor(float(weights.sum()) ** 2 / squares + 1e-9)) if squares else 0


def weighted_quantiles(y: np.ndarray, shares: Sequence[float], weight: np.ndarray | None) -> Floats:
    """The values of `y` [n] below which `shares` of the rows lie, float64 [shares]; a row of weight 2 is two rows.

    Between two rows it is interpolated without weights, and the mean of both rows with them.
    """
    import numpy as np

    values = np.asarray(y, dtype=np.float64)
    if weight is None:
        return np.asarray(np.quantile(values, shares))
    from_below, from_above = (
        np.quantile(one, at, weights=weight, method="inverted_cdf")
        for one, at in ((values, shares), (-values, [1 - share for share in shares]))
    )
    return np.asarray((from_below - from_above) / 2)
