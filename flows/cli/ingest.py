"""Every day: `ingest`, `train`, `score`, `monitor`, `notify`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from treadle.flows.cli.runtime.help_pages import Page
from treadle.flows.cli.runtime.options import Json, Pipeline, examples
from treadle.flows.cli.runtime.pipeline_choice import opened
from treadle.flows.cli.runtime.session import carry_out
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.flows.ingest import IngestResult
    from treadle.flows.monitor import MonitorResult
    from treadle.flows.score import ScoreResult
    from treadle.flows.service.notify import NotifyResult
    from treadle.flows.train import NotDue, TrainResult

GROUP = "Every day"

commands = typer.Typer()


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples(
        "treadle ingest",
        "treadle ingest inbox/2024-05.csv",
        "treadle ingest --labels churned-in-may.csv",
        "treadle ingest --json | jq .quarantined",
    ),
)
def ingest(
    context: typer.Context,
    *,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Only these files (default: what waits in the config's sources)."),
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="PATH holds late labels (key, target), not rows.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Validate new files into rows, labels or quarantine.

    A file whose content was seen before, under whatever name, does nothing.
    """
    from treadle.flows.cli import show

    def verb() -> IngestResult:
        if labels and not paths:
            raise UsageError("--labels says what PATH holds, and names none", "treadle ingest --labels PATH")
        from treadle.flows import ingest

        return ingest.run_ingest(*opened(pipeline), paths or (), labels=labels)

    return carry_out(context.obj, "ingest", verb, show.ingest, as_json=as_json, pipeline=pipeline, alerts=True)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples("treadle train", "treadle train --budget 60 --trials 100", "treadle train --if-due --device cpu"),
)
def train(
    context: typer.Context,
    *,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N trials (default: the config's).", show_default=False),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Time for tuning (default: the config's).", show_default=False),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Where to train (default: the config's).", show_default=False),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew where the same run is finished.")] = False,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only where a rule of [retrain] calls for another model.")
    ] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Say at the end where each second went.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Train, judge on the holdout, promote if better.

    What waits is ingested first. Interrupted or killed, the same command goes on where it stopped.
    """
    from treadle.flows.cli import show

    if timings:
        from treadle.flows.context import timings as clock

        clock.start_timing()

    def verb() -> TrainResult | NotDue:
        from treadle.flows import train

        return train.run_train(
            *opened(pipeline), trials=trials, budget=budget, device=device, again=again, if_due=if_due
        )

    return carry_out(context.obj, "train", verb, show.train, as_json=as_json, pipeline=pipeline, alerts=True)


@commands.command(
    cls=Page,
    rich_help_panel=GROUP,
    epilog=examples(
        "treadle score", "treadle score --rescore", "treadle score --input new.csv --output predictions.csv"
    ),
)
def score(
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
    from treadle.flows.cli import show

    def verb() -> ScoreResult:
        if (input is None) != (output is None):
            raise UsageError("--input and --output belong together", "treadle score --input FILE --output FILE")
        if input is not None and rescore:
            raise UsageError("--rescore is about the tables, --input about one file", "leave one of them out")
        from treadle.flows import score

        return score.run_score(*opened(pipeline), rescore=rescore, input=input, output=output)

    return carry_out(context.obj, "score", verb, show.score, as_json=as_json, pipeline=pipeline, alerts=True)


@commands.command(
    cls=Page, rich_help_panel=GROUP, epilog=examples("treadle monitor", "treadle monitor --json | jq .due,.reason")
)
def monitor(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """See how the champion does, and whether to train again.

    What waits is ingested, predictions are compared with the labels that have come, and new batches with the rows
    that the champion learned from.
    """
    from treadle.flows.cli import show

    def verb() -> MonitorResult:
        from treadle.flows import monitor

        return monitor.run_monitor(*opened(pipeline))

    return carry_out(context.obj, "monitor", verb, show.monitor, as_json=as_json, pipeline=pipeline, alerts=True)


@commands.command(cls=Page, rich_help_panel=GROUP, epilog=examples("treadle notify", "treadle notify -p customers"))
def notify(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """Tell the server that there is data.

    For upstream systems: what `treadle up` keeps at work takes it in, scores it, and trains where that is due.
    """
    from treadle.flows.cli import show

    def verb() -> NotifyResult:
        from treadle.flows.service import notify

        return notify.run_notify(*opened(pipeline))

    return carry_out(context.obj, "notify", verb, show.notify, as_json=as_json, pipeline=pipeline)
