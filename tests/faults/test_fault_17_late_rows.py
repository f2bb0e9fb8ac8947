"""FAULTS 17: rows and labels that come late, twice or out of order: one row per key, the newest has the last word."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "Shop,Order No,amount,Came Back\n"
SEPTEMBER = f"{HEAD}a,1,10,yes\na,2,20,no\na,2,20,no\n"
CORRECTED = f"{HEAD}a,2,21,no\n"
AUGUST = f"{HEAD}a,0,5,yes\n"
LABELS = "Shop,Order No,Came Back,seen\na,1,no,2099-01-02\na,1,yes,2099-01-01\na,9,yes,2099-01-01\n"


def test_rows_that_come_twice_count_once_and_late_ones_count(home: Path) -> None:
    opened = shop(home)
    opened.put(SEPTEMBER, "in")
    opened.put(SEPTEMBER, "in")
    (first,) = opened.take_in()
    assert (first.rows_in, first.accepted, first.duplicates) == (3, 2, 1)
    opened.put(CORRECTED, "in")
    opened.put(AUGUST, "in")
    opened.take_in()
    assert opened.training() == {("a", 1): (10, "yes"), ("a", 2): (21, "no"), ("a", 0): (5, "yes")}
    opened.put(SEPTEMBER, "in")
    assert opened.take_in() == []


@pytest.mark.parametrize("order", list(permutations([AUGUST, LABELS, SEPTEMBER])), ids=list("123456"))
def test_the_order_in_which_files_come_does_not_change_what_is_true(home: Path, order: tuple[str, ...]) -> None:
    opened = shop(home)
    for content in order:
        for _ in range(2):
            opened.put(content, "in/labels" if content is LABELS else "in")
            opened.take_in()
    assert opened.truth() == {("a", 0): "yes", ("a", 1): "no", ("a", 2): "no", ("a", 9): "yes"}
    assert opened.training() == {("a", 0): (5, "yes"), ("a", 1): (10, "no"), ("a", 2): (20, "no")}
