"""The steps of a training run: each loads by `infra`, calls `tasks`, and keeps what it made on the run's workbench."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task

from flows import events
from flows.promote import move, settle
from flows.steps import RETRY_DELAYS, open_workplace, transient
from flows.train.reference import RunRef, TrainResult, key_of, with_overrides
from tasks.errors import Conflict, TargetError

if TYPE_CHECKING:
    from tasks.search import Trial


@task(name="plan the run", task_run_name="plan the run")
def plan(
    home: str,
    pipeline: str,
    trials: int | None,
    budget_seconds: float | None,
    device: str | None,
    again: bool,
) -> RunRef:
    """Name the run by data version, config digest and seed; `again` counts on from the finished ones of that name."""
    from tasks import booster

    place = open_workplace(home, pipeline)
    config = with_overrides(place.config, trials, budget_seconds, device)
    settle(place.stores)
    champion = place.stores.ledger.champion(pipeline)
    rows_version = place.stores.tables.version("rows")
    if rows_version < 0:
        raise TargetError(
            f"{pipeline} has no rows to train on", f"put files where {config.data.source} finds them"
        )
    taken, why = booster.choose_device(config.model.device)
    name = f"{place.stores.data_version()}|{config.digest()}|{config.tune.seed}"
    ordinal = 1
    while again and place.stores.ledger.by_run(pipeline, key_of(name, ordinal)) is not None:
        ordinal += 1
    return RunRef(
        home=home,
        pipeline=pipeline,
        run_key=key_of(name, ordinal),
        data_version=place.stores.data_version(),
        rows_version=rows_version,
        config_digest=config.digest(),
        seed=config.tune.seed,
        trials=config.tune.trials,
        budget_seconds=config.tune.budget_seconds,
        device=taken,
        device_why=why,
        champion=champion.version_to if champion else None,
    )


def finished(ref: RunRef) -> TrainResult | None:
    """The result of this run if it was registered before; a promotion that a kill left undone is made up for."""
    record = ref.open().stores.ledger.by_run(ref.pipeline, ref.run_key)
    if record is None:
        return None
    result = TrainResult.model_validate_json(record.result)
    if result.decision != "PROMOTE" or result.promoted:
        return result
    return crown(ref, result)


@task(name="part the rows", task_run_name="part the rows")
def prepare(ref: RunRef) -> None:
    """Read the rows at their version and part them into training, validation and holdout."""
    from tasks import training
    from tasks.bundle import facts
    from tasks.dataset import split

    bench, place = ref.bench, ref.open()
    if bench.has("problem.json"):
        return
    config, stores = place.config, place.stores
    events.emit("train", f"reading {ref.data_version}")
    rows = stores.tables.training(ref.rows_version, config.data.target, config.data.key)
    problem = training.define(config, place.suite().schema, training.labels(rows, config.data.target))
    parts = split(
        rows,
        config.split,
        key=config.data.key,
        time=config.data.time,
        target=config.data.target,
        not_before=facts(stores.bundle_folder(ref.champion)).trained_until if ref.champion else None,
    )
    bench.put_table("train.arrow", parts.train)
    bench.put_table("validation.arrow", parts.validation)
    bench.put_table("holdout.arrow", parts.holdout)
    bench.put("problem.json", problem, training.Problem)
    sizes = (
        f"{len(parts.train):,} to train, {len(parts.validation):,} to tune, {len(parts.holdout):,} held out"
    )
    events.emit("train", f"{len(rows):,} labelled rows: {sizes} ({config.split.strategy} split)")


@task(name="tune", task_run_name="tune")
def tune(ref: RunRef) -> None:
    """Search parameters on training and validation rows; trials and seconds of an interrupted run count."""
    from tasks import search, training

    bench, place = ref.bench, ref.open()
    if bench.has("found.json"):
        return

    def tell(trial: Trial, done: int, total: int, seconds_left: float) -> None:
        value = f"{problem.metric} {trial.value:.4f}" if trial.value is not None else trial.state
        events.emit(
            "tune", f"trial {trial.number + 1}: {value}", done=done, total=total, seconds_left=seconds_left
        )

    problem = bench.get("problem.json", training.Problem)
    spec = training.learn_features(problem, bench.table("train.arrow"))
    found = search.run(
        place.stores.study_storage(),
        f"{ref.pipeline}/{ref.work}",
        training.part(problem, spec, bench.table("train.arrow")),
        training.part(problem, spec, bench.table("validation.arrow")),
        task=problem.task,
        classes=len(problem.classes),
        names=spec.names,
        metric=problem.metric,
        spec=place.config.tune,
        device=ref.device,
        monotone=place.config.model.monotone,
        on_trial=tell,
    )
    bench.put("found.json", found, search.Found)


@task(name="fit", task_run_name="fit")
def fit(ref: RunRef) -> None:
    """Fit the found parameters on training and validation rows, calibrate, and write the bundle."""
    from tasks import bundle, training
    from tasks.booster import Curve
    from tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("curve.json"):
        return
    problem, found = bench.get("problem.json", training.Problem), bench.get("found.json", Found)
    train, validation = bench.table("train.arrow"), bench.table("validation.arrow")
    events.emit(
        "train", f"fitting {found.rounds} rounds on {len(train) + len(validation):,} rows ({ref.device_why})"
    )
    spec = training.learn_features(problem, train)
    fitted = training.fit(
        problem,
        spec,
        training.part(problem, spec, train),
        training.part(problem, spec, validation),
        found,
        device=ref.device,
        seed=ref.seed,
        monotone=place.config.model.monotone,
    )
    both = training.together(train, validation)
    bundle.write(
        bench.folder / "bundle",
        fitted.model,
        golden=both,
        reference=both,
        facts=training.facts(problem, ref.lineage(), both),
    )
    bench.put("curve.json", fitted.curve, Curve)


@task(
    name="package",
    task_run_name="package",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
def package(ref: RunRef) -> None:
    """Put run, trials and model into MLflow, load the model back as a stranger would, and compare its answers."""
    from tasks import bundle, parity, training
    from tasks.booster import Curve
    from tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("packaged.json"):
        return
    stores, found = place.stores, bench.get("found.json", Found)
    problem, curve = bench.get("problem.json", training.Problem), bench.get("curve.json", Curve)
    events.emit("train", "recording run and model in MLflow")
    run_id = stores.tracking.open_run(ref.run_key, f"{ref.pipeline} {ref.run_key[:6]}", tags=ref.lineage())
    stores.tracking.log_params(run_id, {**found.params, "rounds": found.rounds, **place.config.flat()})
    stores.tracking.log_curves(
        run_id, {f"train_{curve.metric}": curve.train, f"validation_{curve.metric}": curve.validation}
    )
    stores.tracking.log_trials(run_id, problem.metric, found.trials)
    stores.tracking.log_dataset(run_id, ref.pipeline, str(place.config.data.source), ref.data_version)
    folder = bench.folder / "bundle"
    uri = stores.registry.log_model(run_id, folder)
    rows, expected = bundle.golden(folder)
    disagreement = parity.disagreement(expected, stores.registry.scores(uri, rows.to_pandas()))
    bench.put("packaged.json", Packaged(run_id=run_id, model_uri=uri, disagreement=disagreement), Packaged)


@task(name="judge", task_run_name="judge")
def judge(ref: RunRef) -> None:
    """Read the holdout once, let the gate decide, and write the report."""
    from tasks import evaluation, gate, report, training
    from tasks.booster import Curve
    from tasks.bundle import load
    from tasks.dataset import holdout_name
    from tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("verdict.json"):
        return
    problem, packaged = bench.get("problem.json", training.Problem), bench.get("packaged.json", Packaged)
    holdout = bench.table("holdout.arrow")
    champion = evaluation.Champion(ref.champion, place.model(ref.champion)) if ref.champion else None
    chair = f"version {ref.champion}" if ref.champion else "the dummy: there is no champion yet"
    events.emit("train", f"judging on {len(holdout):,} holdout rows against {chair}")
    reads = place.stores.ledger.read_holdout(
        ref.pipeline, holdout_name(holdout, place.config.split, problem.time), ref.run_key
    )
    model = load(bench.folder / "bundle", digest=packaged.digest)
    fitted_on = training.together(bench.table("train.arrow"), bench.table("validation.arrow"))
    evidence = evaluation.evaluate(
        problem, model, champion, fitted_on, holdout, place.config.gate.slices, ref.seed
    )
    broken = (*evidence.broken, *((packaged.disagreement,) if packaged.disagreement else ()))
    verdict = gate.decide(
        place.config.gate, evidence.judged, leaks=evidence.leaks, broken=broken, seed=ref.seed
    )
    facts = ref.facts(rows=f"{len(fitted_on):,} fitted, {len(holdout):,} held out")
    found, curve = bench.get("found.json", Found), bench.get("curve.json", Curve)
    story = evaluation.story(ref.pipeline, problem, model, evidence, verdict, found, curve, facts, reads)
    for name, svg in report.plots(story).items():
        bench.put_text(f"artifacts/plots/{name}.svg", svg)
    bench.put_text("artifacts/report.html", report.render(story))
    scores = evaluation.Scores(dict(evidence.scores), dict(evidence.train_scores), reads)
    bench.put("scores.json", scores, evaluation.Scores)
    bench.put("verdict.json", verdict, gate.Verdict)


@task(
    name="register",
    task_run_name="register",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
def register(ref: RunRef) -> TrainResult:
    """Make the model a version in MLflow's registry and the ledger, with its verdict for people and machines."""
    from infra.ledger import VersionRecord
    from tasks.evaluation import Scores
    from tasks.gate import Verdict
    from tasks.search import Found

    bench, stores = ref.bench, ref.open().stores
    verdict, scores = bench.get("verdict.json", Verdict), bench.get("scores.json", Scores)
    packaged, found = bench.get("packaged.json", Packaged), bench.get("found.json", Found)
    stores.tracking.log_metrics(packaged.run_id, scores.flat())
    stores.tracking.log_folder(packaged.run_id, bench.folder / "artifacts")
    tags = {**ref.lineage(), "verdict": verdict.decision, "headline": verdict.headline}
    version = stores.registry.register(
        packaged.run_id, packaged.model_uri, ref.run_key, tags, describe(ref, verdict, scores)
    )
    stores.tracking.finish(packaged.run_id, {"verdict": verdict.decision, "version": str(version)})
    result = TrainResult(
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
        value=verdict.value,
        champion_value=verdict.champion_value,
        linear_value=scores.of("linear", verdict.metric),
        dummy_value=scores.of("dummy", verdict.metric),
        against=ref.champion,
        trials=len(found.trials),
        resumed=found.resumed,
        seconds=found.seconds,
        report=str(stores.tracking.report_file(packaged.run_id)),
        data_version=ref.data_version,
        device=ref.device,
        device_why=ref.device_why,
    )
    stores.ledger.add_version(
        VersionRecord(
            pipeline=ref.pipeline,
            version=version,
            run_key=ref.run_key,
            run_id=packaged.run_id,
            decision=verdict.decision,
            headline=verdict.headline,
            metric=verdict.metric,
            value=verdict.value,
            champion_value=verdict.champion_value,
            data_version=ref.data_version,
            digest=bundle_digest(bench.folder / "bundle"),
            bundle=stores.bundle_address(version),
            created_at=datetime.now(UTC),
            result=result.model_dump_json(),
        )
    )
    show_in_ui(ref, verdict, packaged.run_id)
    return result


@task(name="promote", task_run_name="promote version {result.version}")
def crown(ref: RunRef, result: TrainResult) -> TrainResult:
    """Put the better model into the chair that it was judged against; the ledger swaps first, MLflow's alias follows.

    Raises Conflict where the chair was taken by another model since.
    """
    stores = ref.open().stores
    champion = stores.ledger.champion(ref.pipeline)
    if champion is None or champion.version_to != result.version:
        move(
            stores,
            result.version,
            expected=result.against,
            verdict=result.decision,
            reason=result.headline,
            who=stores.settings.who,
        )
    done = result.model_copy(update={"promoted": True})
    stores.ledger.set_result(ref.pipeline, result.run_key, done.model_dump_json())
    events.emit("train", f"version {result.version} is the champion of {ref.pipeline}")
    return done
