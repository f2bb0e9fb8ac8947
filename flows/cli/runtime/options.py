"""The options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from treadle.flows.cli.runtime.pipeline_choice import complete_pipeline

Pipeline = Annotated[
    str,
    typer.Option(
        "--pipeline",
        "-p",
        metavar="NAME",
        help="Which pipeline, where the home has several.",
        show_default=False,
        autocompletion=complete_pipeline,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/json.md) instead of tables.")]
