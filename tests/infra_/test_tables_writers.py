"""Other writers at the same time, and kills in the middle of a write."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from tests.infra_.batches import keys_of, put
from treadle.infra.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]


def write_in_another_process(root: str, scratch: str, batch: str, column: str) -> int:
    more = {column: pa.array(range(50))} if column else {}
    return put(Tables(root, Path(scratch)), batch, list(range(50)), **more)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize(
    ("batches", "columns", "expected"),
    [
        (["same"] * 6, [""] * 6, 50),
        (list("abcdef"), [""] * 6, 300),
        (list("abcdef"), [f"column {number}" for number in range(6)], 300),
    ],
    ids=["one batch", "different batches", "each with a column of its own"],
)
def test_writers_in_different_processes_all_succeed(
    tables: Tables, processes: ProcessPoolExecutor, batches: list[str], columns: list[str], expected: int
) -> None:
    place = (str(tables.root), str(tables.scratch))
    jobs = [
        processes.submit(write_in_another_process, *place, batch, column)
        for batch, column in zip(batches, columns, strict=True)
    ]
    assert [job.result() for job in jobs] == [50] * 6
    assert len(keys_of(tables)) == expected


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_kill_in_the_middle_of_an_overwrite_leaves_the_old_rows(tables: Tables, at: int) -> None:
    put(tables, "a", [1, 2])
    script = f"""
        import os, signal, pyarrow as pa
        from treadle.infra.tables import Tables
        from pathlib import Path
        from tests.infra_.batches import rows

        table = rows("a", list(range(1000)))
        def dying():
            for number, batch in enumerate(table.to_batches(max_chunksize=200)):
                if number == {at}:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield batch
            os.kill(os.getpid(), signal.SIGKILL)
        reader = pa.RecordBatchReader.from_batches(table.schema, dying())
        Tables({str(tables.root)!r}, Path({str(tables.scratch)!r})).overwrite_batch("rows", "a", reader)
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, check=False)
    assert died.returncode == -signal.SIGKILL
    assert keys_of(tables) == [("a", 1), ("a", 2)]
    assert put(tables, "a", [7]) == 1
    assert keys_of(tables) == [("a", 7)]
