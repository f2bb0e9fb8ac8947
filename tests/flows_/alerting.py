"""A pipeline `clinic` that tells people: whom, of what, and where a secret would be found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.projects import inbox, tumours
from treadle.infra.databases.ledger import VersionRecord

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

    Place = tuple[Settings, PipelineConfig]

CANARY = "canary-91be"
CHAT, MAIL = "ALERTS_CHAT", "ALERTS_MAIL"


def to(settings: Settings, *names: str, more: str = "") -> None:
    """Let the pipeline's file say who is told."""
    file = settings.home / "pipelines" / "clinic.toml"
    named = ", ".join(f'"env:{name}"' for name in names)
    file.write_text(f"{file.read_text().partition('[alerts]')[0]}\n[alerts]\nto = [{named}]\n{more}\n")


def arrive(settings: Settings, name: str, bad: int) -> None:
    """A file of which so many rows break a rule."""
    ids = [f"{name} {number}" for number in range(40)]
    rows = tumours()[:40].drop(columns="Malignant").assign(**{"Tumour ID": ids})
    rows.loc[: bad - 1, "mean radius"] = -1
    rows.to_csv(inbox(settings.home) / f"{name}.csv", index=False)


def break_suite(settings: Settings) -> Path:
    """Let every ingest fail."""
    suite = settings.home / "expectations" / "clinic.json"
    return suite.rename(suite.with_suffix(".away"))


def version(number: int, decision: str, headline: str = "so it is") -> VersionRecord:
    """One that the gate has judged; nobody is champion."""
    told = {"run_key": str(number), "run_id": "", "bundle": "", "digest": "", "data_version": "rows@1"}
    judged = {"decision": decision, "headline": headline, "metric": "roc_auc", "value": 0.9, "champion_value": None}
    at = datetime.now(UTC)
    return VersionRecord(pipeline="clinic", version=number, against=None, result="{}", created_at=at, **told, **judged)


def left(settings: Settings) -> list[str]:
    """Where a secret is in the home."""
    files = (path for path in settings.home.rglob("*") if path.is_file())
    return [str(path) for path in files if CANARY.encode() in path.read_bytes()]
