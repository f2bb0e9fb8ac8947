"""`treadle report` opens a training run's report, or one of two versions side by side: arguments and output."""

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
    from treadle.flows.project.compare import CompareResult
    from treadle.flows.project.report import ReportResult

EXAMPLES = example_lines(
    "treadle report",
    "treadle report 4f3c --no-open",
    "treadle report 7 6",
)


def report_command(
    context: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, or the first digits of one (default: the newest)."),
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="A second version or run: both are compared side by side."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the path only.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Open a training run's report in the browser, or compare two versions."""
    browse = not no_open and not as_json

    def action() -> ReportResult:
        from treadle.flows.project import report

        return report.run_report(*open_pipeline(pipeline), run, open_browser=browse)

    def compare() -> CompareResult:
        from treadle.flows.project.compare import run_compare

        return run_compare(*open_pipeline(pipeline), run or "", other or "", open_browser=browse)

    if other is not None:
        return carry_out(context.obj, "report", compare, show_comparison, as_json=as_json, pipeline=pipeline)
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


COLUMNS, ROWS = 10, 5


def show_comparison(result: CompareResult, screen: Screen) -> None:
    """Print which version is better, then scores, columns, settings that differ and rows of disagreement."""
    from treadle.tasks.gate.words import differences, pair

    first, second = f"version {result.first}", f"version {result.second}"
    screen.line((result.sentence, "bold"))
    if result.alike is not None:
        screen.line(f"they predict the same class for {result.alike:.1%} of the rows")
    for why in result.left_out:
        screen.line((why, "dim"))
    scores = []
    for one in result.scores:
        _, lower, upper = differences(one.gain, one.lower, one.upper)
        scores.append((one.metric, *pair(one.first, one.second, one.gain), f"{lower} to {upper}"))
    screen.table(("metric", first, second, "gain", "95% interval"), scores, "scores")
    columns = [(one.column, _share(one.first), _share(one.second)) for one in result.columns[:COLUMNS]]
    screen.table(("column", first, second), columns, "share of importance")
    settings = [(one.name, one.first or None, one.second or None) for one in result.settings]
    screen.table(("setting", first, second), settings, "settings that differ")
    rows = [(one.row, one.label, one.first, one.second) for one in result.disagreements[:ROWS]]
    screen.table(("row", "label", first, second), rows, "where they disagree most")
    opened = " (opened in the browser)" if result.opened else ""
    screen.facts((("page", f"{result.path}{opened}"),))
    screen.next("all versions and verdicts", "models")


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
