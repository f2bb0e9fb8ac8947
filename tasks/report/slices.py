"""Groups of rows: how good the model is in each, and whether it is worse there than the champion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from treadle.tasks import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from treadle.tasks.gate import SliceVerdict
    from treadle.tasks.report.story import Story

CONFIDENCE = 0.95
SMALLEST = 200
MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class SliceLine:
    """The rows where `column` is `value`: the model's `metric` there (NaN where unknown), its gain and bounds."""

    column: str
    value: str
    rows: int
    metric: str
    score: float
    gain: float
    lower: float
    upper: float


def slice_lines(story: Story) -> list[SliceLine]:
    """Every slice of 200 rows or more, by column, the largest first.

    Gain and bounds are the verdict's where it looked at slices. Before the first champion it does not; then they
    are the gain over the dummy with its bootstrap interval.
    """
    groups = {column: texts(values) for column, values in story.groups.items()}
    found = judged_slices(story, groups, story.verdict.slices) if story.verdict.slices else measured(story, groups)
    return sorted(found, key=lambda line: (line.column, -line.rows, line.value))


def judged_slices(story: Story, groups: Mapping[str, np.ndarray], by_slice: Sequence[SliceVerdict]) -> list[SliceLine]:
    """The slices that the gate looked at."""
    return [
        SliceLine(
            column=one.column,
            value=one.value,
            rows=one.rows,
            metric=one.metric,
            score=slice_score(story, groups.get(one.column), one.value, one.metric),
            gain=one.gain,
            lower=one.lower,
            upper=one.upper,
        )
        for one in by_slice
    ]


def measured(story: Story, groups: Mapping[str, np.ndarray]) -> list[SliceLine]:
    """The slices of the story's groups, against the champion or the dummy."""
    if story.comparison is None:
        return []
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return [
        SliceLine(
            column=column,
            value=one.value,
            rows=one.rows,
            metric=one.metric,
            score=slice_score(story, values, one.value, one.metric),
            gain=one.gain,
            lower=one.gain - z * one.error,
            upper=one.gain + z * one.error,
        )
        for column, values in groups.items()
        for one in metrics.slices(
            story.metric,
            story.task,
            story.y,
            story.p,
            story.comparison,
            column=column,
            values=values,
            smallest=SMALLEST,
        )
    ]


def slice_score(story: Story, values: np.ndarray | None, value: str, metric: str) -> float:
    """The model's metric on one slice; NaN where its rows are not known."""
    if values is None or not (here := values == value).any():
        return math.nan
    return metrics.metric_value(story.task, metric, story.y[here], story.p[here])


def texts(values: np.ndarray) -> np.ndarray:
    """A column's values [n] by the names that slices bear; None is '(missing)'."""
    import numpy as np

    return np.array([MISSING if one is None else str(one) for one in values], dtype=object).astype(str)
