"""`treadle score` predicts with the champion: its arguments and its output."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.ingest import show_ingested_first
from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out
from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.score import ScoreResult

EXAMPLES = example_lines(
    "treadle score",
    "treadle score --rescore",
    "treadle score --input new.csv --output predictions.csv",
)


def score_command(
    context: typer.Context,
    *,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Also batches that an earlier champion has scored.")
    ] = False,
    input: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer for this file alone; no table is touched.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the answer goes: .csv, .tsv or .parquet.", show_default=False),
    ] = None,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Predict with the champion.

    What waits is ingested, then rows without a label are scored; or one file is answered by another.
    """

    def action() -> ScoreResult:
        if (input is None) != (output is None):
            raise UsageError("--input and --output belong together", Command("score --input FILE --output FILE"))
        if input is not None and rescore:
            raise UsageError("--rescore is about the tables, --input about one file", "leave one of them out")
        from treadle.flows import score

        return score.run_score(*open_pipeline(pipeline), rescore=rescore, input=input, output=output)

    return carry_out(context.obj, "score", action, show_score, as_json=as_json, pipeline=pipeline, alerts=True)


def show_score(result: ScoreResult, screen: Screen) -> None:
    """Print what was scored, by which version, and where the predictions are."""
    show_ingested_first(result.ingest, screen)
    screen.table(("batch", "rows scored"), [(one.label, one.rows) for one in result.batches])
    screen.line(
        (f"{plural(result.rows, 'row')}", "bold"),
        f" scored by version {result.version} ({result.digest[:12]})",
    )
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'batch')} scored before: nothing to do")
    unseen = ", ".join(f"{one.column} {one.unseen:,}" for one in result.unseen if one.unseen)
    screen.facts((("rows with unseen levels", unseen),))
    for warning in result.warnings:
        screen.line(("warning: ", "yellow"), warning)
    if result.ingest is None:
        screen.facts((("predictions", result.output or ""),))
        screen.next("the versions and their verdicts", "models")
        return
    screen.facts((("table", f"data/{result.pipeline}/predictions"), ("files", result.output or "")))
    if result.rows:
        screen.next("when labels have come, what the predictions were worth", "monitor")
    else:
        screen.next("nothing waits; after the next file", "score")
