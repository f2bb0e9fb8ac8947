from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pyarrow as pa
import pytest

from tests import postgres
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.tasks.errors import TreadleError

REPOSITORY = Path(__file__).parents[2]


def test_opening_makes_nothing(home: Path) -> None:
    stores.open(settings_.at(home), "shop")
    assert [path.name for path in home.iterdir()] == ["pipelines"]


def test_the_ledger_and_tables_are_asked_without_mlflow_optuna_or_prefect(home: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from treadle.infra import settings, stores
opened = stores.open(settings.at(Path({str(home)!r})), "shop")
opened.ledger.versions("shop"), opened.ledger.history("shop"), opened.data_version()
heavy = {{"mlflow", "optuna", "prefect", "pandas", "xgboost"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)


def test_the_data_version_names_the_newest_rows(home: Path) -> None:
    opened = stores.open(settings_.at(home), "shop")
    assert opened.data_version() == "rows@-1"
    opened.tables.overwrite_batch("rows", "a", pa.table({"x": [1], "_batch_id": ["a"]}).to_reader())
    assert opened.data_version() == f"rows@{opened.tables.version('rows')}"


@pytest.mark.parametrize("backend", postgres.BACKENDS)
def test_a_study_outlives_its_process(home: Path, request: pytest.FixtureRequest, backend: str) -> None:
    settings = settings_.at(home)
    if backend != "sqlite":
        settings = settings_.Settings(home=home, tuning_url=postgres.url(request, backend, home))
    for expected in (0, 1):
        with stores.open(settings, "shop").studies() as storage:
            study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
            assert len(study.trials) == expected
            study.add_trial(optuna.trial.create_trial(value=0.5))
    assert (home / "mlruns" / "optuna.db").is_file() == (backend == "sqlite")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/db", "do not answer: connection"),
        ("nosuch://me:hunter2@host/db", "cannot be used: Can't load plugin"),
    ],
)
def test_a_tuning_url_that_leads_nowhere_is_one_clear_error_without_its_password(
    home: Path, url: str, what: str
) -> None:
    settings = settings_.Settings(home=home, tuning_url=url)
    with pytest.raises(TreadleError, match=what) as caught, stores.open(settings, "shop").studies():
        pass
    assert "hunter2" not in str(caught.value)
