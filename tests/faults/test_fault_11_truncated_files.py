"""FAULTS 11: a truncated Parquet file, or a CSV cut in a row, is quarantined with its reason."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.quarantined import quarantined
from tests.projects import inbox, project, tumours
from treadle.flows import ingest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_whatever_is_left_of_a_parquet_file_is_refused_whole(home: Path) -> None:
    settings, config = project(home, tumours()[:60], "Malignant")
    ingest.run_ingest(settings, config)
    names = []
    for share in (0.1, 0.5, 0.99):
        file = inbox(home) / f"cut-{share}.parquet"
        tumours()[:100].to_parquet(file)
        os.truncate(file, int(file.stat().st_size * share))
        names.append(file.name)
    result = ingest.run_ingest(settings, config)
    assert result.exit_code() == 3
    assert [(batch.label, batch.status, batch.accepted) for batch in result.batches] == [
        (name, "unreadable", 0) for name in names
    ]
    found = quarantined(settings, config.name)
    assert [(row["file"], row["scope"]) for row in found] == [(name, "file") for name in names]
    assert all("truncated Parquet" in str(row["reason"]) for row in found)
    assert len(list((home / "data" / "clinic" / "refused").iterdir())) == 3


def test_a_csv_that_is_cut_in_a_row_is_refused_whole_with_the_line(home: Path) -> None:
    settings, config = project(home, tumours()[:60], "Malignant")
    file = inbox(home) / "cut.csv"
    tumours()[:100].to_csv(file, index=False)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:50]) + lines[50][: len(lines[50]) // 2])
    result = ingest.run_ingest(settings, config, [file])
    assert (result.exit_code(), result.accepted) == (3, 0)
    [row] = quarantined(settings, config.name)
    assert "line 51" in str(row["reason"])
    file.write_bytes(b"".join(lines))
    assert ingest.run_ingest(settings, config, [file]).batches[0].status == "accepted", (
        "the whole file is another batch"
    )
