"""`treadle promote` makes a version the champion, or declines it: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out
from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.flows.champion.promote import PromoteResult
    from treadle.flows.cli.runtime.screen import Screen

EXAMPLES = example_lines(
    "treadle promote 3 --reason 'agreed with the sales team'",
    "treadle promote 3 --decline --reason 'not in December'",
)


def promote_command(
    context: typer.Context,
    *,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version that becomes champion.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why (required); the ledger keeps it.", show_default=False)
    ] = "",
    decline: Annotated[bool, typer.Option("--decline", help="Reject this pending version.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Make a version the champion because you say so.

    Its bundle is verified first; the move stands in the ledger with its reason. Or decline one that waits for you.
    """

    def action() -> PromoteResult:
        if not reason.strip():
            declined = " --decline" if decline else ""
            command = Command(f"promote {version}{declined} --reason 'WHY'")
            raise UsageError("a decision needs a reason, which the ledger keeps", command)
        from treadle.flows.champion import promote

        return promote.run_promote(*open_pipeline(pipeline), version, reason, decline=decline)

    return carry_out(context.obj, "promote", action, show_promote, as_json=as_json, pipeline=pipeline)


def show_promote(result: PromoteResult, screen: Screen) -> None:
    """Print the move and its entry in the ledger; or that the version is declined."""
    if result.declined:
        screen.line(f"version {result.to} of {result.pipeline} is declined (by {result.who}: {result.reason})")
        screen.next("another one", "train", "--again")
        return
    before = f"version {result.from_version}" if result.from_version is not None else "nobody"
    screen.line(
        (f"version {result.to}", "bold green"),
        f" is the champion of {result.pipeline} (before: {before}; move {result.seq} by {result.who}: {result.reason})",
    )
    screen.next("its own predictions for batches that an earlier champion scored", "score", "--rescore")
