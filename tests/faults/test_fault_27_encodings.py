"""FAULTS 27: UTF-16, latin-1 and NUL bytes are one clear line and a copy set aside; a BOM is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corner_shop import shop

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "Shop,Order No,amount,Came Back\nCafé,1,10,yes\nCafé,2,20,no\n"
LABELS = "Shop,Order No,Came Back,seen\nCafé,1,no,2099-01-01\n"
BAD = {
    "UTF-16": (lambda text: text.encode("utf-16"), "is UTF-16"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "NUL bytes in line 1"),
    "latin-1": (lambda text: text.encode("latin-1"), "line 2 is not UTF-8"),
    "NUL bytes": (
        lambda text: text.encode().replace(b"10,", b"1\x000,").replace(b",no,", b",n\x00o,"),
        "NUL bytes in line 2",
    ),
}


@pytest.mark.parametrize("folder", ["in", "in/labels"], ids=["rows", "labels"])
@pytest.mark.parametrize("case", BAD)
def test_a_file_in_another_encoding_is_set_aside_with_its_reason(home: Path, case: str, folder: str) -> None:
    encode, reason = BAD[case]
    content = encode(ROWS if folder == "in" else LABELS)
    opened = shop(home)
    opened.put(content, folder)
    (batch,) = opened.take_in()
    assert batch.status == "unreadable"
    assert reason in batch.reason
    assert "\n" not in batch.reason
    (kept,) = opened.stores.tables.refused_folder.iterdir()
    assert kept.read_bytes() == content
    assert opened.read("quarantine", "scope") == [("file",)]
    assert opened.read("rows") == []


def test_a_byte_order_mark_is_not_part_of_the_first_column(home: Path) -> None:
    opened = shop(home)
    opened.put(ROWS.encode("utf-8-sig"), "in")
    opened.put(LABELS.encode("utf-8-sig"))
    assert [batch.status for batch in opened.take_in()] == ["accepted", "accepted"]
    assert opened.truth() == {("Café", 1): "no", ("Café", 2): "no"}
