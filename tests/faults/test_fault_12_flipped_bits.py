"""FAULTS 12: one flipped bit is found where Parquet has page checksums or a `.sha256` lies beside."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.quarantined import quarantined
from tests.projects import inbox, project, tumours
from treadle.flows import ingest
from treadle.infra import sources, tables
from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SEED = 12
FLIPS = 60


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def test_no_flip_in_the_pages_of_a_file_with_checksums_passes(tmp_path: Path) -> None:
    draw, file, refused = random.Random(SEED), tmp_path / "whole.parquet", 0
    pq.write_table(pa.Table.from_pandas(tumours()), file, write_page_checksum=True)
    whole = file.read_bytes()
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for _ in range(FLIPS):
        file.write_bytes(whole)
        flip(file, draw.randrange(4, pages))
        with tables.connect(tmp_path / "scratch") as con:
            try:
                raw = sources.open_raw(con, file, "flipped")
            except DataError:
                refused += 1
            else:  # in a page's own statistics, which nobody reads
                came = con.sql(f"SELECT * EXCLUDE (_ordinal) FROM {raw.view}").to_arrow_table().to_pandas()
                pd.testing.assert_frame_equal(came, tumours())
    assert refused > 0.8 * FLIPS


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_is_not_what_its_sha256_says_is_quarantined(home: Path, kind: str) -> None:
    settings, config = project(home, tumours()[:60], "Malignant")
    ingest.run_ingest(settings, config)
    file = inbox(home) / f"may.{kind}"
    if kind == "csv":
        tumours()[100:200].to_csv(file, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(tumours()[100:200]), file)
    told = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{told}  {file.name}\n")
    flip(file, file.stat().st_size // 2)
    result = ingest.run_ingest(settings, config)
    assert [batch.status for batch in result.batches] == ["unreadable"]
    [row] = quarantined(settings, config.name)
    assert f"does not match may.{kind}.sha256" in str(row["reason"])
