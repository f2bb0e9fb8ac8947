"""`quarantine list`, `show`, `release`, `drop`: what was refused, and what a person makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import Front, Page
from treadle.flows.cli.runtime.options import Json, Pipeline, examples
from treadle.flows.cli.runtime.pipeline_choice import opened
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.project.quarantine import DropResult, ListResult, ReleaseResult, ShowResult

GROUP = "Look and decide"

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its id (or the first digits), or its file's name.")]

desk = typer.Typer(
    cls=Front,
    help="Look at what was refused; release or drop it.",
    epilog=examples(
        "treadle quarantine list",
        "treadle quarantine show 2013-10.parquet",
        "treadle quarantine release 3f9c1a",
        "treadle quarantine drop 3f9c1a --reason 'sent again as 10b'",
    ),
    no_args_is_help=True,
)
commands = typer.Typer()
commands.add_typer(desk, name="quarantine", rich_help_panel=GROUP)


@desk.command("list", cls=Page, epilog=examples("treadle quarantine list", "treadle quarantine list --json"))
def list_(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """List the batches that nobody has settled.

    Each with its file, why it was refused, and what can be done; below them what people decided before.
    """
    from treadle.flows.cli import show as show_

    def verb() -> ListResult:
        from treadle.flows.project import quarantine

        return quarantine.run_list(*opened(pipeline))

    return carry_out(context.obj, "quarantine list", verb, show_.quarantine_list, as_json=as_json, pipeline=pipeline)


@desk.command(
    cls=Page,
    epilog=examples("treadle quarantine show 3f9c1a", "treadle quarantine show october.csv --limit 100"),
)
def show(
    context: typer.Context,
    *,
    batch: Batch,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N rows.")] = 20,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Print refused rows, each with rule, column and value."""
    from treadle.flows.cli import show as show_

    def verb() -> ShowResult:
        from treadle.flows.project import quarantine

        return quarantine.run_show(*opened(pipeline), batch, limit)

    return carry_out(context.obj, "quarantine show", verb, show_.quarantine_show, as_json=as_json, pipeline=pipeline)


@desk.command(
    cls=Page,
    epilog=examples("treadle quarantine release 3f9c1a", "treadle quarantine release 3f9c1a --reason 'a new carrier'"),
)
def release(
    context: typer.Context,
    *,
    batch: Batch,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it stands in the ledger for ever.", show_default=False)
    ] = "",
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Take in the rows that meet today's contract.

    Suite and config may have changed since they were refused. What fails again stays.
    """
    from treadle.flows.cli import show as show_

    def verb() -> ReleaseResult:
        from treadle.flows.project import quarantine

        return quarantine.run_release(*opened(pipeline), batch, reason)

    return carry_out(
        context.obj, "quarantine release", verb, show_.quarantine_release, as_json=as_json, pipeline=pipeline
    )


@desk.command(cls=Page, epilog=examples("treadle quarantine drop 3f9c1a --reason 'sent again as october-2.csv'"))
def drop(
    context: typer.Context,
    *,
    batch: Batch,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the ledger for ever.")],
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Settle a batch for good because you say so.

    Its rows stay in the quarantine table, and are never listed again.
    """
    from treadle.flows.cli import show as show_

    def verb() -> DropResult:
        from treadle.flows.project import quarantine

        return quarantine.run_drop(*opened(pipeline), batch, reason)

    return carry_out(context.obj, "quarantine drop", verb, show_.quarantine_drop, as_json=as_json, pipeline=pipeline)
