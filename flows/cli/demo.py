"""`treadle demo` runs the whole job on real data: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import format_duration
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.demo import DemoResult

EXAMPLES = example_lines(
    "treadle demo",
    "treadle demo --life",
    "treadle demo --json > summary.json",
)


def demo_command(
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

    def action() -> DemoResult:
        from treadle.flows import demo

        # The commands that the demo runs are part of its output; under --json they must leave stdout alone.
        return demo.run_demo(terminal.err if as_json else terminal.out, terminal.err, with_life=life)

    terminal = context.obj
    return carry_out(terminal, "demo", action, show_demo, as_json=as_json, bar=False)


def show_demo(result: DemoResult, screen: Screen) -> None:
    """Print the steps, what came of them, where to look, and the commands for a table of one's own."""
    screen.line("")
    screen.table(
        ("step", "seconds", ""),
        [
            (
                step.step,
                f"{step.seconds:.1f}",
                f"exit code {step.exit_code}" if step.exit_code else step.skipped or "done",
            )
            for step in result.steps
        ],
        title=f"The demo, {format_duration(result.seconds)}",
    )
    if result.outcome is None:
        screen.hint("mend what the message above names, then: treadle demo")
        return
    screen.table(
        ("file", "rows in", "accepted", "quarantined", "labelled", "scored", "predicted true"),
        [
            (
                month.batch,
                month.rows_in,
                month.accepted,
                month.quarantined,
                month.labelled,
                month.scored or None,
                None if month.predicted is None else f"{month.predicted:.1%}",
            )
            for month in result.outcome.months
        ],
        title="What came of it",
    )
    if result.outcome.champion is not None:
        screen.line((f"champion: version {result.outcome.champion}", "bold green"), f"  {result.outcome.reason}")
    screen.line(("\nWhere to look", "bold"))
    screen.facts(
        (
            ("report", result.report),
            ("MLflow", f"{result.mlflow}"),
            ("", f"then open {result.mlflow_address}"),
            ("Prefect", result.prefect),
            ("predictions", result.tables),
            ("home", result.home),
        )
    )
    screen.line(("\nYour own table, in a folder of yours", "bold"))
    for command in result.own_table:
        screen.line(("  " + command, "bold cyan"))
    screen.hint(f"the three commands above; `treadle down` in {result.program} ends the demo's Prefect server")
