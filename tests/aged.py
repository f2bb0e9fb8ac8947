"""A home made older: what was done in it, so many days ago, as all of its stores tell."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAY_MS = 86_400_000
MLFLOW = (("runs", "start_time"), ("runs", "end_time"))
OPTUNA = (("trials", "datetime_start"), ("trials", "datetime_complete"))
LEDGER = (("versions", "created_at"), ("promotions", "at"), ("batches", "at"), ("retired", "at"))


def table(folder: Path, days: int) -> None:
    """A Delta table: its commits, what they removed, and its files."""
    for path in (folder / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            for inner in action.values():
                for key in {"deletionTimestamp", "timestamp", "modificationTime"} & inner.keys():
                    inner[key] -= days * DAY_MS
        path.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    files(folder, days)


def files(folder: Path, days: int) -> None:
    """When files and folders were changed last."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in (*names, ".")):
            facts = path.stat()
            os.utime(path, (facts.st_atime - days * 86_400, facts.st_mtime - days * 86_400))


def home(folder: Path, days: int) -> None:
    """Everything in a home but Prefect's own database."""
    for delta in folder.glob("data/*/*/_delta_log"):
        table(delta.parent, days)
    files(folder / ".treadle", days)
    runs = folder / "mlruns"
    for file, columns, older in (
        (runs / "mlflow.db", MLFLOW, f"{{0}} - {days * DAY_MS}"),
        (runs / "optuna.db", OPTUNA, f"datetime({{0}}, '-{days} days')"),
        (runs / "treadle.db", LEDGER, f"strftime('%Y-%m-%dT%H:%M:%f', {{0}}, '-{days} days') || '000+00:00'"),
    ):
        with closing(sqlite3.connect(file, timeout=60)) as con, con:
            for name, column in columns:
                con.execute(f"UPDATE {name} SET {column} = {older.format(column)} WHERE {column} IS NOT NULL")


def ago(days: float) -> datetime:
    """That moment."""
    return datetime.now(UTC) - timedelta(days=days)
