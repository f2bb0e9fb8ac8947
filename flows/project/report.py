"""`treadle report`: find the report of a training run, and open it."""

from __future__ import annotations

import sys
import webbrowser
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.champion.recorded import recorded_result
from treadle.tasks.commands import Command
from treadle.tasks.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.infra.databases.ledger import VersionRecord
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


class ReportResult(BaseModel):
    """One report: its training run, and its file; `opened` where a browser has opened it."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run_id: str
    run_key: str
    version: int
    decision: str
    headline: str
    created_at: datetime
    path: str
    opened: bool = False

    def exit_code(self) -> int:
        """Always 0: a missing report raises."""
        return 0


def run_report(
    settings: Settings, config: PipelineConfig, run: str | None = None, *, open_browser: bool = False
) -> ReportResult:
    """Find the newest report, or that of `run`: a version's number, or the first digits of a run.

    Opens a browser only where stdout is a terminal. Raises UsageError where `run` is ambiguous or unknown or nothing
    was trained yet, DataError where the file is gone.
    """
    from treadle.infra import stores as stores_

    stores = stores_.open(settings, config.name)
    record = choose_version(config.name, stores.ledger.versions(config.name), run)
    path = recorded_report(settings.home, record) or stores.tracking.report_file(record.run_id)
    if path is None or not path.is_file():
        raise DataError(
            f"the report of version {record.version} of {config.name} is not in MLflow's artifacts any more",
            f"make another: treadle train -p {config.name} --again",
        )
    return ReportResult(
        pipeline=config.name,
        run_id=record.run_id,
        run_key=record.run_key,
        version=record.version,
        decision=record.decision,
        headline=record.headline,
        created_at=record.created_at,
        path=str(path),
        opened=open_browser and sys.stdout.isatty() and open_in_browser(path),
    )


def choose_version(pipeline: str, versions: Sequence[VersionRecord], run: str | None) -> VersionRecord:
    """The version that `run` selects by its number or the first digits of its run's id or key; None: the newest.

    Raises UsageError where it selects none or several.
    """
    if not versions:
        raise UsageError(f"{pipeline} has no report yet", f"train a model: treadle train -p {pipeline}")
    newest = sorted(versions, key=lambda record: -record.version)
    if run is None:
        return newest[0]
    asked = run.strip().lower()
    numbered = [record for record in newest if str(record.version) == asked.removeprefix("v")]
    prefixed = [
        record for record in newest if asked and (record.run_id.startswith(asked) or record.run_key.startswith(asked))
    ]
    matches = numbered or prefixed
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{record.version} ({record.run_id[:8]})" for record in newest[:5])
    if matches:
        raise UsageError(f"{run!r} means {len(matches)} runs of {pipeline}", "give more digits of the run")
    raise UsageError(f"{pipeline} has no run {run!r} (newest versions: {listed})", ("see: ", Command("models")))


def recorded_report(home: Path, record: VersionRecord) -> Path | None:
    """The report's path in the ledger, if the file exists; this saves the seconds of asking MLflow, else None.

    A path outside of the home is ignored: the home was moved or copied since.
    """
    recorded = recorded_result(record).report
    path = Path(recorded)
    return path if recorded and path.is_relative_to(home) and path.is_file() else None


def open_in_browser(path: Path) -> bool:
    """Open a file in the person's browser; False where there is none."""
    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
