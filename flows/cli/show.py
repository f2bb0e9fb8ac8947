"""Each command's result for people, ending with the sensible next command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.cli.screen import Screen, duration, judged, plural

if TYPE_CHECKING:
    from flows.demo import DemoResult
    from flows.ingest import IngestResult
    from flows.models import ModelsResult
    from flows.promote import PromoteResult
    from flows.report import ReportResult
    from flows.score import ScoreResult
    from flows.train import TrainResult


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
    for batch in result.batches:
        if batch.reason:
            screen.line((f"{batch.label}: ", "bold"), judged(batch.status), f": {batch.reason}")
        for warning in batch.warnings:
            screen.line((f"{batch.label}: ", "bold"), ("warning", "yellow"), f": {warning}")
    for refused in result.refused_before:
        screen.line(("refused before: ", "red"), refused)
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'file')} seen before: nothing to do")
    if not result.batches and not result.skipped:
        screen.line("nothing waits in the source")
    _after_ingest(result, screen)


def _after_ingest(result: IngestResult, screen: Screen) -> None:
    if result.exit_code():
        screen.hint(f"mend the refused files and ingest them again; they are kept in data/{result.pipeline}/")
    elif any(batch.labelled for batch in result.batches):
        screen.next("a model from the labelled rows", "train")
    elif result.accepted:
        screen.next("predictions for rows without a label", "score")
    else:
        screen.next("what there is to score with", "models")


def train(result: TrainResult, screen: Screen) -> None:
    """The verdict in words, the scores side by side, and where the report is."""
    if result.already:
        screen.line("this run is finished already (same data, config and seed); --again makes another")
    screen.line(judged(result.decision), ("  ", ""), (result.headline, "bold"))
    for reason in result.reasons:
        screen.line(f"  - {reason}")
    chair = f"champion (version {result.against})" if result.against is not None else "champion: none yet"
    scores: list[tuple[str, float | None]] = [(f"challenger (version {result.version})", result.value)]
    scores.append((chair, result.champion_value if result.against is not None else None))
    scores += [("linear model", result.linear_value), ("dummy", result.dummy_value)]
    screen.table((f"on the holdout of {result.pipeline}", result.metric), scores)
    screen.facts(
        (
            ("trials", f"{result.trials}" + (f", {result.resumed} from before" if result.resumed else "")),
            ("took", duration(result.seconds)),
            ("data", result.data_version),
            ("device", f"{result.device} ({result.device_why})"),
            ("MLflow run", result.run_id),
            ("report", result.report),
        )
    )
    if result.ingest is not None and result.ingest.exit_code():
        for batch in result.ingest.batches:
            if batch.status != "accepted":
                screen.line((f"{batch.label}: ", "bold"), judged(batch.status), f": {batch.reason}")
    _after_train(result, screen)


def _after_train(result: TrainResult, screen: Screen) -> None:
    if result.promoted:
        screen.next("predictions for rows without a label", "score")
    elif result.decision == "NOT_COMPARABLE":
        screen.next("more labelled rows settle it; put files into the source, then", "train")
    elif result.decision == "PROMOTE":
        screen.next("a person confirms", "promote", str(result.version), "--reason", "'...'")
    else:
        screen.next("why", "report", result.run_id[:8])


def score(result: ScoreResult, screen: Screen) -> None:
    """What was scored, by which version, and where it stands."""
    if result.ingest is not None and result.ingest.batches:
        ingested = result.ingest
        screen.line(f"ingested first: {plural(ingested.accepted, 'row')} of {plural(len(ingested.batches), 'batch')}")
        for batch in ingested.batches:
            if batch.status != "accepted":
                screen.line((f"{batch.label}: ", "bold"), judged(batch.status), f": {batch.reason}")
    screen.table(("batch", "rows scored"), [(one.label, one.rows) for one in result.batches])
    screen.line(
        (f"{plural(result.rows, 'row')}", "bold"),
        f" scored by version {result.version} ({result.digest[:12]})",
    )
    if result.skipped:
        screen.line(f"{plural(result.skipped, 'batch')} scored before: left as they are")
    for warning in result.warnings:
        screen.line(("warning: ", "yellow"), warning)
    if result.ingest is None:
        screen.facts((("predictions", result.output or ""),))
        screen.next("the versions and their verdicts", "models")
        return
    screen.facts((("table", f"data/{result.pipeline}/predictions"), ("files", result.output or "")))
    if result.rows:
        screen.next("when labels arrive, ingest them and train anew", "train")
    else:
        screen.next("nothing waits; after the next file", "score")


def models(result: ModelsResult, screen: Screen) -> None:
    """Versions, newest first, and the champion's history."""
    ranked = sorted(result.versions, key=lambda one: one.version, reverse=True)
    screen.table(
        ("", "version", "verdict", "metric", "value", "against", "data", "run", "made"),
        [
            (
                "champion" if one.champion else "",
                one.version,
                one.decision,
                one.metric,
                one.value,
                one.champion_value,
                one.data_version,
                one.run_id[:8],
                f"{one.created_at:%Y-%m-%d %H:%M}",
            )
            for one in ranked
        ],
        title=f"Versions of {result.pipeline}",
    )
    screen.table(
        ("when", "from", "to", "verdict", "who", "reason"),
        [
            (f"{one.at:%Y-%m-%d %H:%M}", one.from_version, one.to, one.verdict, one.who, one.reason)
            for one in result.history
        ],
        title="Champions",
    )
    if result.alias:
        screen.line(("warning: ", "yellow"), result.alias)
    if not result.versions:
        screen.line(f"{result.pipeline} has no versions yet")
        screen.next("the first one", "train")
    elif result.champion is None:
        screen.next("nothing is promoted; a better model, or a person's word", "promote", "V", "--reason", "'...'")
    else:
        screen.next("predictions by the champion", "score")


