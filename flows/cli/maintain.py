"""`treadle maintain` removes what is not referred to any more: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.maintain import FreedPart, MaintainResult

EXAMPLES = example_lines(
    "treadle maintain --dry-run",
    "treadle maintain -p customers",
)


def maintain_command(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and take nothing.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Take away what nobody refers to any more.

    Old runs, models that never were champion, replaced files of tables: the config's [retention] says what is old.
    """

    def action() -> MaintainResult:
        from treadle.flows import maintain

        return maintain.run_maintain(*open_pipeline(pipeline), dry_run=dry_run)

    return carry_out(context.obj, "maintain", action, show_maintain, as_json=as_json, pipeline=pipeline)


def show_maintain(result: MaintainResult, screen: Screen) -> None:
    """Print what was or would be removed, and what stays, each with its reason."""
    for title, parts in (("would go" if result.dry_run else "gone", result.cleared), ("stays", result.kept)):
        screen.table((title, "how many", "MB", "why"), [_row(one) for one in parts])
    if not result.cleared:
        screen.line(f"{result.pipeline} has nothing to clear up")
        screen.hint("how everything stands: treadle status")
    elif result.dry_run:
        screen.line((f"{result.bytes / 1e6:,.2f} MB", "bold"), " of files would be free")
        screen.next("do it", "maintain")
    else:
        screen.line((f"{result.bytes / 1e6:,.2f} MB", "bold"), " of files are free; databases use their room again")
        screen.hint("how everything stands: treadle status")


def _row(part: FreedPart) -> tuple[str, int, str, str]:
    return part.what, part.count, f"{part.bytes / 1e6:,.2f}" if part.bytes else "", part.why
