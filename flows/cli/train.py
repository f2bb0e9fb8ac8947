"""Data, training and predictions: `ingest`, `train`, `score`, `notify`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, duration, judged, plural
from treadle.tasks.baselines import as_good
from treadle.tasks.metrics import gain

if TYPE_CHECKING:
    from treadle.flows.ingest import BatchResult, IngestResult, LabelBatch, LabelsResult
    from treadle.flows.score import ScoreResult
    from treadle.flows.service.notify import NotifyResult
    from treadle.flows.train import NotDue, TrainResult


def ingest(result: IngestResult, screen: Screen) -> None:
    """One line per batch, the totals, and what became of refused rows."""
    columns = ("batch", "status", "rows in", "accepted", "quarantined", "duplicates", "labelled")
    rows: list[tuple[str | int, ...]] = [
        (one.label, one.status, one.rows_in, one.accepted, one.quarantined, one.duplicates, one.labelled)
        for one in result.batches
    ]
    if len(rows) > 1:
        labelled = sum(one.labelled for one in result.batches)
        rows.append(("all", "", result.rows_in, result.accepted, result.quarantined, result.duplicates, labelled))
    screen.table(columns, rows)
    _labels(result.labels, screen)
    for one in result.batches:
        for told in one.refusals:
            screen.line((f"{one.label}: ", "bold"), ("rows refused", "red"), f": {told}")
    batches: list[BatchResult | LabelBatch] = [*result.batches, *result.labels.batches]
    for batch in batches:
        if batch.reason:
            screen.line((f"{batch.label}: ", "bold"), judged(batch.status), f": {batch.reason}")
        for warning in batch.warnings:
            screen.line((f"{batch.label}: ", "bold"), ("warning", "yellow"), f": {warning}")
    joined = sum(batch.joined for batch in result.batches)
    if joined:
        screen.line(f"{plural(joined, 'row')} found a label that had come before")
    for closed in result.closed:
        screen.line(("left alone: ", "red"), closed, "; it is looked at again the next time")
    for growing in result.growing:
        screen.line(("left alone: ", "yellow"), growing, "; it is looked at again the next time")
    for refused in result.refused_before:
        screen.line(("refused before: ", "red"), refused)
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'file')} seen before: nothing to do")
    if not (result.batches or result.labels.batches or result.skipped or result.closed or result.growing):
        screen.line("nothing waits in the source")
    _after_ingest(result, screen)


def _labels(result: LabelsResult, screen: Screen) -> None:
    """What late labels changed, file by file."""
    counts = ("labels_in", "new", "revised", "repeated", "outdated", "orphan", "empty", "quarantined")
    rows = [(one.label, one.status, *(getattr(one, name) for name in counts)) for one in result.batches]
    if len(rows) > 1:
        rows.append(("all", "", *(getattr(result, name) for name in counts)))
    screen.table(("labels", "status", "labels in", *counts[1:]), rows)
    if result.orphan:
        screen.line(f"{plural(result.orphan, 'label')} of rows that have not come yet: kept, and joined when they do")


def _after_ingest(result: IngestResult, screen: Screen) -> None:
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


def train(result: TrainResult | NotDue, screen: Screen) -> None:
    """The verdict in words, the scores side by side, and where the report is; or that nothing was due."""
    from treadle.flows.train import NotDue

    if isinstance(result, NotDue):
        screen.line(("not due: ", "bold green"), result.headline)
        for reason in result.reasons:
            screen.line(f"  - {reason}")
        screen.next("how the champion does", "monitor")
        return
    if result.reason:
        screen.line(("it was due: ", "yellow"), result.reason)
    if result.already:
        screen.line("this run is finished already (same data, config and seed); --again makes another")
    screen.line(judged(result.decision), ("  ", ""), (result.headline, "bold"))
    for reason in result.reasons:
        if reason != result.headline:
            screen.line(f"  - {reason}")
    chair = f"champion (version {result.against})" if result.against is not None else "champion: none yet"
    scores: list[tuple[str, float | None]] = [(f"challenger (version {result.version})", result.value)]
    scores.append((chair, result.champion_value if result.against is not None else None))
    scores += [("linear model", result.linear_value), ("dummy", result.dummy_value)]
    screen.table((f"on the holdout of {result.pipeline}", result.metric), scores)
    shown = (result.value, result.linear_value, result.dummy_value)
    ours, linear, dummy = (math.nan if value is None else value for value in shown)
    if as_good(result.metric, ours, linear, dummy):
        said = "better" if gain(result.metric, linear, ours) > 0 else "as good"
        screen.line((f"a linear model is {said} here: ", "yellow"), "it may be all that these columns hold")
    screen.facts(
        (
            ("trials", f"{result.trials}" + (f", {result.resumed} from before" if result.resumed else "")),
            ("took", duration(result.seconds)),
            ("data", result.data_version),
            ("judged on", f"{plural(result.judged_rows, 'row')}, read by {plural(result.holdout_reads, 'run')} so far"),
            ("device", f"{result.device} ({result.device_why})"),
            ("MLflow run", result.run_id),
            ("report", result.report),
        )
    )
    _arrived(result.ingest, screen)
    if result.timings:
        whole = sum(result.timings.values())
        shares = [(part, f"{spent:6.2f}", f"{spent / whole:4.0%}") for part, spent in result.timings.items()]
        screen.table(("where the time went", "seconds", "share"), [*shares, ("in all", f"{whole:6.2f}", "")])
    _after_train(result, screen)


def _arrived(result: IngestResult | None, screen: Screen) -> None:
    """What a command ingested before it did its own work, and what of it was refused."""
    if result is None or not (result.batches or result.labels.batches):
        return
    told = f"{plural(result.accepted, 'row')} of {plural(len(result.batches), 'batch')}"
    labels = result.labels
    late = f", {plural(labels.labels_in - labels.quarantined - labels.empty, 'late label')}" if labels.batches else ""
    screen.line(f"ingested first: {told}{late}")
    batches: list[BatchResult | LabelBatch] = [*result.batches, *result.labels.batches]
    for batch in batches:
        if batch.status != "accepted":
            screen.line((f"{batch.label}: ", "bold"), judged(batch.status), f": {batch.reason}")


def _after_train(result: TrainResult, screen: Screen) -> None:
    if result.promoted:
        screen.next("predictions for rows without a label", "score")
    elif result.decision == "NOT_COMPARABLE":
        screen.next("more labelled rows settle it; put files into the source, then", "train")
    elif result.waits:
        screen.line((f"version {result.version} waits: ", "bold yellow"), "[gate].promote is manual")
        screen.next("a person confirms", "promote", str(result.version), "--reason", "'...'")
    elif result.decision == "PROMOTE":
        screen.line(
            (f"version {result.version} is not promoted: ", "bold yellow"), "another model took the chair since"
        )
        screen.next("a challenger that is judged against today's champion", "train", "--again")
    else:
        screen.next("why", "report", result.run_id[:8])


def score(result: ScoreResult, screen: Screen) -> None:
    """What was scored, by which version, and where it stands."""
    _arrived(result.ingest, screen)
    screen.table(("batch", "rows scored"), [(one.label, one.rows) for one in result.batches])
    screen.line(
        (f"{plural(result.rows, 'row')}", "bold"),
        f" scored by version {result.version} ({result.digest[:12]})",
    )
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'batch')} scored before: nothing to do")
    for warning in result.warnings:
        screen.line(("warning: ", "yellow"), warning)
    if result.ingest is None:
        screen.facts((("predictions", result.output or ""),))
        screen.next("the versions and their verdicts", "models")
        return
    screen.facts((("table", f"data/{result.pipeline}/predictions"), ("files", result.output or "")))
    if result.rows:
        screen.next("when labels have come, what the predictions were worth", "monitor")
    else:
        screen.next("nothing waits; after the next file", "score")


def notify(result: NotifyResult, screen: Screen) -> None:
    """Which run takes the data in, and whether anybody is there to do it."""
    screen.line(f"{result.pipeline}: what waits will be taken in")
    screen.facts((("run", result.page),))
    if not result.worker:
        screen.line(("warning: ", "yellow"), "no worker is at work; the run is kept until one is")
        screen.next("servers and a worker", "up")
