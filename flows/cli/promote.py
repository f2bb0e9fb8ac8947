"""To look and decide: `status`, `models`, `promote`, `rollback`, `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.help_pages import Page
from treadle.flows.cli.runtime.options import Json, Pipeline, examples
from treadle.flows.cli.runtime.pipeline_choice import opened
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.champion.history import ModelsResult
    from treadle.flows.champion.promote import PromoteResult
    from treadle.flows.champion.rollback import RollbackResult
    from treadle.flows.project.report import ReportResult
    from treadle.flows.project.status import StatusResult

GROUP = "Look and decide"

commands = typer.Typer()


@commands.command(
    cls=Page, rich_help_panel=GROUP, epilog=examples("treadle status", "treadle status --json | jq '.needs[].command'")
)
def status(context: typer.Context, *, as_json: Json = False) -> int:
    """See how everything stands, and what needs you.

    Servers, the newest and the next runs, champions, quarantine, what waits; at the end what a person must do, each
    with its command. Nothing is started or changed.
    """
    from treadle.flows.cli import show

    def verb() -> StatusResult:
        from treadle.flows.project import status
        from treadle.infra.settings import find_home

        return status.run_status(find_home())

    return carry_out(context.obj, "status", verb, show.status, as_json=as_json)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples("treadle models", "treadle models --at '2026-10-12 09:00'", "treadle models --json | jq .champion"),
)
def models(
    context: typer.Context,
    *,
    at: Annotated[
        str,
        typer.Option(metavar="MOMENT", help="Who was champion then? Local time unless it says.", show_default=False),
    ] = "",
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """List versions, verdicts and champions."""
    from treadle.flows.cli import show

    def verb() -> ModelsResult:
        from treadle.flows.champion import history

        return history.run_models(*opened(pipeline), at)

    return carry_out(context.obj, "models", verb, show.models, as_json=as_json, pipeline=pipeline)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples(
        "treadle promote 3 --reason 'agreed with the sales team'",
        "treadle promote 3 --decline --reason 'not in December'",
    ),
)
def promote(
    context: typer.Context,
    *,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version that becomes champion.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the ledger for ever.")],
    decline: Annotated[bool, typer.Option("--decline", help="It waits for your word, and shall not be.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Make a version the champion because you say so.

    Its bundle is verified first; the move stands in the ledger with its reason. Or decline one that waits for you.
    """
    from treadle.flows.cli import show

    def verb() -> PromoteResult:
        from treadle.flows.champion import promote

        return promote.run_promote(*opened(pipeline), version, reason, decline=decline)

    return carry_out(context.obj, "promote", verb, show.promote, as_json=as_json, pipeline=pipeline)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples("treadle rollback", "treadle rollback --to 2 --reason 'the shop in Lyon complained'"),
)
def rollback(
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
    from treadle.flows.cli import show

    def verb() -> RollbackResult:
        from treadle.flows.champion import rollback

        return rollback.run_rollback(*opened(pipeline), to=to, reason=reason, resume=True)

    code = carry_out(context.obj, "rollback", verb, show.rollback, as_json=as_json, pipeline=pipeline)
    from treadle.flows.champion.rollback import acknowledge

    acknowledge(*opened(pipeline))
    return code


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle report", "treadle report 4f3c --no-open"))
def report(
    context: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, or the first digits of one (default: the newest)."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the path only.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Open a training run's report in the browser."""
    from treadle.flows.cli import show

    def verb() -> ReportResult:
        from treadle.flows.project import report

        return report.run_report(*opened(pipeline), run, open_browser=not no_open and not as_json)

    return carry_out(context.obj, "report", verb, show.report, as_json=as_json, pipeline=pipeline)
