from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treadle.infra.files import outbox
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = pa.table({"name": ["=1+1", "-3.5", "@sum", "plain", None, "+49 30", "\tx"], "x": [1, 2, 3, 4, None, 6, -7]})


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_spreadsheet_runs_nothing_of_ours(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"out{ending}"
    assert outbox.write_output(file, ROWS.schema, ROWS.to_batches()) == 7
    names = [line.split("," if ending == ".csv" else "\t")[0].strip('"') for line in file.read_text().splitlines()[1:5]]
    assert names == ["'=1+1", "-3.5", "'@sum", "plain"]
    assert "'\tx" in file.read_text()
    assert "'+49 30" in file.read_text()


def test_parquet_keeps_every_value_as_it_is(tmp_path: Path) -> None:
    outbox.write_output(tmp_path / "out.parquet", ROWS.schema, ROWS.to_batches())
    assert pq.read_table(tmp_path / "out.parquet").equals(ROWS)


def test_nobody_sees_half_a_file(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("yesterday")

    def breaks() -> Iterator[pa.RecordBatch]:
        yield ROWS.to_batches()[0]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        outbox.write_output(file, ROWS.schema, breaks())
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert file.read_text() == "yesterday"


def test_what_is_written_through_comes_back_from_the_file(tmp_path: Path) -> None:
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(max_chunksize=2))
    assert outbox.write_through(tmp_path / "deep" / "out.parquet", reader).read_all().equals(ROWS)


@pytest.mark.parametrize("name", ["out.xlsx", "out", "folder"])
def test_other_formats_are_refused_before_any_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError):
        outbox.check_output(tmp_path / name)
