"""`treadle train` trains and judges a model: its arguments and its output."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from treadle.flows.cli.ingest import show_ingested_first
from treadle.flows.cli.runtime.formatting import coloured_word, format_duration, plural
from treadle.flows.cli.runtime.help_pages import example_lines
from treadle.flows.cli.runtime.options import Json, Pipeline
from treadle.flows.cli.runtime.pipeline_choice import open_pipeline
from treadle.flows.cli.runtime.session import carry_out

if TYPE_CHECKING:
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.train import NotDue, TrainResult

EXAMPLES = example_lines(
    "treadle train",
    "treadle train --budget 60 --trials 100",
    "treadle train --if-due --device cpu",
)


def _checked_device(text: str | None) -> str | None:
    """The option's value; refused where it names no device."""
    from treadle.tasks.device import DEVICE_FORM, DEVICES

    if text is not None and DEVICE_FORM.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is none of {DEVICES}")
    return text


def train_command(
    context: typer.Context,
    *,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N trials (default: the config's).", show_default=False),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="SECONDS", help="Seconds for search and fits (default: the config's).", show_default=False
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            callback=_checked_device,
            metavar="auto|cpu|cuda|cuda:N",
            help="Where to train (default: the config's).",
            show_default=False,
        ),
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
    if timings:
        from treadle.flows.context.timings import start_timing

        start_timing()

    def action() -> TrainResult | NotDue:
        from treadle.flows import train

        return train.run_train(
            *open_pipeline(pipeline), trials=trials, budget=budget, device=device, again=again, if_due=if_due
        )

    return carry_out(context.obj, "train", action, show_train, as_json=as_json, pipeline=pipeline, alerts=True)


def show_train(result: TrainResult | NotDue, screen: Screen) -> None:
    """Print the verdict, the scores side by side, and where the report is; or that nothing was due."""
    from treadle.flows.train import NotDue

    if isinstance(result, NotDue):
        screen.line(("not due: ", "bold green"), result.headline)
        for reason in result.reasons:
            screen.line(f"  - {reason}")
        screen.next("how the champion does", "monitor")
        return
    if left_out := result.left_out.sentence():
        screen.line("left out: ", left_out)
    if result.reason:
        screen.line(("it was due: ", "yellow"), result.reason)
    if result.already:
        screen.line("this run is finished already (same data, config and seed); --again makes another")
    screen.line(coloured_word(result.decision), ("  ", ""), (result.headline, "bold"))
    for reason in result.reasons:
        if reason != result.headline:
            screen.line(f"  - {reason}")
    for note in result.notes:
        screen.line(("  note: ", "yellow"), note)
    _show_quality(result, screen)
    screen.facts(
        (
            ("trials", f"{result.trials}" + (f", {result.resumed} from before" if result.resumed else "")),
            ("search", result.why_stopped),
            ("took", format_duration(result.seconds)),
            ("data", result.data_version),
            ("judged on", f"{plural(result.judged_rows, 'row')}, read by {plural(result.holdout_reads, 'run')} so far"),
            ("device", f"{result.device} ({'; '.join((result.device_why, *result.fell_back))})"),
            ("MLflow run", result.run_id),
            ("report", result.report),
        )
    )
    show_ingested_first(result.ingest, screen)
    if result.timings:
        whole = sum(result.timings.values())
        shares = [(part, f"{spent:6.2f}", f"{spent / whole:4.0%}") for part, spent in result.timings.items()]
        screen.table(("where the time went", "seconds", "share"), [*shares, ("in all", f"{whole:6.2f}", "")])
    _show_next(result, screen)


def _show_quality(result: TrainResult, screen: Screen) -> None:
    """The scores side by side, what the threshold means, and how far probabilities are off."""
    from treadle.tasks.base_rate import widest
    from treadle.tasks.baselines import as_good
    from treadle.tasks.gate.words import beside
    from treadle.tasks.metrics import gain
    from treadle.tasks.reliability import farthest

    champion = f"champion (version {result.against})" if result.against is not None else "champion: none yet"
    scores: list[tuple[str, float | None]] = [(f"challenger (version {result.version})", result.value)]
    scores.append((champion, result.champion_value if result.against is not None else None))
    scores += [("linear model", result.linear_value), ("dummy", result.dummy_value)]
    texts = beside([math.nan if value is None else value for _, value in scores])
    shown_scores = [(name, None if value is None else text) for (name, value), text in zip(scores, texts, strict=True)]
    screen.table((f"on the holdout of {result.pipeline}", result.metric), shown_scores)
    shown = (result.value, result.linear_value, result.dummy_value)
    ours, linear, dummy = (math.nan if value is None else value for value in shown)
    if as_good(result.metric, ours, linear, dummy):
        comparison = "better" if gain(result.metric, linear, ours) > 0 else "as good"
        screen.line((f"a linear model is {comparison} here: ", "yellow"), "it may be all that these columns hold")
    if result.flag is not None:
        screen.line(result.flag.sentence())
    for said in (farthest(result.reliability), widest(result.base_rates)):
        if said is not None:
            screen.line(("  probabilities: ", "dim"), said.sentences()[0])


def _show_next(result: TrainResult, screen: Screen) -> None:
    if result.promoted:
        screen.next("predictions for rows without a label", "score")
    elif result.unsettled:
        screen.line((f"version {result.version} waits: ", "bold yellow"), "look at the report, then decide")
        screen.next("a person promotes it", "promote", str(result.version), "--reason", "'...'")
    elif result.decision == "NOT_COMPARABLE":
        screen.next("more labelled rows settle it; put files into the source, then", "train")
    elif result.waits:
        screen.line((f"version {result.version} waits: ", "bold yellow"), "[gate].promote is manual")
        screen.next("a person confirms", "promote", str(result.version), "--reason", "'...'")
    elif result.decision == "PROMOTE":
        screen.line(
            (f"version {result.version} is not promoted: ", "bold yellow"), "another model became champion since"
        )
        screen.next("a challenger that is judged against today's champion", "train", "--again")
    else:
        screen.next("why", "report", result.run_id[:8])
