"""`treadle rollback` restores an earlier champion: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.champion.rollback import RollbackResult
    from treadle.flows.cli.runtime.screen import Screen

EXAMPLES = example_lines(
    "treadle rollback",
    "treadle rollback --to 2 --reason 'the shop in Lyon complained'",
)


def rollback_command(
    context: typer.Context,
    *,
    to: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="An earlier champion (default: the one before).", show_default=False),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it stands in the ledger for ever.", show_default=False)
    ] = "",
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Step back to the champion before this one.

    Its bundle is checked first; where it is damaged the champion stays. The command that undoes it is printed.
    """

    def action() -> RollbackResult:
        from treadle.flows.champion import rollback

        return rollback.run_rollback(*open_pipeline(pipeline), to=to, reason=reason, resume=True)

    code = carry_out(context.obj, "rollback", action, show_rollback, as_json=as_json, pipeline=pipeline)
    from treadle.flows.champion.rollback import acknowledge

    acknowledge(*open_pipeline(pipeline))
    return code


def show_rollback(result: RollbackResult, screen: Screen) -> None:
    """Print the move, what was checked before it, and the command that undoes it."""
    screen.line(
        (f"version {result.to}", "bold green"),
        f" is the champion of {result.pipeline} again (before: version {result.from_version}; move {result.seq} by "
        f"{result.who}: {result.reason})",
    )
    screen.line(f"checked first: every file, the certificate, {result.golden_rows} golden rows; {result.seconds:.1f} s")
    screen.line(("undo: ", "bold"), (result.undo, "bold cyan"))
    screen.next("its own predictions for batches that the other one scored", "score", "--rescore")
