"""`treadle maintain`: what nobody refers to any more is taken away; `treadle.tasks.retention` says what that is.

Every step decides by what is there when it begins, so that it may be killed anywhere and done again. Meanwhile nobody
trains, and while the tables are cleared up nobody is at work on them. A dry run decides the same, waits for nobody and
takes nothing: its steps have no token.
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
    """What was taken away, or with `dry_run` what would be, and what was kept of the same kinds, each with its reason.

    `bytes` are those of files; what is taken from databases makes room in them.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    dry_run: bool
    bytes: int
    cleared: tuple[FreedPart, ...]
    kept: tuple[FreedPart, ...]
    seconds: float

    def exit_code(self) -> int:
        """Always 0: what cannot be taken away raises."""
        return 0


def run_maintain(settings: Settings, config: PipelineConfig, *, dry_run: bool = False) -> MaintainResult:
    """Clear up one pipeline. Raises ServiceError where a store does not answer, or its disk fails."""
    from treadle.infra.orchestrator import flow_context

    with flow_context(settings):
        return maintain(str(settings.home), config.name, dry_run)


@flow(name="maintain", flow_run_name="maintain {pipeline}")
def maintain(home: str, pipeline: str, dry_run: bool = False) -> MaintainResult:
    """Take away what nobody refers to: in MLflow, studies, tables, unfinished work, and Prefect's own history."""
    begun = time.monotonic()
    with nullcontext() if dry_run else _alone(home, pipeline) as token:
        left = clear_models(home, pipeline, token)
        found = [
            *left.parts,
            *clear_studies(home, pipeline, token, left.works),
            *clear_leftovers(home, pipeline, token),
            *(clear_tables if dry_run else _tables_alone)(home, pipeline, token, left.data_versions),
        ]
    found += clear_history(home, pipeline, dry_run)
    cleared, kept = tuple(one for one in found if one.drop), tuple(one for one in found if not one.drop)
    result = MaintainResult(
        pipeline=pipeline,
        dry_run=dry_run,
        bytes=sum(one.bytes for one in cleared),
        cleared=cleared,
        kept=kept,
        seconds=round(time.monotonic() - begun, 2),
    )
    show_freed_in_ui(result)
    events.emit("maintain", freed_sentence(result))
    return result


@contextmanager
def _alone(home: str, pipeline: str) -> Iterator[int]:
    """Nobody backs up or trains meanwhile; yields the token that has to be shown."""

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
    """Nobody reads or writes the tables meanwhile."""
    return clear_tables(home, pipeline, token, data_versions)


def freed_sentence(result: MaintainResult) -> str:
    """One line for people."""
    if not result.cleared:
        return "nothing to clear up"
    return f"{result.bytes / 1e6:,.2f} MB {'would be' if result.dry_run else 'are'} free"


def show_freed_in_ui(result: MaintainResult) -> None:
    """Leave what was taken in Prefect's UI."""
    lines = [f"## {freed_sentence(result)}"]
    for title, parts in (("taken", result.cleared), ("kept", result.kept)):
        rows = [f"| {one.what} | {one.count:,} | {one.bytes:,} | {one.why} |" for one in parts]
        lines += ["", f"| {title} | how many | bytes | why |", "|---|--:|--:|---|", *rows] if rows else []
    create_markdown_artifact(
        key=f"maintain-{result.pipeline}".replace("_", "-"),
        markdown="\n".join(lines),
        description=f"What {result.pipeline} had piled up",
    )
