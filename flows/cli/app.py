"""`treadle`: the front page, which lists every command by group, in the order of a person's work.

Because `treadle --help` must be quick, a command's module imports typer at its top and nothing that is slower; its
functions import the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli import (
    alerts,
    backup,
    check,
    demo,
    doctor,
    down,
    ingest,
    init,
    maintain,
    models,
    monitor,
    notify,
    promote,
    quarantine,
    report,
    restore,
    rollback,
    score,
    status,
    train,
    up,
)
from treadle.flows.cli.runtime.help_pages import CommandPage, FrontPage, example_lines

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    cls=FrontPage,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From a table and a column to predict to a running ML system: validated data, a tuned model, "
    "an honest gate, a registered champion, batch inference.",
    epilog=example_lines(
        "treadle demo                               the whole job on real data",
        "treadle init customers.csv --target churn  a pipeline for your own table",
        "treadle train --budget 60                  train, judge, promote if better",
        "treadle score                              predict what has no label",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"treadle {version('treadle')}")
        raise typer.Exit


@app.callback()
def global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Hold the options that need no command."""


def _add(group: str, command: Callable[..., int], examples: str) -> None:
    """Add a command to the front page, after the ones that are there."""
    page = typer.Typer()  # typer lists what one Typer holds as groups first; one for each command keeps this order
    name = command.__name__.removesuffix("_command")
    page.command(name, cls=CommandPage, rich_help_panel=group, epilog=examples)(command)
    app.add_typer(page)


_add("Begin", demo.demo_command, demo.EXAMPLES)
_add("Begin", init.init_command, init.EXAMPLES)
_add("Begin", check.check_command, check.EXAMPLES)

_add("Every day", ingest.ingest_command, ingest.EXAMPLES)
_add("Every day", train.train_command, train.EXAMPLES)
_add("Every day", score.score_command, score.EXAMPLES)
_add("Every day", monitor.monitor_command, monitor.EXAMPLES)
_add("Every day", notify.notify_command, notify.EXAMPLES)

_add("Look and decide", status.status_command, status.EXAMPLES)
_add("Look and decide", models.models_command, models.EXAMPLES)
_add("Look and decide", promote.promote_command, promote.EXAMPLES)
_add("Look and decide", rollback.rollback_command, rollback.EXAMPLES)
_add("Look and decide", report.report_command, report.EXAMPLES)
app.add_typer(quarantine.quarantine_app, name="quarantine", rich_help_panel="Look and decide")

_add("This machine", doctor.doctor_command, doctor.EXAMPLES)
_add("This machine", up.up_command, up.EXAMPLES)
_add("This machine", alerts.alerts_command, alerts.EXAMPLES)
_add("This machine", down.down_command, down.EXAMPLES)
_add("This machine", maintain.maintain_command, maintain.EXAMPLES)
_add("This machine", backup.backup_command, backup.EXAMPLES)
_add("This machine", restore.restore_command, restore.EXAMPLES)
