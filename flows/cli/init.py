"""Beginning: `demo`, `init`, `check`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from treadle.flows.cli.runtime.help_pages import Page
from treadle.flows.cli.runtime.options import Json, Pipeline, examples
from treadle.flows.cli.runtime.pipeline_choice import opened
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.demo import DemoResult
    from treadle.flows.project.check import CheckResult
    from treadle.flows.project.init import InitResult

GROUP = "Begin"

commands = typer.Typer()


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples("treadle demo", "treadle demo --life", "treadle demo --json > summary.json"),
)
def demo(
    context: typer.Context,
    *,
    life: Annotated[
        bool,
        typer.Option("--life", help="Go on with bad files, late labels, a challenger and a step back."),
    ] = False,
    as_json: Json = False,
) -> int:
    """See the whole job on real data, in a home of its own.

    It runs the public commands in .treadle/demo beside the program; a second run skips what is done.
    """
    from treadle.flows.cli import show

    def verb() -> DemoResult:
        from treadle.flows import demo

        # The commands that the demo runs are part of its output; under --json they must leave stdout alone.
        return demo.run_demo(terminal.err if as_json else terminal.out, terminal.err, with_life=life)

    terminal = context.obj
    return carry_out(terminal, "demo", verb, show.demo, as_json=as_json, bar=False)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples(
        "treadle init customers.csv --target churn",
        "treadle init sales.parquet --target amount --time sold_at --name sales",
        "treadle init visits.csv --target 'Came Back' --key patient --key day --task binary",
    ),
)
def init(
    context: typer.Context,
    *,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A CSV or Parquet file, a folder, or a glob.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="The pipeline's name (default: the file's).", show_default=False),
    ] = "",
    time: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="When a row happened; the newest are held out.", show_default=False),
    ] = "",
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="What identifies a row; repeat it for several columns."),
    ] = None,
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        typer.Option(help="The kind of prediction (default: what the target looks like).", show_default=False),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write config and starter suite for a table.

    Every line says what was inferred and why. Outside any home the current folder becomes one.
    """
    from treadle.flows.cli import show

    def verb() -> InitResult:
        from treadle.flows.project import init
        from treadle.infra.settings import here

        return init.run_init(here(), data, target, name=name, time=time, key=tuple(key or ()), task=task)

    return carry_out(context.obj, "init", verb, show.init, as_json=as_json)


@commands.command(
    cls=Page, rich_help_panel=GROUP, epilog=examples("treadle check", "treadle check -p customers --json")
)
def check(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """Say whether config, suite and data fit together."""
    from treadle.flows.cli import show

    def verb() -> CheckResult:
        from treadle.flows.project import check

        return check.run_check(*opened(pipeline))

    return carry_out(context.obj, "check", verb, show.check, as_json=as_json, pipeline=pipeline)
