"""The last steps of a training run: register the version, and promote it or leave it to a person.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from treadle.flows.champion.moves import move_champion
from treadle.flows.context import events, timings
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import this_run
from treadle.flows.train.champion_notes import person_decides
from treadle.flows.train.run import Packaged, RunRef, TrainResult, none_if_nan

if TYPE_CHECKING:
    from treadle.tasks.evaluation import Scores
    from treadle.tasks.gate import Verdict
    from treadle.tasks.refit import RefitFinding
    from treadle.tasks.search import Found


def finished_result(ref: RunRef) -> TrainResult | None:
    """The result of this run if it was registered before, else None; a missing promotion is made up for.

    It is promoted only while the champion is the one that it was compared with, and not where a person declined the
    version or its model was deleted by `maintain`.
    """
    ledger = ref.open().stores.ledger
    record = ledger.by_run(ref.pipeline, ref.run_key)
    if record is None:
        return None
    result = TrainResult.model_validate_json(record.result)
    promoted = any(move.version_to == record.version for move in ledger.history(ref.pipeline))
    settled = {*ledger.declined(ref.pipeline), *ledger.retired(ref.pipeline)}
    open_ = not promoted and record.version not in settled
    if result.decision == "PROMOTE" and open_ and ref.champion == result.against:
        return promote_or_wait(ref, result)
    return result.model_copy(update={"promoted": promoted})


@retried_task("register")
@timings.timed("register")
def register(ref: RunRef) -> TrainResult:
    """Register the model as a version in MLflow's registry and the ledger, with its verdict."""
    from treadle.infra.databases.ledger import VersionRecord
    from treadle.infra.tracking.runs import REPORT
    from treadle.tasks.evaluation import Scores
    from treadle.tasks.gate import Verdict, gap_metrics
    from treadle.tasks.refit import RefitFinding
    from treadle.tasks.search import Found

    bench, stores = ref.bench, ref.open().stores
    verdict, scores = bench.get("verdict.json", Verdict), bench.get("scores.json", Scores)
    packaged, found = bench.get("packaged.json", Packaged), bench.get("found.json", Found)
    stores.tracking.log_metrics(packaged.run_id, {**scores.flat(), **gap_metrics(verdict.groups)})
    stores.tracking.log_folder(packaged.run_id, bench.folder / "artifacts")
    tags = {**ref.lineage(), "verdict": verdict.decision, "headline": verdict.headline}
    refitted = bench.get("refit.json", RefitFinding)
    pages = stores.tracking.run_url(packaged.run_id)
    description = describe(ref, verdict, scores, refitted, f"#{pages.partition('#')[2]}/artifacts/{REPORT}")
    stores.tracking.name_metric(verdict.metric)
    version = stores.registry.register(packaged.run_id, packaged.model_uri, ref.work, tags, description)
    ending = {
        "verdict": verdict.decision,
        "metric": verdict.metric,
        "version": str(version),
        "search_stopped": found.stopped,
    }
    stores.tracking.finish(packaged.run_id, ending, description)
    report = stores.tracking.report_file(packaged.run_id)
    result = train_result(ref, packaged, version, verdict, scores, found, refitted, str(report))
    stores.ledger.add_version(
        VersionRecord(
            pipeline=ref.pipeline,
            version=version,
            run_key=ref.run_key,
            run_id=packaged.run_id,
            decision=verdict.decision,
            headline=verdict.headline,
            metric=verdict.metric,
            value=none_if_nan(verdict.value),
            champion_value=none_if_nan(verdict.champion_value),
            against=ref.champion,
            data_version=ref.data_version,
            digest=packaged.digest,
            bundle=stores.bundle_address(version),
            created_at=datetime.now(UTC),
            result=result.model_dump_json(),
        ),
        this_run(),
    )
    show_verdict_in_ui(ref, verdict, scores, pages)
    return result


def train_result(
    ref: RunRef,
    packaged: Packaged,
    version: int,
    verdict: Verdict,
    scores: Scores,
    found: Found,
    refitted: RefitFinding,
    report: str,
) -> TrainResult:
    """The result of the run, before any promotion."""
    return TrainResult(
        pipeline=ref.pipeline,
        run_key=ref.run_key,
        run_id=packaged.run_id,
        version=version,
        decision=verdict.decision,
        headline=verdict.headline,
        reasons=(*verdict.reasons, *person_decides(ref, verdict, version)),
        promoted=False,
        already=False,
        metric=verdict.metric,
        value=none_if_nan(verdict.value),
        champion_value=None if ref.forbidden else none_if_nan(verdict.champion_value),
        linear_value=scores.of("linear", verdict.metric),
        dummy_value=scores.of("dummy", verdict.metric),
        against=ref.champion,
        basis=verdict.basis,
        gain=none_if_nan(verdict.gain),
        gain_error=none_if_nan(verdict.error),
        trials=len(found.finished),
        resumed=found.resumed,
        seconds=found.seconds,
        report=report,
        data_version=ref.data_version,
        device=ref.device,
        device_why=ref.device_why,
        fell_back=ref.device_use.fell_back,
        judged_rows=verdict.rows,
        holdout_reads=scores.holdout_reads,
        value_lower=scores.lower,
        value_upper=scores.upper,
        reason=ref.reason,
        notes=verdict.notes,
        serving_rows=refitted.rows,
        serving_rounds=refitted.rounds,
        stopped=found.stopped,
        why_stopped=found.why_stopped,
        cut=found.cut,
        lowest_rate=found.lowest_rate,
        nthread=found.nthread,
        left_out=ref.left_out,
        unsettled=verdict.unsettled,
        flag=scores.flag,
        groups=tuple(gap for column in verdict.groups for gap in column.gaps),
        reliability=scores.reliability,
        base_rates=scores.base_rates,
    )


