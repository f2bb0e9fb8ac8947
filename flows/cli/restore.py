"""Keeping: `maintain`, `backup`, `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import Page
from treadle.flows.cli.runtime.options import Json, Pipeline, examples
from treadle.flows.cli.runtime.pipeline_choice import opened
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.maintain import MaintainResult
    from treadle.flows.project.backup import BackupResult

GROUP = "This machine"

commands = typer.Typer()


@commands.command(
    cls=Page, rich_help_panel=GROUP, epilog=examples("treadle maintain --dry-run", "treadle maintain -p customers")
)
def maintain(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and take nothing.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Take away what nobody refers to any more.

    Old runs, models that never were champion, replaced files of tables: the config's [retention] says what is old.
    """
    from treadle.flows.cli import show

    def verb() -> MaintainResult:
        from treadle.flows import maintain

        return maintain.run_maintain(*opened(pipeline), dry_run=dry_run)

    return carry_out(context.obj, "maintain", verb, show.maintain, as_json=as_json, pipeline=pipeline)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle backup /mnt/backup/2026-11-25"))
def backup(
    context: typer.Context,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one to be made.")],
    as_json: Json = False,
) -> int:
    """Back up the project to a folder while everything goes on.

    Every file is kept with its hash, which restore compares.
    """
    from treadle.flows.cli import show

    def verb() -> BackupResult:
        from treadle.flows.project import backup
        from treadle.infra.settings import find_home

        return backup.run_backup(find_home(), folder)

    return carry_out(context.obj, "backup", verb, show.backup, as_json=as_json)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle restore /mnt/backup/2026-11-25 shop"))
def restore(
    context: typer.Context,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A backup.")],
    into: Annotated[
        Path, typer.Argument(metavar="HOME", help="An empty folder, or one to be made.", show_default="the current one")
    ] = Path(),
    as_json: Json = False,
) -> int:
    """Make a project of a backup, in an empty folder.

    Every file is compared with its hash.
    """
    from treadle.flows.cli import show

    def verb() -> BackupResult:
        from treadle.flows.project import backup

        return backup.run_restore(folder, into)

    return carry_out(context.obj, "restore", verb, show.restore, as_json=as_json)
