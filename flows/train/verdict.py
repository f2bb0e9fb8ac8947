"""The steps of a training run after its model is fitted: package, judge, register, promote.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from treadle.flows.champion.moves import move_champion
from treadle.flows.context import events, timings
from treadle.flows.context.retries import RETRY_DELAYS, transient
from treadle.flows.context.workplace import this_run
from treadle.flows.train.run import Packaged, RunRef, TrainResult, flat

if TYPE_CHECKING:
    from treadle.flows.context.workplace import Workplace
    from treadle.infra.files.workbench import Workbench
    from treadle.tasks.evaluation import ComparedChampion, Scores
    from treadle.tasks.gate import Verdict
    from treadle.tasks.search import Found

BATCHES_KEPT = 50
"""The validation results of this many of the newest batches are logged with a run."""


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


@task(
    name="package",
    task_run_name="package",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
@timings.timed("package")
def package(ref: RunRef) -> None:
    """Record run, trials and model in MLflow.

    Before that, MLflow's scorer loads the model as any client would; the bundle's certificate says whether it predicts
    the golden rows as the batch path does.
    """
    from treadle.tasks import bundle, parity, training
    from treadle.tasks.booster import Curve
    from treadle.tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("packaged.json"):
        return
    stores, found = place.stores, bench.get("found.json", Found)
    problem, curve = bench.get("problem.json", training.Problem), bench.get("curve.json", Curve)
    events.emit("train", "recording run and model in MLflow")
    run_id = stores.tracking.open_run(ref.work, f"{ref.pipeline} {ref.run_key[:6]}", tags=ref.lineage())
    stores.tracking.log_params(run_id, {**found.params, "rounds": found.rounds, **flat(place.config)})
    stores.tracking.log_curves(
        # train_<metric> is the finished model's score, which the report shows too
        run_id,
        {f"curve_train_{curve.metric}": curve.train, f"validation_{curve.metric}": curve.validation},
    )
    stores.tracking.log_trials(run_id, problem.metric, found.finished)
    stores.tracking.log_dataset(run_id, ref.pipeline, _named(place.config.data.source), ref.data_version)
    store_contract(bench, place)
    candidate, folder = bench.folder / "candidate", bench.folder / "bundle"
    rows, expected = bundle.golden(candidate)
    with timings.timed("parity"):
        disagreement = parity.disagreement(expected, stores.registry.answers(candidate, rows.to_pandas()))
    digest = bundle.certify(candidate, folder, disagreement=disagreement, scorer=stores.registry.scorer())
    uri = stores.registry.log_model(run_id, folder)
    packaged = Packaged(run_id=run_id, model_uri=uri, digest=digest, disagreement=disagreement)
    bench.put("packaged.json", packaged, Packaged)


@task(name="judge", task_run_name="judge")
@timings.timed("judge")
def judge(ref: RunRef) -> None:
    """Read the holdout once, let the gate decide, and write the report."""
    from treadle.tasks import evaluation, gate, metrics, report, training
    from treadle.tasks.booster import Curve
    from treadle.tasks.bundle import load_bundle
    from treadle.tasks.dataset.judging import alike
    from treadle.tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("verdict.json"):
        return
    problem, packaged = bench.get("problem.json", training.Problem), bench.get("packaged.json", Packaged)
    holdout, champion = bench.table("holdout.arrow"), champion_at_start(ref, place)
    opponent = f"version {ref.champion}" if ref.champion else "the dummy: there is no champion yet"
    rows = len(holdout if champion is None else champion.new)
    events.emit("train", f"judging on {rows:,} holdout rows against {opponent}")
    model = load_bundle(bench.folder / "bundle", digest=packaged.digest)
    fitted_on = training.together(bench.table("train.arrow"), bench.table("validation.arrow"))
    evidence = evaluation.evaluate_models(
        problem, model, champion, fitted_on, holdout, place.config.gate.slices, ref.seed
    )
    reads = place.stores.ledger.read_holdout(ref.pipeline, evidence.holdout, ref.run_key, alike)
    cost = evaluation.cost(model, holdout, (bench.folder / "bundle" / "model.ubj").stat().st_size)
    broken = (*evidence.broken, *((packaged.disagreement,) if packaged.disagreement else ()))
    broken = (*broken, *gate.over_limits(place.config.gate, cost))
    verdict = gate.decide_verdict(
        place.config.gate, evidence.judged, leaks=evidence.leaks, broken=broken, seed=ref.seed
    )
    held_out = f"{len(holdout):,} held out" + (f", {len(evidence.y):,} of them compared" if champion else "")
    facts = {**ref.facts(rows=f"{len(fitted_on):,} fitted, {held_out}"), "model": str(cost)}
    found, curve = bench.get("found.json", Found), bench.get("curve.json", Curve)
    story = evaluation.story(ref.pipeline, problem, model, evidence, verdict, found, curve, facts, reads)
    with timings.timed("report"):
        for name, svg in report.plots(story).items():
            bench.put_text(f"artifacts/plots/{name}.svg", svg)
        bench.put_text("artifacts/report.html", report.render_report(story))
    bounds = metrics.interval(problem.task, problem.metric, evidence.y, evidence.predictions.p, seed=ref.seed)
    scores = evaluation.Scores(evidence.scores, evidence.train_scores, reads, *map(none_if_nan, bounds))
    bench.put("scores.json", scores, evaluation.Scores)
    bench.put("verdict.json", verdict, gate.Verdict)


@task(
    name="register",
    task_run_name="register",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
@timings.timed("register")
def register(ref: RunRef) -> TrainResult:
    """Register the model as a version in MLflow's registry and the ledger, with its verdict."""
    from treadle.infra.databases.ledger import VersionRecord
    from treadle.tasks.evaluation import Scores
    from treadle.tasks.gate import Verdict
    from treadle.tasks.search import Found

    bench, stores = ref.bench, ref.open().stores
    verdict, scores = bench.get("verdict.json", Verdict), bench.get("scores.json", Scores)
    packaged, found = bench.get("packaged.json", Packaged), bench.get("found.json", Found)
    stores.tracking.log_metrics(packaged.run_id, scores.flat())
    stores.tracking.log_folder(packaged.run_id, bench.folder / "artifacts")
    tags = {**ref.lineage(), "verdict": verdict.decision, "headline": verdict.headline}
    description = describe(ref, verdict, scores)
    version = stores.registry.register(packaged.run_id, packaged.model_uri, ref.work, tags, description)
    stores.tracking.finish(packaged.run_id, {"verdict": verdict.decision, "version": str(version)}, description)
    report = stores.tracking.report_file(packaged.run_id)
    result = train_result(ref, packaged, version, verdict, scores, found, str(report))
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
            data_version=ref.data_version,
            digest=packaged.digest,
            bundle=stores.bundle_address(version),
            created_at=datetime.now(UTC),
            result=result.model_dump_json(),
        ),
        this_run(),
    )
    show_verdict_in_ui(ref, verdict, scores, stores.tracking.run_url(packaged.run_id))
    return result


