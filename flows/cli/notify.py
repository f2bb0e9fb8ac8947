"""`treadle notify` tells the server that there is data: its arguments and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.service.notify import NotifyResult

EXAMPLES = example_lines(
    "treadle notify",
    "treadle notify -p customers",
)


def notify_command(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """Tell the server that there is data.

    For upstream systems: what `treadle up` keeps at work takes it in, scores it, and trains where that is due.
    """

    def action() -> NotifyResult:
        from treadle.flows.service import notify

        return notify.run_notify(*open_pipeline(pipeline))

    return carry_out(context.obj, "notify", action, show_notify, as_json=as_json, pipeline=pipeline)


def show_notify(result: NotifyResult, screen: Screen) -> None:
    """Print which run ingests the data, and whether a worker is there to do it."""
    screen.line(f"{result.pipeline}: what waits will be taken in")
    screen.facts((("run", result.page),))
    if not result.worker:
        screen.line(("warning: ", "yellow"), "no worker is at work; the run is kept until one is")
        screen.next("servers and a worker", "up")
