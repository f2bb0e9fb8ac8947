"""The commands of `treadle`: their arguments, options, help and examples; each runs one verb of `flows/`.

Only typer is imported here, because `treadle --help` must be quick; the rest is imported by the command that
uses it.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.options import Json, Pipeline, examples
from flows.cli.pages import Front, Page
from flows.cli.place import opened
from flows.cli.session import carry_out
from tasks.errors import UsageError

if TYPE_CHECKING:
    from flows.check import CheckResult
    from flows.demo import DemoResult
    from flows.doctor import DoctorResult
    from flows.down import DownResult
    from flows.ingest import IngestResult
    from flows.init import InitResult
    from flows.models import ModelsResult
    from flows.promote import PromoteResult
    from flows.report import ReportResult
    from flows.score import ScoreResult
    from flows.train import TrainResult

START, WORK, LOOK, MACHINE = "Begin", "Every day", "Look and decide", "This machine"


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


@app.command(cls=Page, rich_help_panel=START, epilog=examples("treadle demo", "treadle demo --json > summary.json"))
def demo(context: typer.Context, *, as_json: Json = False) -> int:
    """See the whole job on real data, in a home of its own.

    It runs the public commands in .treadle/demo beside the program; a second run skips what is done.
    """
    from flows.cli import show

    def verb() -> DemoResult:
        from flows import demo

        # The commands that the demo runs are part of its output; under --json they must leave stdout alone.
        return demo.run(terminal.err if as_json else terminal.out, terminal.err)

    terminal = context.obj
    return carry_out(terminal, "demo", verb, show.demo, as_json=as_json)


@app.command(
    cls=Page,
    rich_help_panel=START,
    epilog=examples(
        "treadle init customers.csv --target churn",
        "treadle init sales.parquet --target amount --time sold_at --name sales",
        "treadle init visits.csv --target 'Came Back' --key patient --key day --task binary",
    ),
)
def init(
    context: typer.Context,
    *,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A CSV or Parquet file, a folder, or a glob.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="The pipeline's name (default: the file's).", show_default=False),
    ] = "",
    time: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="When a row happened; the newest are held out.", show_default=False),
    ] = "",
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="What identifies a row; repeat it for several columns."),
    ] = None,
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        typer.Option(help="The kind of prediction (default: what the target looks like).", show_default=False),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write config and starter suite for a table.

    Every line says what was inferred and why. Outside any home the current folder becomes one.
    """
    from flows.cli import show

    def verb() -> InitResult:
        from flows import init
        from infra.settings import here

        return init.run(here(), data, target, name=name, time=time, key=tuple(key or ()), task=task)

    return carry_out(context.obj, "init", verb, show.init, as_json=as_json)


@app.command(cls=Page, rich_help_panel=START, epilog=examples("treadle check", "treadle check -p customers --json"))
def check(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """Say whether config, suite and data fit together."""
    from flows.cli import show

    def verb() -> CheckResult:
        from flows import check

        return check.run(*opened(pipeline))

    return carry_out(context.obj, "check", verb, show.check, as_json=as_json, pipeline=pipeline)


@app.command(
    cls=Page,
    rich_help_panel=WORK,
    epilog=examples("treadle ingest", "treadle ingest inbox/2024-05.csv", "treadle ingest --json | jq .quarantined"),
)
def ingest(
    context: typer.Context,
    *,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Only these files (default: what waits in the config's source)."),
    ] = None,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Validate new files into rows or quarantine.

    A file whose content was seen before, under whatever name, does nothing.
    """
    from flows.cli import show

    def verb() -> IngestResult:
        from flows import ingest

        return ingest.run(*opened(pipeline), paths or ())

    return carry_out(context.obj, "ingest", verb, show.ingest, as_json=as_json, pipeline=pipeline)


@app.command(
    cls=Page,
    rich_help_panel=WORK,
    epilog=examples("treadle train", "treadle train --budget 60 --trials 100", "treadle train --again --device cpu"),
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
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Train, judge on the holdout, promote if better.

    What waits is ingested first. Interrupted or killed, the same command goes on where it stopped.
    """
    from flows.cli import show

    def verb() -> TrainResult:
        from flows import train

        return train.run(*opened(pipeline), trials=trials, budget=budget, device=device, again=again)

    return carry_out(context.obj, "train", verb, show.train, as_json=as_json, pipeline=pipeline)


@app.command(
    cls=Page,
    rich_help_panel=WORK,
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
    from flows.cli import show

    def verb() -> ScoreResult:
        if (input is None) != (output is None):
            raise UsageError("--input and --output belong together", "treadle score --input FILE --output FILE")
        if input is not None and rescore:
            raise UsageError("--rescore is about the tables, --input about one file", "leave one of them out")
        from flows import score

        return score.run(*opened(pipeline), rescore=rescore, input=input, output=output)

    return carry_out(context.obj, "score", verb, show.score, as_json=as_json, pipeline=pipeline)


@app.command(cls=Page, rich_help_panel=LOOK, epilog=examples("treadle models", "treadle models --json | jq .champion"))
def models(context: typer.Context, *, pipeline: Pipeline = "", as_json: Json = False) -> int:
    """List versions, verdicts and champions."""
    from flows.cli import show

    def verb() -> ModelsResult:
        from flows import models

        return models.run(*opened(pipeline))

    return carry_out(context.obj, "models", verb, show.models, as_json=as_json, pipeline=pipeline)


@app.command(cls=Page, rich_help_panel=LOOK, epilog=examples("treadle promote 3 --reason 'agreed with the sales team'"))
def promote(
    context: typer.Context,
    *,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version that becomes champion.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the ledger for ever.")],
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Make a version the champion because you say so.

    Its bundle is verified first; the move stands in the ledger with its reason.
    """
    from flows.cli import show

    def verb() -> PromoteResult:
        from flows import promote

        return promote.run(*opened(pipeline), version, reason)

    return carry_out(context.obj, "promote", verb, show.promote, as_json=as_json, pipeline=pipeline)


@app.command(cls=Page, rich_help_panel=LOOK, epilog=examples("treadle report", "treadle report 4f3c --no-open"))
def report(
    context: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, or the first digits of one (default: the newest)."),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the path only.")] = False,
    pipeline: Pipeline = "",
    as_json: Json = False,
) -> int:
    """Open a training run's report in the browser."""
    from flows.cli import show

    def verb() -> ReportResult:
        from flows import report

        return report.run(*opened(pipeline), run, open_browser=not no_open and not as_json)

    return carry_out(context.obj, "report", verb, show.report, as_json=as_json, pipeline=pipeline)


@app.command(cls=Page, rich_help_panel=MACHINE, epilog=examples("treadle doctor", "treadle doctor --json"))
def doctor(context: typer.Context, *, as_json: Json = False) -> int:
    """Check this machine and this home, and say how to mend them."""
    from flows.cli import show

    def verb() -> DoctorResult:
        from flows import doctor
        from infra.settings import here

        return doctor.run(here())

    return carry_out(context.obj, "doctor", verb, show.doctor, as_json=as_json)


@app.command(cls=Page, rich_help_panel=MACHINE, epilog=examples("treadle down"))
def down(context: typer.Context, *, as_json: Json = False) -> int:
    """End the Prefect servers that this home started.

    Those of homes under its .treadle/ end too. The next command starts what it needs.
    """
    from flows.cli import show

    def verb() -> DownResult:
        from flows import down
        from infra.settings import here

        return down.run(here())

    return carry_out(context.obj, "down", verb, show.down, as_json=as_json)
