"""What commands left behind: the state of a home, litter in it, and runs that nobody closed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb

from tests.faults.harness.home import NAME
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.orchestrator import server

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings

WHEN = ("_ingested_at", "quarantined_at", "_scored_at", "_run_id")


def snapshot(home: Path) -> dict[str, object]:
    """What a person would call the state of a home: content without moments and random names."""
    opened = stores.open(settings_.at(home), NAME)
    found: dict[str, object] = {name: _table(home, name) for name in ("rows", "quarantine", "labels", "predictions")}
    found["batches"] = sorted(
        (one.label, one.status, one.rows_in, one.accepted, one.quarantined, one.duplicates)
        for one in opened.ledger.batches(NAME)
    )
    found["versions"] = [
        (one.version, one.run_key, one.decision, one.headline, one.data_version, one.digest)
        for one in opened.ledger.versions(NAME)
    ]
    found["moves"] = [
        (one.seq, one.version_from, one.version_to, one.verdict, one.digest, one.pending)
        for one in opened.ledger.history(NAME)
    ]
    found["trials"] = _trials(home)
    found["files"] = sorted(path.name for path in (home / "data" / "outbox").rglob("*"))
    found["refused"] = sorted(path.name for path in (home / "data" / NAME / "refused").glob("*"))
    found["mlflow"] = _mlflow(home)
    return found


def litter(home: Path) -> list[str]:
    """Files that a finished command has no use for."""
    state = home / ".treadle"
    left = [path for path in home.rglob("*") if path.name.endswith((".part", ".new", ".old")) or "#" in path.name]
    left += [path for path in (state / "duckdb").glob("*") if path.name != ".lock"]
    left += [path for path in (state / "runs").rglob("*") if path.is_file()]
    left += [*(state / "prefect" / "commands").glob("*")]
    left += _unknown_files(home)
    return sorted(str(path.relative_to(home)) for path in left)


def open_runs(settings: Settings) -> list[tuple[str, str]]:
    """Name and state of the runs that the home's own Prefect server believes to be at work."""
    with closing(sqlite3.connect(server.server_folder(settings) / server.DATABASE)) as con:
        return con.execute(
            "SELECT f.name, r.state_type FROM flow_run r JOIN flow f ON f.id = r.flow_id "
            "WHERE r.state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"
        ).fetchall()


def _table(home: Path, name: str) -> list[tuple[object, ...]]:
    relation = stores.open(settings_.at(home), NAME).tables.relation(name)
    with duckdb.connect() as con:
        columns = [row[0] for row in con.sql(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
        listed = ", ".join(f'"{column}"' for column in columns if column not in WHEN)
        return sorted(con.sql(f"SELECT {listed} FROM {relation}").fetchall(), key=repr)


def _trials(home: Path) -> list[object]:
    """Finished trials of every study: parameters, values, rounds."""
    if not (home / "mlruns" / "optuna.db").exists():
        return []
    with closing(sqlite3.connect(home / "mlruns" / "optuna.db")) as con:
        query = (
            "SELECT s.study_name, t.trial_id, t.state, v.value FROM trials t JOIN studies s USING (study_id) "
            "LEFT JOIN trial_values v ON v.trial_id = t.trial_id WHERE t.state IN ('COMPLETE', 'PRUNED')"
        )
        made = con.execute(query).fetchall()
        params = {
            trial: sorted(con.execute("SELECT param_name, param_value FROM trial_params WHERE trial_id = ?", (trial,)))
            for _, trial, _, _ in made
        }
    return sorted((study, state, value, params[trial]) for study, trial, state, value in made)


def _mlflow(home: Path) -> list[object]:
    """Runs, their ends, models, versions and alias, without ids."""
    if not (home / "mlruns" / "mlflow.db").exists():
        return []
    with closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as con:
        runs = con.execute(
            "SELECT name, status FROM runs WHERE lifecycle_stage = 'active' AND status <> 'FAILED' ORDER BY 1, 2"
        ).fetchall()
        models = con.execute("SELECT status, lifecycle_stage FROM logged_models ORDER BY 1, 2").fetchall()
        versions = con.execute("SELECT version, status FROM model_versions ORDER BY 1").fetchall()
        alias = con.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    return [runs, models, versions, alias]


def _unknown_files(home: Path) -> list[Path]:
    """Parquet files in a table's folder that no commit ever named, and models' folders that MLflow does not know."""
    left = []
    for log in home.glob("data/*/*/_delta_log"):
        told = "".join(path.read_text() for path in log.glob("*.json"))
        left += [path for path in log.parent.rglob("*.parquet*") if path.name not in told]
        left += [path for path in log.iterdir() if path.suffix != ".json"]
    models = home / "mlruns" / "artifacts" / NAME / "models"
    if models.is_dir():
        with closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as con:
            known = {row[0] for row in con.execute("SELECT model_id FROM logged_models")}
        left += [path for path in models.iterdir() if path.name not in known]
    return left


def difference(alone: dict[str, object], hurt: dict[str, object]) -> str:
    """Where two snapshots differ, in a few lines."""
    differing = [name for name in alone if alone[name] != hurt[name]]
    return "\n".join(f"{name}: {str(alone[name])[:600]}\n  but {str(hurt[name])[:600]}" for name in differing)