def train_result(
    ref: RunRef, packaged: Packaged, version: int, verdict: Verdict, scores: Scores, found: Found, report: str
) -> TrainResult:
    """The result of the run, before any promotion."""
    return TrainResult(
        pipeline=ref.pipeline,
        run_key=ref.run_key,
        run_id=packaged.run_id,
        version=version,
        decision=verdict.decision,
        headline=verdict.headline,
        reasons=verdict.reasons,
        promoted=False,
        already=False,
        metric=verdict.metric,
        value=none_if_nan(verdict.value),
        champion_value=none_if_nan(verdict.champion_value),
        linear_value=scores.of("linear", verdict.metric),
        dummy_value=scores.of("dummy", verdict.metric),
        against=ref.champion,
        trials=len(found.finished),
        resumed=found.resumed,
        seconds=found.seconds,
        report=report,
        data_version=ref.data_version,
        device=ref.device,
        device_why=ref.device_why,
        judged_rows=verdict.rows,
        holdout_reads=scores.holdout_reads,
        value_lower=scores.lower,
        value_upper=scores.upper,
        reason=ref.reason,
        notes=verdict.notes,
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
    stores = ref.open().stores
    champion = stores.ledger.champion(ref.pipeline)
    if champion is None or champion.version_to != result.version:
        move_champion(
            stores,
            result.version,
            expected=result.against,
            verdict=result.decision,
            reason=result.headline,
            who=stores.settings.who,
            token=ref.token,
        )
    events.emit("train", f"version {result.version} is the champion of {ref.pipeline}")
    return result.model_copy(update={"promoted": True})


def champion_at_start(ref: RunRef, place: Workplace) -> ComparedChampion | None:
    """The champion when the run began, with the holdout rows that are new to it; None without one."""
    from treadle.tasks.dataset.judging import Comparison
    from treadle.tasks.evaluation import ComparedChampion

    if not ref.champion:
        return None
    left_out = ref.bench.get("comparison.json", Comparison).left_out
    return ComparedChampion(ref.champion, place.model(ref.champion), ref.bench.table("new.arrow"), left_out)


def store_contract(bench: Workbench, place: Workplace) -> None:
    """Store the suite and the validation results of the newest batches among the run's artifacts."""
    from treadle.infra.files import outbox

    suite = place.settings.home / "expectations" / f"{place.config.name}.json"
    bench.put_text("artifacts/contract/suite.json", suite.read_text(encoding="utf-8"))
    batches = [batch for batch in place.stores.ledger.batches(place.config.name) if batch.validation]
    for batch in batches[-BATCHES_KEPT:]:
        bench.put_text(f"artifacts/contract/{outbox.short_name(batch.label)}-{batch.batch_id}.json", batch.validation)


def _named(source: str | tuple[str, ...]) -> str:
    return source if isinstance(source, str) else ", ".join(source)


def none_if_nan(value: float) -> float | None:
    """None for NaN, which databases and JSON cannot hold."""
    return None if math.isnan(value) else value


def describe(ref: RunRef, verdict: Verdict, scores: Scores) -> str:
    """The version's description in MLflow's registry."""
    lines = [
        f"**{verdict.decision}**: {verdict.headline}",
        *(f"- {reason}" for reason in (*verdict.reasons, *verdict.notes) if reason != verdict.headline),
        f"{verdict.rows:,} holdout rows, read by {scores.holdout_reads} run{'' if scores.holdout_reads == 1 else 's'}.",
        f"Rows {ref.data_version}, seed {ref.seed}, run {ref.run_key}. Report: report.html of the run.",
    ]
    return "\n\n".join(lines)


def show_verdict_in_ui(ref: RunRef, verdict: Verdict, scores: Scores, run_address: str) -> None:
    """Show the verdict and a link to the MLflow run in Prefect's UI."""
    name = ref.pipeline.replace("_", "-")
    values = {model: scores.of(model, verdict.metric) for model in scores.holdout}
    rows = [f"| {model} | {value:.4f} |" for model, value in values.items() if value is not None]
    table = "\n".join([f"| model | {verdict.metric} |", "|---|---|", *rows])
    shown = (*verdict.reasons, *verdict.notes)
    reasons = "\n".join(f"- {reason}" for reason in shown if reason != verdict.headline)
    create_markdown_artifact(
        key=f"verdict-{name}",
        markdown=f"## {verdict.decision}: {verdict.headline}\n\n{table}\n\n{reasons}",
        description=f"The gate's verdict on run {ref.run_key} of {ref.pipeline}",
    )
    create_link_artifact(
        key=f"mlflow-run-{name}",
        link=run_address,
        link_text="the run in MLflow",
        description="Parameters, trials, curves and the report",
    )
