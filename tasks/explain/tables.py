"""An explanation as tables for machines, in pandas' "split" layout, which MLflow's `load_table` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.tasks.explain.found import Explanation

SplitTable = dict[str, list[str] | list[list[object]]]
"""`columns` (names) and `data` (rows)."""


def column_table(explanation: Explanation) -> SplitTable:
    """One row for each source column: its gain, contributions and permutation importance; null where not measured."""
    names = ("gain", "contribution", "share", "direction", "drop", "drop_lower", "drop_upper")
    return {
        "columns": ["column", *names],
        "data": [[one.column, *(getattr(one, name) for name in names)] for one in explanation.columns],
    }


def row_table(explanation: Explanation) -> SplitTable:
    """One row for each explained holdout row and column: the column's value and what it adds to the margin."""
    return {
        "columns": [
            "chosen",
            "row",
            "prediction",
            "label",
            "class",
            "base",
            "margin",
            "column",
            "value",
            "contribution",
        ],
        "data": [
            [
                *(one.chosen, one.row, one.prediction, one.label, one.named, one.base, one.margin),
                *(reason.column, reason.value, reason.contribution),
            ]
            for one in explanation.examples
            for reason in one.reasons
        ],
    }
