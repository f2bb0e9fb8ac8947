"""What a judged model's predictions are made of, measured on holdout rows: as values for the report and as tables."""

from __future__ import annotations

from treadle.tasks.explain.found import (
    ColumnEffect,
    CorrelatedColumns,
    ExplainedColumn,
    ExplainedRow,
    Explanation,
    RowReason,
)
from treadle.tasks.explain.measure import explain_model, seconds_to_explain
from treadle.tasks.explain.tables import column_table, row_table

__all__ = [
    "ColumnEffect",
    "CorrelatedColumns",
    "ExplainedColumn",
    "ExplainedRow",
    "Explanation",
    "RowReason",
    "column_table",
    "explain_model",
    "row_table",
    "seconds_to_explain",
]
