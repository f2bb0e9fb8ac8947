"""Outcomes known at different speeds bias neither the holdout nor an alarm; the whole experiment: `tests/audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.audit.labels import RATE, alarm, base_rate, slow_world, stored
from treadle.tasks.maturity import settled_after

if TYPE_CHECKING:
    from pathlib import Path

WORLDS = range(6)


def test_slow_negatives_neither_alarm_nor_change_the_base_rate_of_the_holdout(tmp_path: Path) -> None:
    """Of 6 stable worlds more than 2 alarm once in 400 times, if each does in 5%; .04 is 4 standard errors."""
    before, unset, mature, biased, rates = 0, 0, 0, [], []
    for seed in WORLDS:
        world = slow_world(seed, 320)
        tables = stored(world, 320, tmp_path / str(seed))
        before += alarm(world, tables, "", always_judges=True)[0]
        unset += alarm(world, tables, "")[0]
        mature += alarm(world, tables, "90d")[0]
        biased.append(base_rate(tables, ""))
        rates.append(base_rate(tables, "90d"))
    assert before >= 4, "the experiment shows the fault where nothing is done about it"
    assert unset == 0, "what is not settled does not judge"
    assert mature <= 2
    assert np.mean(biased) > RATE + 0.1
    assert np.mean(rates) == pytest.approx(RATE, abs=0.04)


def test_a_world_that_changed_still_alarms_once_its_labels_are_mature(tmp_path: Path) -> None:
    """With and without the key: in the second case the age is that which the past delays show."""
    world = slow_world(0, 400, decay=0.5)
    tables = stored(world, 400, tmp_path)
    assert alarm(world, tables, "90d") == (True, True, "")
    assert alarm(world, tables, "") == (True, True, "90d")


def delays(days: int, quick: float, slow: float, share: float = 0.2, missing: float = 0.0) -> tuple[np.ndarray, ...]:
    """Ages and delays of ten rows a day, the quick share of them known after `quick` days, the rest after `slow`."""
    draw = np.random.default_rng(days)
    ages = np.repeat(np.arange(days, dtype=float), 10)
    took = np.where(draw.random(len(ages)) < share, float(quick), float(slow))
    took[draw.random(len(ages)) < missing] = np.inf
    return ages, np.where(took <= ages, took, np.nan)


SHOWN = {
    "both speeds were seen for long": (delays(200, 30, 90), 90),
    "the slow ones have hardly come": (delays(120, 30, 90), None),
    "the slow ones have not come": (delays(80, 30, 90), None),
    "all labels come at once": (delays(100, 0.1, 0.1), 1),
    "most rows never get a label": (delays(400, 20, 25, missing=0.8), 25),
    "few rows": (delays(9, 1, 1), None),
    "labels of an old table that came today": ((np.full(1_000, 700.0), np.full(1_000, 700.0)), None),
}


@pytest.mark.parametrize("case", SHOWN)
def test_the_age_of_maturity_is_shown_by_rows_that_were_followed_well_beyond_it(case: str) -> None:
    (ages, took), expected = SHOWN[case]
    found = settled_after(ages, took)
    assert (found.days if found else None) == expected
