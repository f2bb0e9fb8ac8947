"""What a verdict says of groups of rows: figures with intervals, and differences between the groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT_AS_METRICS = ("selection_rate", "equalised_odds", "calibration", "error", "coverage")
"""Criteria whose differences are metrics of a run; the others stand in the report."""

NOT_IN_A_METRIC = re.compile(r"[^\w. /-]")


class GroupFigure(BaseModel):
    """A figure of a group, over `rows` of its rows, with its 95% interval (None where it has none).

    `enough` says whether it may be judged.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    lower: float | None
    upper: float | None
    rows: int
    enough: bool


class GroupRow(BaseModel):
    """One group of a column: its name, its rows, and its figures by name; one over no rows is left out."""

    model_config = ConfigDict(frozen=True)

    group: str
    rows: int
    figures: dict[str, GroupFigure]


class GroupGap(BaseModel):
    """The difference of a criterion between the groups of `column`: `high` in group `largest`, `low` in `smallest`.

    `lower` and `upper` are its 95% interval, which knows that the extremes were picked. `sure`: it is above 0 also
    where all criteria of all columns are considered together. `ratio` is the smallest over the largest selection rate,
    with its interval; else None. `unit` is what a margin of 1 means: 1, and for amounts of a regression the mean
    absolute error. `measure` is the figure that differs most, where the criterion has several. `refuses` where the
    difference is surely above the margin of the config.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    criterion: str
    measure: str
    largest: str
    smallest: str
    high: float
    low: float
    gap: float
    lower: float
    upper: float
    sure: bool = False
    ratio: float | None = None
    ratio_lower: float | None = None
    ratio_upper: float | None = None
    unit: float = 1.0
    refuses: bool = False


class GroupedColumn(BaseModel):
    """The groups of a column, the largest first or in the order of their numbers, and their differences by criterion.

    `others` counts the groups beyond `MOST_GROUPS`, `other_rows` their rows.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    groups: tuple[GroupRow, ...]
    gaps: tuple[GroupGap, ...] = ()
    others: int = 0
    other_rows: int = 0


def gap_metrics(columns: Sequence[GroupedColumn]) -> dict[str, float]:
    """The differences as metrics of a run: `group_gap_<criterion>_<column>` -> value.

    Characters of a column that such a name may not have become `_`.
    """
    return {
        f"group_gap_{gap.criterion}_{NOT_IN_A_METRIC.sub('_', gap.column)}": gap.gap
        for column in columns
        for gap in column.gaps
        if gap.criterion in KEPT_AS_METRICS
    }
