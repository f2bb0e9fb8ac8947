"""The step that fits the serving model, once the judged one has its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task

from treadle.flows.context import events, timings
from treadle.flows.train.run import RunRef, code_version, lock_hash

if TYPE_CHECKING:
    from datetime import date, datetime

    from treadle.tasks.bundle import BundleFacts
    from treadle.tasks.dataset import Parts
    from treadle.tasks.refit import Refit
    from treadle.tasks.training import Problem


@task(name="refit", task_run_name="refit")
@timings.timed("fit")
def refit_model(ref: RunRef) -> None:
    """Fit the serving model on all labelled rows and write the bundle of both; a refused version serves the judged."""
    from treadle.infra import failpoint
    from treadle.tasks import bundle, gate, refit, training
    from treadle.tasks.recipe import Recipe

    bench, place = ref.bench, ref.open()
    if bench.has("refit.json"):
        return
    problem, recipe = bench.get("problem.json", training.Problem), bench.get("recipe.json", Recipe)
    verdict = bench.get("verdict.json", gate.Verdict)
    judged, parts = bundle.load_bundle(bench.folder / "judged", part="judged"), parts_of(ref)
    serving, rows = judged, training.together(parts.train, parts.validation)
    finding = refit.RefitFinding(len(rows), recipe.rounds)
    if recipe.refit == "all" and verdict.decision != "REFUSED":
        rows = refit.all_rows(parts)
        events.emit("train", f"fitting {recipe.serving_rounds} rounds on all {len(rows):,} rows, to serve")
        refitted = refit.refit(problem, recipe, judged, parts, place.config.split)
        finding = refit.RefitFinding(len(rows), recipe.serving_rounds, _refusal(ref, problem, parts, refitted))
        serving = refitted.model
    if serving is judged or finding.refused:
        serving, rows = judged, training.together(parts.train, parts.validation)
        finding = refit.RefitFinding(len(rows), recipe.rounds, finding.refused)
        recipe = recipe.model_copy(update={"refit": "none", "serving_rounds": recipe.rounds})
    facts = bundle_facts(ref, training.last_time(problem, rows), training.first_time(problem, parts.holdout))
    with failpoint.around("bundle"):
        bundle.write_bundle(
            bench.folder / "candidate",
            serving,
            judged=judged,
            golden=rows,
            reference=rows,
            facts=facts,
            recipe=recipe,
        )
    bench.put("refit.json", finding, refit.RefitFinding)


def parts_of(ref: RunRef) -> Parts:
    """The run's rows as they were parted."""
    from treadle.tasks.dataset import Parts

    return Parts(*(ref.bench.table(f"{name}.arrow") for name in ("train", "validation", "holdout")))


def bundle_facts(
    ref: RunRef, trained_until: datetime | date | int | float | None, holdout_from: datetime | date | int | float | None
) -> BundleFacts:
    """Where the run's model comes from."""
    from treadle.tasks import bundle

    split = ref.open().config.split
    return bundle.BundleFacts(
        data_version=ref.data_version,
        config_digest=ref.config_digest,
        seed=ref.seed,
        trained_until=trained_until,
        split=split,
        judged_from=holdout_from if split.strategy == "time" else None,
        code_version=code_version(),
        lock_hash=lock_hash(),
    )


def _refusal(ref: RunRef, problem: Problem, parts: Parts, refitted: Refit) -> str:
    """Why the refitted model is refused; empty where it is not."""
    from treadle.tasks import booster, bundle, postprocess, refit, training

    judged = bundle.load_bundle(ref.bench.folder / "judged", part="judged")
    holdout = training.encoded_part(problem, judged.features, parts.holdout)
    judged_p = postprocess.apply_postprocess(judged.post, booster.predict_raw(judged.booster, holdout.X)).p
    return refit.refusal(ref.open().config.gate, problem, judged_p, holdout.y, refitted, ref.seed)
