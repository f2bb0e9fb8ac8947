"""`treadle backup` copies the project to a folder: its arguments and its output."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.backup import BackupResult

EXAMPLES = example_lines(
    "treadle backup /mnt/backup/2026-11-25",
)


def backup_command(
    context: typer.Context,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one to be made.")],
    as_json: Json = False,
) -> int:
    """Back up the project to a folder while everything goes on.

    Every file is kept with its hash, which restore compares.
    """

    def action() -> BackupResult:
        from treadle.flows.project import backup
        from treadle.infra.settings import find_home

        return backup.run_backup(find_home(), folder)

    return carry_out(context.obj, "backup", action, show_backup, as_json=as_json)


def show_backup(result: BackupResult, screen: Screen) -> None:
    """Print how much was copied where, and what was left out."""
    screen.line(f"{plural(result.files, 'file')}, {result.bytes / 1e6:,.1f} MB, are in ", (result.folder, "bold"))
    for name in result.left_out:
        screen.line("left out, for it was still being written: ", (name, "bold"))
    screen.next("put it back, into an empty folder", f"restore {result.folder} HOME")
