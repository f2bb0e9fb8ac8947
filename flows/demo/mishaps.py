"""The files that arrive after the demo's first month: bad files, a corrected one, late labels.

Three files of October's first week, a plan, are bad, each in another way, before the corrected one arrives. September's
labels arrive weeks after its flights.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from treadle.flows.demo.stage import PIPELINE, YEAR, joined

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

WEEK = "month = 10 AND day <= 7"
NEGATIVE = 300
KILOMETRES = 1.609344


def bad_files(inbox: Path) -> tuple[Path, ...]:
    """A renamed column, distances in kilometres of which 300 are negative, and half a Parquet file."""
    return (
        _stage(inbox / _week("renamed"), lambda: _plan("* RENAME (sched_dep_time AS departure)")),
        _stage(inbox / _week("kilometres"), lambda: _plan(f"* REPLACE ({_kilometres()} AS distance)")),
        _stage(inbox / _week("cut"), lambda: _plan("*"), keep=0.5),
    )


def corrected_file(inbox: Path) -> Path:
    """The same week without a mistake."""
    return _stage(inbox / _week("corrected"), lambda: _plan("*"))


def late_labels(inbox: Path) -> Path:
    """September's labels: key, target, and when each was known, the day after the flight.

    Cancelled flights never get one.
    """
    columns = "year, month, day, carrier, flight, origin, arrived_late, time_hour + INTERVAL 1 DAY AS known_at"
    where = "month = 9 AND arrived_late IS NOT NULL"
    return _stage(inbox / f"{PIPELINE}-{YEAR}-09-labels.parquet", lambda: _select(columns, where))


def _week(what: str) -> str:
    return f"{PIPELINE}-{YEAR}-10-week1-{what}.parquet"


def _kilometres() -> str:
    """Kilometres, and below zero in 300 rows spread over the file."""
    sign = f"CASE WHEN row_number() OVER () % 20 = 0 AND row_number() OVER () <= {20 * NEGATIVE} THEN -1 ELSE 1 END"
    return f"CAST(round(distance * {KILOMETRES}) AS BIGINT) * {sign}"


def _plan(columns: str) -> pa.Table:
    return _select(columns.replace("*", "* EXCLUDE (arrived_late)", 1), WEEK)


def _select(columns: str, where: str) -> pa.Table:
    with joined() as con:
        return con.sql(f"SELECT {columns} FROM joined WHERE {where}").to_arrow_table()


def _stage(path: Path, make: Callable[[], pa.Table], *, keep: float = 1.0) -> Path:
    """Write a file atomically unless it is there; `keep` is the share of its bytes that arrives."""
    import pyarrow.parquet as pq

    from treadle.infra.files.atomic import replacing

    if not path.exists():
        with replacing(path) as aside:
            pq.write_table(make(), aside, write_page_checksum=True)
            os.truncate(aside, int(aside.stat().st_size * keep))
    return path
