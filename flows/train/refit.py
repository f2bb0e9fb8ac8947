"""The step that fits the serving model, once the judged one has its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task

from treadle.flows.context import events, timings
from treadle.flows.context.loss_module import load_loss
from treadle.flows.train.fallbacks import kept_fallbacks
from treadle.flows.train.run import RunRef, code_version, lock_hash

if TYPE_CHECKING:
    from datetime import date, datetime

    from treadle.tasks.bundle import BundleFacts
    from treadle.tasks.dataset import OpenParts, Parts


@task(name="refit", task_run_name="refit")
@timings.timed("fit")
def refit_model(ref: RunRef) -> None:
    """Fit the serving model on all labelled rows and write the bundle of both; a refused version serves the judged."""
    from treadle.infra import failpoint
    from treadle.tasks import bundle, gate, refit, training
    from treadle.tasks.recipe import Recipe, by_recipe

    bench, place = ref.bench, ref.open()
    if bench.has("refit.json"):
        return
    problem, recipe = bench.get("problem.json", training.Problem), bench.get("recipe.json", Recipe)
    verdict = bench.get("verdict.json", gate.Verdict)
    judged, parts = bundle.load_bundle(bench.folder / "judged", part="judged"), parts_of(ref)
    serving, rows = judged, training.together(parts.train, parts.validation)
    finding = refit.RefitFinding(len(rows), recipe.rounds)
    problem = by_recipe(problem, recipe)
    if recipe.refit == "all" and verdict.decision != "REFUSED":
        rows, loss = parts.every_row(), load_loss(place.settings.home, place.config.model.objective)
        events.emit("train", f"fitting the same on all {len(rows):,} rows, to serve")
        with kept_fallbacks(ref):
            refitted = refit.refit(problem, recipe, judged, parts, place.config.split, loss)
        refused = refit.refusal(place.config.gate, place.config.split, problem, judged, parts.holdout, refitted)
        finding = refit.RefitFinding(len(rows), recipe.serving_rounds, refused)
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

    bench = ref.bench
    known = bench.table("all_known.arrow") if bench.has("all_known.arrow") else None
    train, validation, holdout, between = (
        bench.table(f"{name}.arrow") for name in ("train", "validation", "holdout", "between")
    )
    return Parts(train, validation, holdout, between, known)


def open_parts_of(ref: RunRef) -> OpenParts:
    """The run's rows as far as the model to judge may know them: the holdout is not read."""
    from treadle.tasks.dataset import OpenParts

    bench = ref.bench
    train, validation = bench.table("train.arrow"), bench.table("validation.arrow")
    every = bench.get("every_row.json", int)
    # a run that an earlier version began did not count them
    known = bench.has("holdout_rows.json")
    held = bench.get("holdout_rows.json", int) if known else every - len(train) - len(validation)
    return OpenParts(train, validation, holdout_rows=held, all_rows=every)


def bundle_facts(
    ref: RunRef, trained_until: datetime | date | int | float | None, holdout_from: datetime | date | int | float | None
) -> BundleFacts:
    """Where the run's model comes from."""
    from treadle.tasks import bundle
    from treadle.tasks.dataset.judging import Comparison

    place, bench = ref.open(), ref.bench
    split, cut_after = place.config.split, None
    if ref.champion and bench.get("comparison.json", Comparison).moved:
        cut_after = bundle.read_facts(place.stores.bundle_folder(ref.champion)).trained_until
    return bundle.BundleFacts(
        data_version=ref.data_version,
        config_digest=ref.config_digest,
        seed=ref.seed,
        trained_until=trained_until,
        split=split,
        judged_from=holdout_from if split.strategy == "time" else None,
        mature_after=place.config.labels.mature_after,
        cut_after=cut_after,
        code_version=code_version(),
        lock_hash=lock_hash(),
    )
