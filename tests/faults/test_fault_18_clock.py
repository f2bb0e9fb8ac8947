"""FAULTS 18: a clock that is a day off, and is set right: what came later is newer, whatever the clock said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop
from treadle.infra.databases.ledger import book

if TYPE_CHECKING:
    from datetime import tzinfo
    from pathlib import Path

HEAD = "Shop,Order No,amount,Came Back\n"
WRONG = f"{HEAD}a,1,10,\na,2,20,no\n"
CORRECTED = f"{HEAD}a,1,11,\na,2,21,yes\n"
LABELS = [f"Shop,Order No,Came Back\na,1,{label}\n" for label in ("no", "yes")]


def clock(days: float) -> type[datetime]:
    """A clock that is so many days off."""

    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=days)

    return Off


@pytest.mark.parametrize("then", [0.0, -1.0], ids=["set right", "set wrong"])
def test_what_came_later_is_newer_whatever_the_clock_said(
    home: Path, then: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = shop(home, observed_at="")
    monkeypatch.setattr(book, "datetime", clock(1.0 + then))
    for content, folder in ((WRONG, "in"), (LABELS[0], "in/labels")):
        opened.put(content, folder)
        opened.take_in()
    monkeypatch.setattr(book, "datetime", clock(then))
    for content, folder in ((CORRECTED, "in"), (LABELS[1], "in/labels")):
        opened.put(content, folder)
        opened.take_in()
    assert opened.training() == {("a", 1): (11, "yes"), ("a", 2): (21, "yes")}
