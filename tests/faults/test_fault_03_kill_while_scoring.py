"""FAULTS 3: a kill in the middle of batch scoring; readers see the old table or the whole new one."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import duckdb

from tests.faults.harness import LIFE, NAME, killed_at_random
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Stages

ROWS = 150


def read(home: Path) -> int:
    relation = stores.open(settings_.at(home), NAME).tables.relation("predictions")
    with duckdb.connect() as con:
        [(count,)] = con.sql(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def test_a_reader_sees_none_or_all_whenever_the_writer_dies(stages: Stages) -> None:
    seed = time.time_ns() % 1_000_000
    draw, home, over = random.Random(seed), stages.home("score"), threading.Event()
    seen: set[int] = set()

    def watch() -> None:
        while not over.is_set():
            seen.add(read(home))

    reader = threading.Thread(target=watch)
    reader.start()
    try:
        for share in (0.9, 0.7, 0.5):
            killed_at_random(stages.workshop, home, LIFE["score"], draw, share * stages.seconds["score"])
        done = stages.workshop.run(home, LIFE["score"])
    finally:
        over.set()
        reader.join()
    assert done.status == 0, done.said()
    assert read(home) == ROWS
    assert seen <= {0, ROWS}, f"seed {seed}"
    stages.check(home, "score", f"seed {seed}")
