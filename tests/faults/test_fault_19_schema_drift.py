"""FAULTS 19: a column that is gone, renamed, retyped or new is named, and refuses the batch where rows need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "gone": ("Shop,Order No,Came Back\na,1,yes\n", "column 'amount' is missing"),
    "renamed": (
        "Shop,Order No,Amount,Came Back\na,1,3,yes\n",
        "column 'amount' is missing (it has 'Amount': renamed?)",
    ),
    "retyped": ("Shop,Order No,amount,Came Back\na,1,high,yes\na,2,low,no\n", "column 'amount': 2 of 2 values"),
    "key gone": ("Shop,amount,Came Back\na,1,yes\n", "column 'Order No' is missing"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_whose_columns_drifted_is_refused_and_the_column_named(home: Path, case: str) -> None:
    content, reason = CASES[case]
    opened = shop(home)
    opened.put(content, "in")
    (batch,) = opened.take_in()
    assert (batch.status, batch.quarantined) == ("refused", batch.rows_in)
    assert reason in batch.reason
    assert opened.read("rows") == []
    assert all(reason in str(row[0]) for row in opened.read("quarantine", "reason"))


def test_a_new_column_is_left_out_and_said(home: Path) -> None:
    opened = shop(home)
    opened.put("Shop,Order No,amount,Came Back,colour\na,1,3,yes,red\n", "in")
    (batch,) = opened.take_in()
    assert batch.status == "accepted"
    assert any("'colour'" in warning for warning in batch.warnings)
    assert "colour" not in opened.stores.tables.columns("rows").names


def test_a_column_that_the_suite_retypes_afterwards_is_refused_and_nothing_is_written(home: Path) -> None:
    opened = shop(home)
    opened.put("Shop,Order No,amount,Came Back\na,1,3,yes\n", "in")
    opened.take_in()
    before = opened.read("rows")
    retyped = shop(home, amount="VARCHAR")
    retyped.numbers = opened.numbers
    retyped.put("Shop,Order No,amount,Came Back\na,2,three,yes\n", "in")
    with pytest.raises(DataError, match="column 'amount' holds DOUBLE in table rows, the new rows VARCHAR"):
        retyped.take_in()
    assert retyped.read("rows") == before
