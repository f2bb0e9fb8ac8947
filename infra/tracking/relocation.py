"""A home that was relocated or copied: MLflow keeps absolute addresses, everything else is relative to the home."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from treadle.infra import failpoint

if TYPE_CHECKING:
    from treadle.infra.settings import Settings

log = logging.getLogger("treadle.moved")

BUSY_SECONDS = 60
ARTIFACTS = "/mlruns/artifacts/"
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def relocate(settings: Settings) -> None:
    """Let the addresses in the embedded MLflow database name the home where it is now, in one transaction.

    What is under some `mlruns/artifacts/` was ours; anything else (a person's own experiment) stays. Costs a
    millisecond where nothing changes. A database that cannot be read or written is ignored here: its next user
    reports the error.
    """
    file = settings.mlruns / "mlflow.db"
    if settings.tracking_uri or not file.is_file():
        return
    now = f"{(settings.mlruns / 'artifacts').as_uri()}/"
    elsewhere = f"LIKE '%{ARTIFACTS}%' AND substr({{0}}, 1, {len(now)}) <> ?"
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as con:
        old = f"SELECT 1 FROM experiments WHERE artifact_location {elsewhere.format('artifact_location')} LIMIT 1"
        if con.execute(old, (now,)).fetchone() is None:
            return
        con.create_function("here", 1, lambda address: now + address.rpartition(ARTIFACTS)[2], deterministic=True)
        with failpoint.around("moved.mlflow"):
            con.execute("BEGIN IMMEDIATE")
            for table, column in ADDRESSES:
                con.execute(
                    f"UPDATE {table} SET {column} = here({column}) WHERE {column} {elsewhere.format(column)}", (now,)
                )
            con.execute("COMMIT")
        log.info("this project was moved or copied; MLflow's addresses follow")
