"""FAULTS 20: a batch without rows is refused with its reason and exit code 3, never passed for want of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corner_shop import shop
from treadle.flows import ingest
from treadle.infra import settings as settings_
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

EMPTY = pa.table(
    {"Shop": pa.array([], pa.string()), "Order No": pa.array([], pa.int64()), "amount": pa.array([], pa.float64())}
)


@pytest.mark.usefixtures("prefect_server")
def test_the_exit_code_is_3_for_empty_files_whatever_their_kind(home: Path) -> None:
    opened = shop(home)
    opened.put("Shop,Order No,amount,Came Back\n", "in")
    opened.put("", "in")
    pq.write_table(EMPTY, opened.put("", "in", ".parquet"))
    opened.put("Shop,Order No,Came Back,seen\n")
    settings = settings_.at(home)
    result = ingest.run_ingest(settings, load_config(home / "pipelines" / "shop.toml"))
    assert result.exit_code() == 3
    assert [batch.status for batch in result.batches] == ["refused", "unreadable", "refused"]
    assert [batch.status for batch in result.labels.batches] == ["refused"]
    assert "no rows" in result.batches[0].reason
    assert "is empty" in result.batches[1].reason
    assert opened.read("rows") == []


def test_rows_of_nothing_but_gaps_are_refused_because_nothing_could_be_checked(home: Path) -> None:
    opened = shop(home)
    file = home / "pipelines" / "shop.toml"
    text = file.read_text().replace('key = ["Shop", "Order No"]\n', "")
    file.write_text(text.split("[labels]")[0])
    opened.put("Shop,Order No,amount,Came Back\n,,,\n,,,\n", "in")
    (batch,) = opened.take_in()
    assert batch.status == "refused"
    assert "nothing in it could be checked" in batch.reason
