"""Do two ways of asking a model give the same answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def disagreement(expected: pa.Table, answered: pd.DataFrame) -> str:
    """The first difference between the batch path's prediction columns and another path's, in words; empty if none.

    Every column of `expected` must be there with equal values, row by row: numbers to the bit (both paths run the
    same float32 trees and float64 arithmetic), null equal to null.
    """
    if len(answered) != expected.num_rows:
        return f"parity: {len(answered)} answers for {expected.num_rows} golden rows"
    for name in expected.column_names:
        if name not in answered.columns:
            return f"parity: the MLflow model gives no column {name!r}"
        ours, theirs = expected[name].to_pandas(), answered[name].reset_index(drop=True)
        differs = ~((ours == theirs) | (ours.isna() & theirs.isna()))
        if differs.any():
            row = int(differs.to_numpy().argmax())
            return (
                f"parity: golden row {row}, column {name!r}: the batch path says {ours.iloc[row]!r}, "
                f"the MLflow model {theirs.iloc[row]!r} ({int(differs.sum())} of {len(ours)} rows differ)"
            )
    return ""
