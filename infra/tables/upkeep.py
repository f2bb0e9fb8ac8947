"""Maintenance of a Delta table: which files no needed version reads, and how many fewer files it could have.

Delta's own vacuum commits twice, which would give the table a new version and every pipeline a new data version, so
it is only asked what it would take; that is taken file by file, which may be broken off anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from deltalake import DeltaTable

SMALL_BYTES = 64 << 20
MANY = 100
"""Saving so many files is worth a new version of the table, which is a new data version to training."""

CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


class Spare(NamedTuple):
    """Files that no needed version reads: files of rows, and checkpoints, which only spare a reader time."""

    files: tuple[Path, ...]
    checkpoints: tuple[Path, ...]


def spare(table: DeltaTable, folder: Path, keep: Iterable[int], days: int) -> Spare:
    """Files that neither the newest version, nor one of `keep`, nor any of the last `days` days is made of.

    Versions in `keep` that the log does not have any more are ignored.
    """
    log = folder / "_delta_log"
    wanted = sorted({int(table.version())} | {one for one in keep if (log / f"{one:020}.json").exists()})
    listed = table.vacuum(
        retention_hours=24 * days, dry_run=True, enforce_retention_duration=False, full=True, keep_versions=wanted
    )
    files = sorted({folder / unquote(name) for name in listed})
    return Spare(tuple(file for file in files if file.is_file()), tuple(_checkpoints(log, wanted)))


def _checkpoints(log: Path, wanted: list[int]) -> list[Path]:
    """Checkpoints from which no version that is wanted is read; none where the log does not begin at its beginning."""
    there = {int(found[1]): path for path in log.iterdir() if (found := CHECKPOINT.fullmatch(path.name))}
    if not (log / f"{0:020}.json").exists():
        return []
    used = {max((at for at in there if at <= version), default=-1) for version in wanted}
    return [path for at, path in sorted(there.items()) if at not in used]


def fewer(table: DeltaTable) -> int:
    """How many files fewer the table could be in its newest version; 0 where it is not worth another version."""
    import pyarrow as pa

    names = [f"partition.{name}" for name in table.metadata().partition_columns]
    files = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    small = Counter(tuple(file[name] for name in names) for file in files if file["size_bytes"] < SMALL_BYTES)
    spared = sum(small.values()) - len(small)
    return spared if spared >= MANY else 0
