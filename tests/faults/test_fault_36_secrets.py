"""FAULTS 36: no secret of the environment is in any store, log, page or message."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.projects import inbox, tumours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

CANARY = "canary-7f3a9c"
SECRETS = {
    "PREFECT_API_KEY": CANARY,
    "PREFECT_API_AUTH_STRING": f"admin:{CANARY}",
    "MLFLOW_TRACKING_PASSWORD": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "TREADLE_API_TOKEN": CANARY,
    "ALERTS_CHAT": f"json://someone:{CANARY}@127.0.0.1:1/{CANARY}",
}


def treadle(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "treadle.flows.cli", *arguments],
        cwd=home,
        env={**os.environ, **SECRETS, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def found(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            yield str(path.relative_to(folder))


@pytest.mark.timeout(300)
def test_a_whole_life_leaves_no_trace_of_a_secret(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings, prefect_server: str
) -> None:
    home = clinic[0].home
    file = home / "pipelines" / "clinic.toml"
    file.write_text(f'{file.read_text()}\n[alerts]\nto = ["env:ALERTS_CHAT"]\nstale_after_hours = 0.0001\n')
    tumours()[:40].drop(columns="Malignant").to_csv(inbox(home) / "new.csv", index=False)
    secret_url = prefect_server.replace("//", f"//someone:{CANARY}@")
    said = []
    for arguments in (("train", "--trials", "1", "--again"), ("score",), ("alerts",), ("doctor",)):
        done = treadle(home, *arguments, PREFECT_API_URL=secret_url)
        assert done.returncode in (0, 1, 4), done.stderr
        said.append(done.stdout + done.stderr)
    assert CANARY not in "".join(said)
    assert list(found(home)) == []
    assert list(found(server_home.home)) == []


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("PREFECT_API_URL", f"http://someone:{CANARY}@127.0.0.1:1/api"),
        ("TREADLE_LEDGER_URL", f"postgresql://someone:{CANARY}@127.0.0.1:1/ledger"),
        pytest.param(
            "TREADLE_TUNING_URL", f"postgresql://someone:{CANARY}@127.0.0.1:1/studies", marks=pytest.mark.slow
        ),
        ("TREADLE_TRACKING_URI", f"http://someone:{CANARY}@127.0.0.1:1"),
        ("TREADLE_STORAGE_URL", f"s3://someone:{CANARY}@bucket/tables"),
    ],
)
def test_an_address_that_does_not_answer_is_told_without_its_password(
    clinic: tuple[Settings, PipelineConfig], prefect_server: str, variable: str, url: str
) -> None:
    home = clinic[0].home
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    done = treadle(
        home, "train", "--trials", "1", "--again", **{"PREFECT_API_URL": prefect_server, **quick, variable: url}
    )
    assert done.returncode in (1, 2), done.stdout
    assert "  fix: " in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert list(found(home)) == []
