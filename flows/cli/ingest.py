"""`treadle ingest` validates new files: its arguments and its output."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import coloured_word, plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out
from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.ingest import BatchResult, IngestResult, LabelBatch, LabelsResult

EXAMPLES = example_lines(
    "treadle ingest",
    "treadle ingest inbox/2024-05.csv",
    "treadle ingest --labels churned-in-may.csv",
    "treadle ingest --corrects may-corrected.csv",
    "treadle ingest --json | jq .quarantined",
)


def ingest_command(
    context: typer.Context,
    *,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Only these files (default: what waits in the config's sources)."),
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="PATH holds late labels (key, target), not rows.")] = False,
    corrects: Annotated[
        bool, typer.Option("--corrects", help="Rows of PATH replace wrong values in labelled rows too.")
    ] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Validate new files into rows, labels or quarantine.

    A file whose content was seen before, under whatever name, does nothing.
    """

    def action() -> IngestResult:
        if labels and not paths:
            raise UsageError("--labels says what PATH holds, and names none", Command("ingest --labels PATH"))
        if corrects and (labels or not paths):
            raise UsageError("--corrects says that PATH holds corrected rows", Command("ingest --corrects PATH"))
        from treadle.flows import ingest

        return ingest.run_ingest(*open_pipeline(pipeline), paths or (), labels=labels, correcting=corrects)

    return carry_out(context.obj, "ingest", action, show_ingest, as_json=as_json, pipeline=pipeline, alerts=True)


def show_ingest(result: IngestResult, screen: Screen) -> None:
    """Print one line per batch, the totals, and what became of refused rows."""
    columns = ("batch", "status", "rows in", "accepted", "quarantined", "duplicates", "labelled")
    rows: list[tuple[str | int, ...]] = [
        (one.label, one.status, one.rows_in, one.accepted, one.quarantined, one.duplicates, one.labelled)
        for one in result.batches
    ]
    if len(rows) > 1:
        labelled = sum(one.labelled for one in result.batches)
        rows.append(("all", "", result.rows_in, result.accepted, result.quarantined, result.duplicates, labelled))
    screen.table(columns, rows)
    _show_labels(result.labels, screen)
    for one in result.batches:
        for refusal in one.refusals:
            screen.line((f"{one.label}: ", "bold"), ("rows refused", "red"), f": {refusal}")
    batches: list[BatchResult | LabelBatch] = [*result.batches, *result.labels.batches]
    for batch in batches:
        if batch.reason:
            screen.line((f"{batch.label}: ", "bold"), coloured_word(batch.status), f": {batch.reason}")
        for warning in batch.warnings:
            screen.line((f"{batch.label}: ", "bold"), ("warning", "yellow"), f": {warning}")
    _show_left_alone(result, screen)
    if not (result.batches or result.labels.batches or result.skipped or result.closed or result.growing):
        screen.line("nothing waits in the source")
    _show_next(result, screen)


def _show_left_alone(result: IngestResult, screen: Screen) -> None:
    """Print what needs no table: joined labels, corrections, and files that were not ingested now."""
    joined = sum(batch.joined for batch in result.batches)
    if joined:
        screen.line(f"{plural(joined, 'row')} found a label that had come before")
    for name in result.corrects:
        screen.line((f"{name}: ", "bold"), "corrects: its rows train in place of earlier ones with the same key")
    for closed in result.closed:
        screen.line(("left alone: ", "red"), closed, "; it is looked at again the next time")
    for growing in result.growing:
        screen.line(("left alone: ", "yellow"), growing, "; it is looked at again the next time")
    for refused in result.refused_before:
        screen.line(("refused before: ", "red"), refused)
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'file')} seen before: nothing to do")


def _show_labels(result: LabelsResult, screen: Screen) -> None:
    """Print what late labels changed, file by file."""
    counts = ("labels_in", "new", "revised", "repeated", "outdated", "orphan", "empty", "quarantined")
    rows = [(one.label, one.status, *(getattr(one, name) for name in counts)) for one in result.batches]
    if len(rows) > 1:
        rows.append(("all", "", *(getattr(result, name) for name in counts)))
    screen.table(("labels", "status", "labels in", *counts[1:]), rows)
    if result.orphan:
        screen.line(f"{plural(result.orphan, 'label')} of rows that have not come yet: kept, and joined when they do")


def _show_next(result: IngestResult, screen: Screen) -> None:
    if result.closed:
        screen.next("give the right to read it, or take it away, then", "ingest")
    elif result.growing:
        screen.next("the rest of it, once it is whole", "ingest")
    elif result.exit_code():
        screen.next("what is in quarantine and why; mended files are ingested again", "quarantine", "list")
    elif result.labels.new or result.labels.revised or any(batch.labelled for batch in result.batches):
        screen.next("a model from the labelled rows", "train")
    elif result.accepted:
        screen.next("predictions for rows without a label", "score")
    else:
        screen.next("what there is to score with", "models")


def show_ingested_first(result: IngestResult | None, screen: Screen) -> None:
    """Print what a command ingested before its own work, and what of it was refused."""
    if result is None or not (result.batches or result.labels.batches):
        return
    rows = f"{plural(result.accepted, 'row')} of {plural(len(result.batches), 'batch')}"
    labels = result.labels
    late = f", {plural(labels.labels_in - labels.quarantined - labels.empty, 'late label')}" if labels.batches else ""
    screen.line(f"ingested first: {rows}{late}")
    batches: list[BatchResult | LabelBatch] = [*result.batches, *result.labels.batches]
    for batch in batches:
        if batch.status != "accepted":
            screen.line((f"{batch.label}: ", "bold"), coloured_word(batch.status), f": {batch.reason}")
