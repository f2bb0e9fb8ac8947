"""`treadle restore` makes a project of a backup: its arguments and its output."""

from __future__ import annotations

from pathlib import Path
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
    "treadle restore /mnt/backup/2026-11-25 shop",
)


def restore_command(
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

    def action() -> BackupResult:
        from treadle.flows.project import backup

        return backup.run_restore(folder, into)

    return carry_out(context.obj, "restore", action, show_restore, as_json=as_json)


def show_restore(result: BackupResult, screen: Screen) -> None:
    """Print where the project is, and from which moment."""
    screen.line(
        f"{plural(result.files, 'file')}, as of {result.made_at:%Y-%m-%d %H:%M} UTC, are in ", (result.home, "bold")
    )
    screen.next("how everything stands, in that folder", "status")
