"""The demo's table: what is in it, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from treadle.flows.demo import stage

if TYPE_CHECKING:
    from pathlib import Path

AFTERWARDS = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
KEY = ["year", "month", "day", "carrier", "flight", "origin"]


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inbox")
    assert [one.rows for one in stage.stage_files(folder, [2], "record")] == [23_611]
    assert [one.rows for one in stage.stage_files(folder, [9], "plan")] == [27_574]
    return folder


def test_nothing_from_after_departure_is_in_a_file(inbox: Path) -> None:
    record, plan = (set(pq.read_schema(stage.staged_path(inbox, month)).names) for month in (2, 9))
    assert record - plan == {"arrived_late"}
    assert not AFTERWARDS & record


def test_the_key_is_unique_and_every_flight_of_a_record_has_its_label(inbox: Path) -> None:
    for month in (2, 9):
        table = pq.read_table(stage.staged_path(inbox, month))
        assert table.group_by(KEY).aggregate([]).num_rows == table.num_rows
    labels = pq.read_table(stage.staged_path(inbox, 2))["arrived_late"]
    assert labels.null_count == 0
    assert 0.2 < sum(labels.to_pylist()) / len(labels) < 0.25


def test_files_bear_page_checksums(inbox: Path) -> None:
    damaged = bytearray(stage.staged_path(inbox, 2).read_bytes())
    damaged[2000] ^= 1
    copy = inbox / "damaged.parquet"
    copy.write_bytes(damaged)
    with pytest.raises(OSError, match="checksum"):
        pq.read_table(copy, page_checksum_verification=True)


def test_a_file_that_is_there_stays_as_it_is(inbox: Path) -> None:
    before = stage.staged_path(inbox, 2).stat()
    assert [one.rows for one in stage.stage_files(inbox, [2], "record")] == [None]
    assert stage.staged_path(inbox, 2).stat() == before
    assert not list(inbox.glob(".*"))
