"""FAULTS 26: an infinite value sends its row to quarantine; NaN is a missing value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corner_shop import shop

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["1.5", "inf", "-Infinity", "1e400", "NaN", "nan", ""]
VALUES = [1.5, math.inf, -math.inf, math.inf, math.nan, math.nan, None]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_infinity_is_quarantined_and_nan_is_missing(home: Path, ending: str) -> None:
    opened = shop(home)
    config = home / "pipelines" / "shop.toml"
    config.write_text(config.read_text().replace("[data]\n", "[data]\nmax_bad_rows = 0.9\n"))
    if ending == ".csv":
        rows = "".join(f"a,{number},{text},yes\n" for number, text in enumerate(TEXTS))
        opened.put(f"Shop,Order No,amount,Came Back\n{rows}", "in")
    else:
        table = {"Shop": ["a"] * 7, "Order No": range(7), "amount": pa.array(VALUES), "Came Back": ["yes"] * 7}
        pq.write_table(
            pa.table({name: pa.array(column) for name, column in table.items()}), opened.put("", "in", ending)
        )
    (batch,) = opened.take_in()
    assert (batch.accepted, batch.quarantined) == (4, 3)
    assert opened.read("quarantine", "_ordinal, columns") == [(1, ["amount"]), (2, ["amount"]), (3, ["amount"])]
    assert opened.read("rows", '"Order No", amount') == [(0, 1.5), (4, None), (5, None), (6, None)]


def test_an_infinite_row_can_be_released_only_when_it_is_none_any_more(home: Path) -> None:
    from treadle.flows.project import quarantine
    from treadle.infra import settings as settings_
    from treadle.tasks.config.load import load_config

    opened = shop(home)
    rows = "".join(f"a,{number},{'inf' if number == 3 else number},yes\n" for number in range(40))
    opened.put(f"Shop,Order No,amount,Came Back\n{rows}", "in")
    (batch,) = opened.take_in()
    settings, config = settings_.at(home), load_config(home / "pipelines" / "shop.toml")
    assert quarantine.run_release(settings, config, batch.batch_id).left == 1
    file = home / "pipelines" / "shop.toml"
    file.write_text(file.read_text().replace("[data]\n", '[data]\nmissing = ["", "inf"]\n'))
    assert quarantine.run_release(settings, load_config(file), batch.batch_id).released == 1
    assert (3, None) in opened.read("rows", '"Order No", amount')
