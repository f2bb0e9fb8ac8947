"""`treadle report` opens a training run's report: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import coloured_word
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.report import ReportResult

EXAMPLES = example_lines(
    "treadle report",
    "treadle report 4f3c --no-open",
)


def report_command(
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

    def action() -> ReportResult:
        from treadle.flows.project import report

        return report.run_report(*open_pipeline(pipeline), run, open_browser=not no_open and not as_json)

    return carry_out(context.obj, "report", action, show_report, as_json=as_json, pipeline=pipeline)


def show_report(result: ReportResult, screen: Screen) -> None:
    """Print the report's path, its verdict and its headline."""
    screen.line(coloured_word(result.decision), "  ", (result.headline, "bold"))
    opened = " (opened in the browser)" if result.opened else ""
    screen.facts(
        (
            ("version", str(result.version)),
            ("made", f"{result.created_at:%Y-%m-%d %H:%M}"),
            ("MLflow run", result.run_id),
            ("report", f"{result.path}{opened}"),
        )
    )
    screen.next("all versions and verdicts", "models")
