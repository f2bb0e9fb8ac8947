"""FAULTS 24: a category that training never saw is `other`, and counted; over the contract's limit it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tests.corner_shop import shop
from treadle.tasks import features
from treadle.tasks.dataset import Column, Schema

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = Schema(columns=(Column(name="colour", kind="text"), Column(name="size", kind="number")))


def test_an_unseen_category_is_encoded_as_other_and_counted() -> None:
    training = pa.table({"colour": ["red", "blue", "red", "blue"] * 50, "size": np.arange(200.0)})
    spec = features.fit_features(training, SCHEMA, columns=("colour", "size"), categories=(), time=None, timezone="")
    asked = pa.table({"colour": ["red", "green", "teal", None], "size": [1.0, 2.0, 3.0, 4.0]})
    codes = features.encode(spec, asked)[:, spec.names.index("colour")]
    assert codes[0] >= 0
    assert codes[1] == codes[2] == -1
    assert np.isnan(codes[3])
    assert features.unseen(spec, asked) == {"colour": 2}


def test_more_unseen_categories_than_the_contract_allows_refuse_the_batch(home: Path) -> None:
    known = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "colour", "value_set": ["red", "blue"], "mostly": 0.9},
    }
    opened = shop(home, "seen", known, colour="VARCHAR")
    for unseen in (5, 15):
        rows = "".join(f"s{unseen},{n},1,yes,{'green' if n < unseen else 'red'}\n" for n in range(100))
        opened.put(f"Shop,Order No,amount,Came Back,colour\n{rows}", "in")
    few, many = opened.take_in()
    assert (few.status, few.accepted) == ("accepted", 100)
    assert (many.status, many.accepted) == ("refused", 0)
    assert "column 'colour': 15 of 100 values outside the set" in many.reason
