"""The steps of a training run after its judged model is fitted: judge, package, register, promote.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from treadle.flows.champion.moves import move_champion
from treadle.flows.context import events, timings
from treadle.flows.context.retries import RETRY_DELAYS, transient
from treadle.flows.context.workplace import this_run
from treadle.flows.train.champion_notes import person_decides, with_champion
from treadle.flows.train.run import Packaged, RunRef, TrainResult, flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.files.workbench import Workbench
    from treadle.tasks.evaluation import ComparedChampion, Scores
    from treadle.tasks.gate import GivenAway, Verdict
    from treadle.tasks.refit import RefitFinding
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


@task(name="judge", task_run_name="judge")
@timings.timed("judge")
def judge(ref: RunRef) -> None:
    """Read the holdout once, let the gate decide, and write the report."""
    if not ref.bench.has("verdict.json"):
        _judge(ref)


def _judge(ref: RunRef, broken: Sequence[str] = ()) -> None:
    """Let the gate decide on the judged model; `broken` is what is wrong with the serving one, if anything."""
    from treadle.tasks import evaluation, gate, metrics, report, training
    from treadle.tasks.booster import Curve
    from treadle.tasks.bundle import load_bundle
    from treadle.tasks.dataset.judging import alike
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.search import Found

    bench, place = ref.bench, ref.open()
    problem, recipe = bench.get("problem.json", training.Problem), bench.get("recipe.json", Recipe)
    holdout, champion = bench.table("holdout.arrow"), champion_at_start(ref, place)
    compared = None if ref.forbidden else champion
    opponent = f"version {ref.champion}" if compared else f"the dummy: {ref.why_dummy}"
    rows = len(holdout if compared is None else compared.new)
    events.emit("train", f"judging on {rows:,} holdout rows against {opponent}")
    model = load_bundle(bench.folder / "judged", part="judged")
    fitted_on = training.together(bench.table("train.arrow"), bench.table("validation.arrow"))
    evidence = evaluation.evaluate_models(
        problem, model, compared, fitted_on, holdout, place.config.gate.slices, ref.seed, place.config.split
    )
    reads = place.stores.ledger.read_holdout(ref.pipeline, evidence.holdout, ref.run_key, alike)
    cost = evaluation.cost(model, holdout, (bench.folder / "judged" / "judged" / "model.ubj").stat().st_size)
    judged = replace(evidence.judged, spent=_given_away(ref, place, problem.metric))
    verdict = gate.decide_verdict(
        place.config.gate, judged, leaks=evidence.leaks, broken=broken, seed=ref.seed, looks=reads
    )
    if bench.has("known.arrow"):
        known = evaluation.score_known_entities(
            problem, model, compared, bench.table("known.arrow"), place.config.split.group
        )
        verdict = verdict.model_copy(update={"reasons": (*verdict.reasons, known.sentence(len(evidence.y)))})
    verdict = with_champion(ref, problem, model, champion, evidence.incomparable, verdict)
    held_out = f"{len(holdout):,} held out" + (f", {len(evidence.y):,} of them compared" if compared else "")
    served = (
        f"{recipe.serving_rounds:,} rounds on all {len(fitted_on) + len(holdout):,} rows"
        if recipe.refit == "all" and verdict.decision != "REFUSED"
        else "the judged booster"
    )
    found, curve = bench.get("found.json", Found), bench.get("curve.json", Curve)
    facts = {
        **ref.facts(rows=f"{len(fitted_on):,} fitted, {held_out}"),
        "search": found.why_stopped,
        "judged booster": f"{recipe.rounds:,} rounds on {len(fitted_on):,} rows: {cost}",
        "serving booster": served,
    }
    if left_out := ref.left_out.sentence():
        facts["left out"] = left_out
    story = evaluation.story(ref.pipeline, problem, model, evidence, verdict, found, curve, facts, reads)
    with timings.timed("report"):
        for name, svg in report.plots(story).items():
            bench.put_text(f"artifacts/plots/{name}.svg", svg)
        bench.put_text("artifacts/report.html", report.render_report(story))
    bounds = metrics.interval(
        problem.task,
        problem.metric,
        evidence.y,
        evidence.predictions.p,
        dependence=Dependence(judged.groups, judged.times),
        threshold=judged.challenger_threshold,
    )
    scores = evaluation.Scores(evidence.scores, evidence.train_scores, reads, *map(none_if_nan, bounds))
    bench.put("scores.json", scores, evaluation.Scores)
    bench.put("verdict.json", verdict, gate.Verdict)


def _given_away(ref: RunRef, place: Workplace, metric: str) -> GivenAway:
    """What the versions promoted as fresh have given away since the last better one, by their recorded results."""
    from treadle.tasks.gate import PastVerdict, given_away

    past = {}
    for record in place.stores.ledger.versions(ref.pipeline):
        result = json.loads(record.result or "{}")
        gain, error = result.get("gain"), result.get("gain_error")
        if gain is not None and error is not None:
            basis = str(result.get("basis", ""))
            past[record.version] = PastVerdict(basis, record.metric, gain, error, result.get("against"))
    return given_away(past, ref.champion, metric)


@task(
    name="package",
    task_run_name="package",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
@timings.timed("package")
def package(ref: RunRef) -> None:
    """Record run, trials and model in MLflow, and refuse a serving model with which something is wrong.

    MLflow's scorer loads the model as any client would; the bundle's certificate says whether it predicts the golden
    rows as the batch path does.
    """
    from treadle.tasks import bundle, evaluation, gate, parity, refit, training
    from treadle.tasks.booster import Curve
    from treadle.tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("packaged.json"):
        return
    stores, found = place.stores, bench.get("found.json", Found)
    problem, curve = bench.get("problem.json", training.Problem), bench.get("curve.json", Curve)
    finding = bench.get("refit.json", refit.RefitFinding)
    events.emit("train", "recording run and model in MLflow")
    run_id = stores.tracking.open_run(ref.work, f"{ref.pipeline} {ref.run_key[:6]}", tags=ref.lineage())
    rounds = {"rounds": found.rounds, "serving_rounds": finding.rounds}
    stores.tracking.log_params(run_id, {**found.params, **rounds, **found.record(), **flat(place.config)})
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
    size = (folder / "serving" / "model.ubj").stat().st_size
    cost = evaluation.cost(bundle.load_bundle(folder), bench.table("holdout.arrow"), size)
    broken = (finding.refused, disagreement, *gate.over_limits(place.config.gate, cost))
    if any(broken):
        _judge(ref, [one for one in broken if one])
    uri = stores.registry.log_model(run_id, folder)
    packaged = Packaged(run_id=run_id, model_uri=uri, digest=digest)
    bench.put("packaged.json", packaged, Packaged)


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
    from treadle.tasks.refit import RefitFinding
    from treadle.tasks.search import Found

    bench, stores = ref.bench, ref.open().stores
    verdict, scores = bench.get("verdict.json", Verdict), bench.get("scores.json", Scores)
    packaged, found = bench.get("packaged.json", Packaged), bench.get("found.json", Found)
    stores.tracking.log_metrics(packaged.run_id, scores.flat())
    stores.tracking.log_folder(packaged.run_id, bench.folder / "artifacts")
    tags = {**ref.lineage(), "verdict": verdict.decision, "headline": verdict.headline}
    refitted = bench.get("refit.json", RefitFinding)
    description = describe(ref, verdict, scores, refitted)
    version = stores.registry.register(packaged.run_id, packaged.model_uri, ref.work, tags, description)
    ending = {"verdict": verdict.decision, "version": str(version), "search_stopped": found.stopped}
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


def champion_at_start(ref: RunRef, place: Workplace) -> ComparedChampion | None:
    """The champion when the run began, with the booster and the holdout rows to compare on; None without one."""
    from treadle.tasks.bundle import load_bundle
    from treadle.tasks.dataset.judging import Comparison
    from treadle.tasks.evaluation import ComparedChampion

    if not ref.champion:
        return None
    comparison = ref.bench.get("comparison.json", Comparison)
    if comparison.booster == "recipe":
        model = load_bundle(ref.bench.folder / "opponent")
    else:
        model = place.model(ref.champion, part=comparison.booster)
    return ComparedChampion(
        version=ref.champion,
        model=model,
        new=ref.bench.table("new.arrow"),
        left_out=comparison.left_out,
        boosters=comparison.names(ref.champion),
        newer=comparison.newer,
    )


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
    """None for NaN and infinity, which databases and JSON cannot hold."""
    return value if math.isfinite(value) else None


def describe(ref: RunRef, verdict: Verdict, scores: Scores, refitted: RefitFinding) -> str:
    """The version's description in MLflow's registry."""
    lines = [
        f"**{verdict.decision}**: {verdict.headline}",
        *(f"- {reason}" for reason in (*verdict.reasons, *verdict.notes) if reason != verdict.headline),
        f"{verdict.rows:,} holdout rows, read by {scores.holdout_reads} run{'' if scores.holdout_reads == 1 else 's'}.",
        f"The serving booster: {refitted.rounds:,} rounds on {refitted.rows:,} rows.",
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
