"""`treadle score` predicts with the champion: its arguments and its output."""

from __future__ import annotations

import csv
import re
import shutil
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
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
    from treadle.flows.cli.runtime.terminal import Terminal
    from treadle.flows.score import ScoreResult

MOST_ROWS = 50
"""Predictions that a terminal shows at most."""

NUMBERS = ("prediction", "probability", "lower", "upper")
LARGE = 1e4
DECIMAL = re.compile(r"-?\d+\.\d+(e-?\d+)?")

EXAMPLES = example_lines(
    "treadle score",
    "treadle score --rescore",
    "treadle score --input new.csv  a table; as CSV into a pipe or file",
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
        typer.Option(
            metavar="FILE", help="Predict the rows of this file only; no table is changed.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write its predictions here, .csv, .tsv or .parquet; else print.", show_default=False
        ),
    ] = None,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Predict with the champion.

    New files are ingested, then rows without a label are scored; or with --input, the rows of one file.
    """
    terminal: Terminal = context.obj
    printed = input is not None and output is None

    def action() -> ScoreResult:
        if output is not None and input is None:
            raise UsageError("--output needs --input", Command("score --input FILE --output FILE"))
        if input is not None and rescore:
            raise UsageError("--rescore is about the tables, --input about one file", "leave one of them out")
        if printed and as_json:
            raise UsageError("--json prints no predictions", "name a file for them: --output FILE")
        from treadle.flows import score

        written = predictions if printed else output
        return score.run_score(*open_pipeline(pipeline), rescore=rescore, input=input, output=written)

    def show(result: ScoreResult, screen: Screen) -> None:
        if printed:
            print_predictions(predictions, result, screen, terminal)
        else:
            show_score(result, screen)

    with TemporaryDirectory(prefix="treadle-") if printed else nullcontext("") as folder:
        predictions = Path(folder) / "predictions.csv"
        return carry_out(terminal, "score", action, show, as_json=as_json, pipeline=pipeline, alerts=True)


def print_predictions(predictions: Path, result: ScoreResult, screen: Screen, terminal: Terminal) -> None:
    """Print the CSV file `predictions`: on a terminal its first rows as a table, else as it is.

    What `result` says of them goes to stderr where stdout is not a terminal.
    """
    from treadle.flows.cli.runtime import screen as screen_

    if not terminal.out.isatty():
        with predictions.open(encoding="utf-8", newline="") as lines:
            shutil.copyfileobj(lines, terminal.out)
        _summarise(result, screen_.Screen(terminal.err))
        return
    with predictions.open(encoding="utf-8", newline="") as lines:
        headings, *rows = islice(csv.reader(lines), MOST_ROWS + 1)
    screen.table(headings, [[_shortened(*cell) for cell in zip(headings, row, strict=True)] for row in rows])
    _summarise(result, screen)
    if result.rows > MOST_ROWS:
        screen.hint(f"these are the first {MOST_ROWS} rows; --output predictions.csv writes all")


def _shortened(column: str, cell: str) -> str:
    """A predicted number with six digits, or with two places where it is large; other cells as they are."""
    if (column not in NUMBERS and not column.startswith("probability_")) or not DECIMAL.fullmatch(cell):
        return cell
    number = float(cell)
    return f"{number:.6g}" if abs(number) < LARGE else f"{number:.2f}"


def _summarise(result: ScoreResult, screen: Screen) -> None:
    """Print how many rows were scored by which version, and what to know about them."""
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


def show_score(result: ScoreResult, screen: Screen) -> None:
    """Print what was scored, by which version, and where the predictions are."""
    show_ingested_first(result.ingest, screen)
    screen.table(("batch", "rows scored"), [(one.label, one.rows) for one in result.batches])
    _summarise(result, screen)
    if result.ingest is None:
        screen.facts((("predictions", result.output or ""),))
        screen.next("the versions and their verdicts", "models")
        return
    screen.facts((("table", f"data/{result.pipeline}/predictions"), ("files", result.output or "")))
    if result.rows:
        screen.next("when labels have come, what the predictions were worth", "monitor")
    else:
        screen.next("nothing waits; after the next file", "score")
