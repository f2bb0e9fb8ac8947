"""Groups of rows: how good the model is in each, and whether it is worse there than the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.tasks.gate import SliceVerdict
    from treadle.tasks.report.story import Story


def slice_lines(story: Story) -> list[SliceVerdict]:
    """Every slice that the gate examined, by column, the largest first."""
    return sorted(story.verdict.slices, key=lambda one: (one.column, -one.rows, one.value))