def promote_or_wait(ref: RunRef, result: TrainResult) -> TrainResult:
    """Promote a better model; or leave it pending, where [gate].promote is `manual`."""
    if ref.open().config.gate.promote == "automatic":
        return promote_version(ref, result)
    command = f"treadle promote {result.version} --reason '...' -p {ref.pipeline}"
    events.emit("train", f"version {result.version} is better, and waits for a person: {command}")
    return result.model_copy(update={"waits": True})


@task(name="promote", task_run_name="promote version {result.version}")
@timings.timed("promote")
def promote_version(ref: RunRef, result: TrainResult) -> TrainResult:
    """Make the better model the champion in place of the one that it was compared with: ledger first, then the alias.

    Raises Conflict where the champion has changed since, Fenced where another process has taken over the lease.
    """
    place = ref.open()
    stores = place.stores
    champion = stores.ledger.champion(ref.pipeline)
    if champion is None or champion.version_to != result.version:
        move_champion(
            stores,
            place.config,
            result.version,
            expected=result.against,
            verdict=result.decision,
            reason=result.headline,
            who=stores.settings.who,
            token=ref.token,
        )
    events.emit("train", f"version {result.version} is the champion of {ref.pipeline}")
    return result.model_copy(update={"promoted": True})


def describe(ref: RunRef, verdict: Verdict, scores: Scores, refitted: RefitFinding, report: str) -> str:
    """The description of version and run on MLflow's pages, as Markdown; `report` is the address of the report."""
    lines = [
        f"**{verdict.decision}**: {verdict.headline}",
        f"[Report]({report})",
        *linear_is_better(verdict.metric, scores),
        "The gate decides which version is champion, or a person does with treadle's command *promote*. MLflow's "
        "button *Promote model* copies the version into another registered model; it does not change the champion, nor "
        "does an alias that is set here by hand.",
        *(f"- {reason}" for reason in (*verdict.reasons, *verdict.notes) if reason != verdict.headline),
        f"{verdict.rows:,} holdout rows, read by {scores.holdout_reads} run{'' if scores.holdout_reads == 1 else 's'}.",
        f"The serving booster: {refitted.rounds:,} rounds on {refitted.rows:,} rows.",
        f"Rows {ref.data_version}, seed {ref.seed}, run {ref.run_key}.",
    ]
    return "\n\n".join(lines)


def linear_is_better(metric: str, scores: Scores) -> tuple[str, ...]:
    """A sentence where the linear model scored better than the challenger by the deciding metric; else none."""
    from treadle.tasks import metrics

    linear, challenger = scores.of("linear", metric), scores.of("challenger", metric)
    if linear is None or challenger is None or metrics.gain(metric, linear, challenger) <= 0:
        return ()
    return (f"**A linear model was better on the holdout:** {metric} {linear:.4f} against {challenger:.4f}.",)


def show_verdict_in_ui(ref: RunRef, verdict: Verdict, scores: Scores, run_address: str) -> None:
    """Show the verdict with a link to its report, and a link to the MLflow run, on Prefect's pages."""
    from treadle.infra.tracking.runs import REPORT

    name = ref.pipeline.replace("_", "-")
    values = {model: scores.of(model, verdict.metric) for model in scores.holdout}
    rows = [f"| {model} | {value:.4f} |" for model, value in values.items() if value is not None]
    table = "\n".join([f"| model | {verdict.metric} |", "|---|---|", *rows])
    shown = (*verdict.reasons, *verdict.notes)
    reasons = "\n".join(f"- {reason}" for reason in shown if reason != verdict.headline)
    create_markdown_artifact(
        key=f"verdict-{name}",
        markdown=f"## {verdict.decision}: {verdict.headline}\n\n[The report]({run_address}/artifacts/{REPORT})\n\n"
        f"{table}\n\n{reasons}",
        description=f"The gate's verdict on run {ref.run_key} of {ref.pipeline}",
    )
    create_link_artifact(
        key=f"mlflow-run-{name}",
        link=run_address,
        link_text="the run in MLflow",
        description="Parameters, trials, curves and the report",
    )
