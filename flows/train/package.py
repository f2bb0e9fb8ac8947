"""The step that packages both models of a run and records them in MLflow.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.context import events, timings
from treadle.flows.context.retries import retried_task
from treadle.flows.train.run import Packaged, RunRef, flat
from treadle.flows.train.verdict import decide

if TYPE_CHECKING:
    from treadle.flows.context.workplace import Workplace
    from treadle.infra.files.workbench import Workbench


BATCHES_KEPT = 50
"""The validation results of this many of the newest batches are logged with a run."""


@retried_task("package")
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
    cost = evaluation.cost(bundle.load_bundle(folder), bench.table("holdout.arrow"), bundle.model_bytes(folder))
    broken = (finding.refused, disagreement, *gate.over_limits(place.config.gate, cost))
    if any(broken):
        decide(ref, [one for one in broken if one])
    uri = stores.registry.log_model(run_id, folder)
    packaged = Packaged(run_id=run_id, model_uri=uri, digest=digest)
    bench.put("packaged.json", packaged, Packaged)


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
