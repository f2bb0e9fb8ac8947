"""Small real tables (scikit-learn's) and projects made of them by `init`, as a person would."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from treadle.flows.project import init
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import server
from treadle.tasks.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

PRISTINE = "pristine.db"


def tumours() -> pd.DataFrame:
    """569 rows, a text key, 30 measures with spaces in their names, and a yes/no target."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True)
    rows = table.data.copy()
    rows.insert(0, "Tumour ID", [f"T{number:04d}" for number in range(len(rows))])
    rows["Malignant"] = table.target.map({0: "yes", 1: "no"})
    return rows


def project(
    home: Path, table: pd.DataFrame, target: str, name: str = "clinic", *, trees: bool = False, quick: bool = False
) -> tuple[Settings, PipelineConfig]:
    """A home with one pipeline, made from `table` as a CSV file outside the home; with `trees` no line is tried.

    `quick`: trials are measured once and not in folds, where a small table would have 15 boosters a trial.
    """
    file = home.parent / f"{name}.csv"
    table.to_csv(file, index=False)
    settings = settings_.at(home)
    init.run_init(settings, file, target, name=name)
    config = home / "pipelines" / f"{name}.toml"
    if trees:
        config.write_text(f'{config.read_text()}\n[model]\nkind = "trees"\n')
    if quick:
        config.write_text(f'{config.read_text()}\n[tune]\nfolds = "never"\n')
    return settings, load_config(config)


def inbox(home: Path, name: str = "clinic") -> Path:
    """Where the pipeline's new files arrive."""
    return home / "data" / "inbox" / name


def prefect_database(home: Path, server_home: Settings) -> None:
    """Give `home` that server's database as it was before any test, so that its own server starts in seconds."""
    place = home / ".treadle" / "prefect"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(server.server_folder(server_home) / PRISTINE, place / server.DATABASE)


def keep_pristine(server_home: Settings) -> None:
    """Keep the server's database as it is now for `prefect_database`."""
    place = server.server_folder(server_home)
    with (
        closing(sqlite3.connect(place / server.DATABASE)) as source,
        closing(sqlite3.connect(place / PRISTINE)) as target,
    ):
        source.backup(target)