def promote(result: PromoteResult, screen: Screen) -> None:
    """The move and its entry in the ledger."""
    before = f"version {result.from_version}" if result.from_version is not None else "nobody"
    screen.line(
        (f"version {result.to}", "bold green"),
        f" is the champion of {result.pipeline} (before: {before}; move {result.seq} by {result.who}: {result.reason})",
    )
    screen.next("its own predictions for batches that an earlier champion scored", "score", "--rescore")


def report(result: ReportResult, screen: Screen) -> None:
    """Where the report lies, and what it says at its top."""
    screen.line(judged(result.decision), "  ", (result.headline, "bold"))
    opened = " (opened in the browser)" if result.opened else ""
    screen.facts(
        (
            ("version", str(result.version)),
            ("made", f"{result.created_at:%Y-%m-%d %H:%M}"),
            ("MLflow run", result.run_id),
            ("report", f"{result.path}{opened}"),
        )
    )
    screen.next("all versions and verdicts", "models")


def demo(result: DemoResult, screen: Screen) -> None:
    """What happened, where to look, and the commands for one's own table."""
    screen.line("")
    screen.table(
        ("step", "seconds", ""),
        [
            (step.step, step.seconds, f"exit code {step.exit_code}" if step.exit_code else step.skipped or "done")
            for step in result.steps
        ],
        title=f"The demo, {duration(result.seconds)}",
    )
    if result.outcome is None:
        screen.hint("mend what the message above names, then: treadle demo")
        return
    screen.table(
        ("file", "rows in", "accepted", "quarantined", "labelled", "scored", "predicted true"),
        [
            (
                month.batch,
                month.rows_in,
                month.accepted,
                month.quarantined,
                month.labelled,
                month.scored or None,
                None if month.predicted is None else f"{month.predicted:.1%}",
            )
            for month in result.outcome.months
        ],
        title="What came of it",
    )
    if result.outcome.champion is not None:
        screen.line((f"champion: version {result.outcome.champion}", "bold green"), f"  {result.outcome.headline}")
    screen.line(("\nWhere to look", "bold"))
    screen.facts(
        (
            ("report", result.report),
            ("MLflow", f"{result.mlflow}"),
            ("", f"then open {result.mlflow_address}"),
            ("Prefect", result.prefect),
            ("predictions", result.tables),
            ("home", result.home),
        )
    )
    screen.line(("\nYour own table, in a folder of yours", "bold"))
    for command in result.own_table:
        screen.line(("  " + command, "bold cyan"))
    screen.hint("the three commands above; treadle down ends the demo's Prefect server")
