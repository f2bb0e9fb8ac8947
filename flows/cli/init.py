"""`treadle init` writes config and suite for a table: its arguments and its output."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.init import InitResult

EXAMPLES = example_lines(
    "treadle init customers.csv --target churn",
    "treadle init sales.parquet --target amount --time sold_at --name sales",
    "treadle init visits.csv --target 'Came Back' --key patient --key day --task binary",
)


def init_command(
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

    def action() -> InitResult:
        from treadle.flows.project import init
        from treadle.infra.settings import here

        return init.run_init(here(), data, target, name=name, time=time, key=tuple(key or ()), task=task)

    return carry_out(context.obj, "init", action, show_init, as_json=as_json)


def show_init(result: InitResult, screen: Screen) -> None:
    """Print what was inferred, and the files to review."""
    screen.line(
        (f"{result.pipeline}: ", "bold"),
        f"{plural(result.rows, 'row')}, {plural(result.columns, 'column')}; {len(result.telling)} of them may tell ",
        (result.target, "bold"),
    )
    positive = f", the probability is that of {result.positive!r}" if result.positive is not None else ""
    group = f" by {result.group}" if result.group else ""
    screen.facts(
        (
            ("task", f"{result.task}{positive}"),
            ("key", ", ".join(result.key) or "none: a row is known by its file and place"),
            ("time", result.time or ("the order of the rows" if result.order else "none")),
            ("split", f"{result.split}{group}"),
            ("categories", ", ".join(result.categories)),
        )
    )
    for dropped in result.drop:
        screen.line(("  not used  ", "dim"), (dropped.column, "bold"), f": {dropped.why}")
    for remark in result.remarks:
        screen.line(("  note  ", "yellow"), remark)
    screen.facts(
        (
            ("config", result.config),
            ("suite", f"{result.suite} ({plural(result.expectations, 'expectation')})"),
            ("new files", f"go to {result.inbox}"),
        )
    )
    screen.next("read the two files, then", "train", "-p", result.pipeline)
