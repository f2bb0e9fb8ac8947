"""`treadle`: its front page and its commands, each of which runs one verb of `flows/`.

Only typer is imported here and in `commands/`, because `treadle --help` must be quick; the rest is imported by the
command that uses it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from treadle.flows.cli import ingest, init, promote, restore, up
from treadle.flows.cli.commands import quarantine
from treadle.flows.cli.runtime.help_pages import Front
from treadle.flows.cli.runtime.options import examples

app = typer.Typer(
    cls=Front,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From a table and a column to predict to a running ML system: validated data, a tuned model, "
    "an honest gate, a registered champion, batch inference.",
    epilog=examples(
        "treadle demo                               the whole job on real data",
        "treadle init customers.csv --target churn  a pipeline for your own table",
        "treadle train --budget 60                  train, judge, promote if better",
        "treadle score                              predict what has no label",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"treadle {version('treadle')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Hold the options that need no command."""


for group in (init, ingest, promote, quarantine, up, restore):
    app.add_typer(group.commands)
