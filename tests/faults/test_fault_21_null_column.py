"""FAULTS 21: a required column without a value refuses the batch; the target may be missing throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop

if TYPE_CHECKING:
    from pathlib import Path

REQUIRED = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amount"}}


@pytest.mark.parametrize("gap", ["", "NaN", "NA"])
def test_a_required_column_of_nulls_refuses_the_batch_by_name(home: Path, gap: str) -> None:
    opened = shop(home, "seen", REQUIRED)
    rows = "".join(f"a,{number},{gap},yes\n" for number in range(20))
    opened.put(f"Shop,Order No,amount,Came Back\n{rows}", "in")
    (batch,) = opened.take_in()
    assert (batch.status, batch.accepted, batch.quarantined) == ("refused", 0, 20)
    assert "column 'amount': all 20 values are missing" in batch.reason


def test_a_null_column_that_nobody_requires_is_said_and_taken(home: Path) -> None:
    opened = shop(home)
    opened.put("Shop,Order No,amount,Came Back\na,1,,yes\na,2,,no\n", "in")
    (batch,) = opened.take_in()
    assert (batch.status, batch.accepted) == ("accepted", 2)
    assert any("'amount' has no value at all" in warning for warning in batch.warnings)


def test_a_target_of_nulls_is_what_waits_for_predictions(home: Path) -> None:
    opened = shop(home, "seen", REQUIRED)
    opened.put("Shop,Order No,amount,Came Back\na,1,1,\na,2,2,\n", "in")
    (batch,) = opened.take_in()
    assert (batch.status, batch.accepted, batch.labelled) == ("accepted", 2, 0)
