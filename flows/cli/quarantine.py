"""`treadle quarantine` lists, shows, releases and drops refused batches: arguments and output of its sub-commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.runtime.formatting import plural
from treadle.flows.cli.runtime.help_pages import CommandPage, FrontPage, example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.project.quarantine import DropResult, ListResult, ReleaseResult, ShowResult

SCOPE_WORDS = {"row": "some rows", "batch": "the whole batch", "file": "cannot be read"}
LONGEST_VALUE = 60

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its id (or the first digits), or its file's name.")]

quarantine_app = typer.Typer(
    cls=FrontPage,
    help="Look at what was refused; release or drop it.",
    epilog=example_lines(
        "treadle quarantine list",
        "treadle quarantine show 2013-10.parquet",
        "treadle quarantine release 3f9c1a",
        "treadle quarantine drop 3f9c1a --reason 'sent again as 10b'",
    ),
    no_args_is_help=True,
)


@quarantine_app.command(
    "list", cls=CommandPage, epilog=example_lines("treadle quarantine list", "treadle quarantine list --json")
)
def quarantine_list_command(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """List the batches that nobody has settled.

    Each with its file, why it was refused, and what can be done; below them what people decided before.
    """

    def action() -> ListResult:
        from treadle.flows.project import quarantine

        return quarantine.run_list(*open_pipeline(pipeline))

    return carry_out(context.obj, "quarantine list", action, show_quarantine_list, as_json=as_json, pipeline=pipeline)


@quarantine_app.command(
    "show",
    cls=CommandPage,
    epilog=example_lines("treadle quarantine show 3f9c1a", "treadle quarantine show october.csv --limit 100"),
)
def quarantine_show_command(
    context: typer.Context,
    *,
    batch: Batch,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N rows.")] = 20,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Print refused rows, each with rule, column and value."""

    def action() -> ShowResult:
        from treadle.flows.project import quarantine

        return quarantine.run_show(*open_pipeline(pipeline), batch, limit)

    return carry_out(context.obj, "quarantine show", action, show_quarantine_show, as_json=as_json, pipeline=pipeline)


@quarantine_app.command(
    "release",
    cls=CommandPage,
    epilog=example_lines(
        "treadle quarantine release 3f9c1a", "treadle quarantine release 3f9c1a --reason 'a new carrier'"
    ),
)
def quarantine_release_command(
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

    def action() -> ReleaseResult:
        from treadle.flows.project import quarantine

        return quarantine.run_release(*open_pipeline(pipeline), batch, reason)

    return carry_out(
        context.obj, "quarantine release", action, show_quarantine_release, as_json=as_json, pipeline=pipeline
    )


@quarantine_app.command(
    "drop",
    cls=CommandPage,
    epilog=example_lines("treadle quarantine drop 3f9c1a --reason 'sent again as october-2.csv'"),
)
def quarantine_drop_command(
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

    def action() -> DropResult:
        from treadle.flows.project import quarantine

        return quarantine.run_drop(*open_pipeline(pipeline), batch, reason)

    return carry_out(context.obj, "quarantine drop", action, show_quarantine_drop, as_json=as_json, pipeline=pipeline)


def show_quarantine_list(result: ListResult, screen: Screen) -> None:
    """Print every open batch with its reasons and what to do, then the last decisions."""
    screen.table(
        ("batch", "file", "", "rows", "when"),
        [
            (
                one.batch_id,
                one.file,
                f"{SCOPE_WORDS[one.scope]}{' of labels' if one.kind == 'labels' else ''}",
                one.rows if one.scope != "file" else None,
                f"{one.at:%Y-%m-%d %H:%M}",
            )
            for one in result.batches
        ],
        title=f"Quarantine of {result.pipeline}",
    )
    for one in result.batches:
        screen.line((f"{one.batch_id}", "bold"), f"  {one.file}")
        if one.reason:
            screen.line(f"  {one.reason}")
        for rule in one.rules:
            example = "" if rule.example is None else f", for example {_short(rule.example)!r}"
            required = f"must be {rule.words}" if rule.words else f"breaks {rule.rule.removeprefix('expect_')}"
            screen.line(f"  {plural(rule.rows, 'row')}: {rule.columns} {required}{example}")
        if one.again:
            screen.line(f"  {plural(one.again, 'row')} of it came again later (same key)")
        screen.line(("  fix: ", "bold"), one.advice)
    if result.decisions:
        screen.table(
            ("when", "batch", "decision", "rows", "left", "who", "reason"),
            [
                (f"{one.at:%Y-%m-%d %H:%M}", one.batch_id, one.action, one.rows, one.left, one.who, one.reason)
                for one in result.decisions
            ],
            title="Decisions",
        )
    if result.batches:
        screen.next("the rows of a batch", "quarantine", "show", result.batches[0].batch_id)
    else:
        screen.line("nothing in quarantine waits for a decision")
        screen.next("new files", "ingest")


def show_quarantine_show(result: ShowResult, screen: Screen) -> None:
    """Print one line for every rule that a row broke."""
    lines: list[tuple[str | int | None, ...]] = []
    for row in result.rows if result.scope != "file" else ():
        number = row.ordinal + 1 if row.ordinal is not None else None
        if not row.rules:
            lines.append((number, "none of its own", "-", None, "-"))
        for nth, (rule, columns, value, words) in enumerate(
            zip(row.rules, row.columns, row.values, row.words, strict=True)
        ):
            shown = "missing" if value is None or not value.strip() else _short(value)
            lines.append(
                (number if nth == 0 else "", rule.removeprefix("expect_"), columns, shown, _short(words or row.reason))
            )
    screen.table(("row", "rule", "column", "value", "must be"), lines, title=f"{result.file} ({result.batch_id})")
    if result.reason:
        screen.line(result.reason)
    if result.total > len(result.rows):
        screen.line(f"the first {len(result.rows):,} of {plural(result.total, 'row')}; more with --limit N")
    if result.settled:
        screen.line(result.settled)
        screen.next("what is open", "quarantine", "list")
        return
    screen.hint(result.advice)


def show_quarantine_release(result: ReleaseResult, screen: Screen) -> None:
    """Print how many rows were released, and how many stay."""
    noun = "label" if result.kind == "labels" else "row"
    screen.line(
        (f"{plural(result.released, noun)} of {result.file} released", "bold green" if result.released else "bold"),
        f", {result.left:,} stay in quarantine ({result.who}: {result.reason})",
    )
    if result.refused:
        screen.line(("refused again: ", "bold red"), result.refused)
    if result.left:
        screen.next("why the others stay", "quarantine", "show", result.batch_id)
    elif result.kind == "labels":
        screen.next("a model from the labelled rows", "train")
    else:
        screen.next("predictions for rows without a label", "score")


def show_quarantine_drop(result: DropResult, screen: Screen) -> None:
    """Print how many rows were dropped."""
    screen.line(
        (f"{result.file} is settled", "bold"),
        f": {plural(result.dropped, 'row')} given up ({result.who}: {result.reason})",
    )
    screen.next("what is still open", "quarantine", "list")


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "..."
