"""Which predictions depend on each other, once they stand beside their labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pytest

from treadle.flows.monitor.due import dependence_of_outcomes, dependent_by
from treadle.tasks.dataset import SplitSpec


@pytest.mark.parametrize(
    ("split", "columns"),
    [
        (SplitSpec(), ()),
        (SplitSpec(strategy="group", group="shop"), ("_group",)),
        (SplitSpec(strategy="time"), ("_moment",)),
        (SplitSpec(strategy="time", group="shop"), ("_moment", "_group")),
    ],
)
def test_predictions_of_a_group_and_near_in_time_depend_on_each_other(
    split: SplitSpec, columns: tuple[str, ...]
) -> None:
    place = SimpleNamespace(config=SimpleNamespace(split=split))
    assert dependent_by(place) == columns  # type: ignore[arg-type]
    day = datetime(2024, 3, 4)
    table = pa.table(
        {
            "_group": ["a", "b", "a"],
            "_moment": [day, day + timedelta(days=1), day + timedelta(days=2)],
        }
    ).select(columns)
    found = dependence_of_outcomes(place, table)  # type: ignore[arg-type]
    assert (found.groups is not None) == ("_group" in columns)
    assert (found.times is not None) == ("_moment" in columns)
    if found.groups is not None:
        assert found.groups[0] == found.groups[2] != found.groups[1]
