"""`treadle maintain`: delete what is no longer needed; `treadle.tasks.retention` decides what that is.

Every step decides by the state at its beginning, so that it may be killed anywhere and repeated. No training runs
meanwhile, and no other work uses the tables while they are cleaned up. A dry run makes the same decisions, waits for no
lock and deletes nothing: its steps have no token.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.locking import leased, one_at_a_time
from treadle.flows.context.named_pipeline import naming_pipeline
from treadle.flows.maintain.steps import (
    FreedPart,
    clear_history,
    clear_leftovers,
    clear_models,
    clear_studies,
    clear_tables,
)
from treadle.infra import settings as settings_
from treadle.infra.locks import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

__all__ = ["FreedPart", "MaintainResult", "maintain", "run_maintain"]


class MaintainResult(BaseModel):
    """What was deleted (`cleared`), or with `dry_run` would be, and what was `kept` of the same kinds, with reasons.

    `bytes` counts files only: what is deleted from databases frees space within them.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    dry_run: bool
    bytes: int
    cleared: tuple[FreedPart, ...]
    kept: tuple[FreedPart, ...]
    seconds: float

    def exit_code(self) -> int:
        """Always 0: what cannot be deleted raises."""
        return 0


def run_maintain(settings: Settings, config: PipelineConfig, *, dry_run: bool = False) -> MaintainResult:
    """Clean up one pipeline. Raises ServiceError where a store does not answer, or its disk fails."""
    from treadle.infra.orchestrator import flow_context

    with flow_context(settings):
        return maintain(str(settings.home), config.name, dry_run)


@flow(name="maintain", flow_run_name="maintain {pipeline}")
@naming_pipeline
def maintain(home: str, pipeline: str, dry_run: bool = False) -> MaintainResult:
    """Delete what is no longer needed: in MLflow, studies, tables, unfinished work, and Prefect's own history."""
    begun = time.monotonic()
    with nullcontext() if dry_run else _alone(home, pipeline) as token:
        remaining = clear_models(home, pipeline, token)
        parts = [
            *remaining.parts,
            *clear_studies(home, pipeline, token, remaining.works),
            *clear_leftovers(home, pipeline, token),
            *(clear_tables if dry_run else _tables_alone)(home, pipeline, token, remaining.data_versions),
        ]
    parts += clear_history(home, pipeline, dry_run)
    cleared, kept = tuple(part for part in parts if part.drop), tuple(part for part in parts if not part.drop)
    result = MaintainResult(
        pipeline=pipeline,
        dry_run=dry_run,
        bytes=sum(part.bytes for part in cleared),
        cleared=cleared,
        kept=kept,
        seconds=round(time.monotonic() - begun, 2),
    )
    show_freed_in_ui(result)
    events.emit("maintain", freed_sentence(result))
    return result


@contextmanager
def _alone(home: str, pipeline: str) -> Iterator[int]:
    """Keep backups and trainings from running in the block; yields the token that every write has to present."""

    def waiting(line: str) -> None:
        events.emit("maintain", line)

    with (
        file_lock.hold_file_lock(settings_.at(Path(home)), pipeline, "maintain", waiting),
        leased(home, pipeline, "train") as token,
    ):
        yield token


@one_at_a_time("score")
@one_at_a_time("monitor")
@one_at_a_time("ingest")
def _tables_alone(home: str, pipeline: str, token: int | None, data_versions: Sequence[str]) -> list[FreedPart]:
    """Run `clear_tables` while no other work reads or writes the tables."""
    return clear_tables(home, pipeline, token, data_versions)


def freed_sentence(result: MaintainResult) -> str:
    """One line for people."""
    if not result.cleared:
        return "nothing to clear up"
    return f"{result.bytes / 1e6:,.2f} MB {'would be' if result.dry_run else 'are'} free"


def show_freed_in_ui(result: MaintainResult) -> None:
    """Show what was deleted and kept in Prefect's UI."""
    lines = [f"## {freed_sentence(result)}"]
    for title, parts in (("deleted", result.cleared), ("kept", result.kept)):
        rows = [f"| {part.what} | {part.count:,} | {part.bytes:,} | {part.why} |" for part in parts]
        lines += ["", f"| {title} | how many | bytes | why |", "|---|--:|--:|---|", *rows] if rows else []
    create_markdown_artifact(
        key=f"maintain-{result.pipeline}".replace("_", "-"),
        markdown="\n".join(lines),
        description=f"What was cleaned up of {result.pipeline}",
    )
