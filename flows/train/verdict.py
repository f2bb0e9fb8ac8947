"""The step that judges a run's model: the gate's verdict, and the report.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from prefect import task

from treadle.flows.champion.recorded import recorded_result
from treadle.flows.context import events, timings
from treadle.flows.train.champion_notes import with_champion
from treadle.flows.train.refit import parts_of
from treadle.flows.train.run import RunRef, none_if_nan

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from treadle.flows.context.workplace import Workplace
    from treadle.tasks.base_rate import BaseRate
    from treadle.tasks.bundle import Model
    from treadle.tasks.evaluation import ComparedChampion, Evidence, Scores
    from treadle.tasks.explain import Explanation
    from treadle.tasks.gate import GivenAway
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.report import Story
    from treadle.tasks.training import Problem


@task(name="judge", task_run_name="judge")
@timings.timed("judge")
def judge(ref: RunRef) -> None:
    """Read the holdout once, let the gate decide, and write the report."""
    if not ref.bench.has("verdict.json"):
        decide(ref)


def decide(ref: RunRef, broken: Sequence[str] = ()) -> None:
    """Let the gate decide on the judged model; `broken` is what is wrong with the serving one, if anything."""
    from treadle.tasks import evaluation, gate, metrics, report_content, training
    from treadle.tasks.booster import Curve
    from treadle.tasks.bundle import load_bundle, model_bytes
    from treadle.tasks.dataset.judging import alike
    from treadle.tasks.dependence import Dependence
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.refit import RefitFinding
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
        problem,
        model,
        compared,
        fitted_on,
        holdout,
        place.config.gate.slices,
        ref.seed,
        place.config.split,
        place.config.gate.groups,
    )
    evidence = replace(evidence, base_rates=_base_rates(ref, problem, fitted_on, evidence))
    reads = place.stores.ledger.read_holdout(ref.pipeline, evidence.holdout, ref.run_key, alike)
    cost = evaluation.cost(model, holdout, model_bytes(bench.folder / "judged", "judged"))
    judged = replace(evidence.judged, spent=_given_away(ref, place, problem.metric))
    verdict = gate.decide_verdict(
        place.config.gate, judged, leaks=evidence.leaks, broken=broken, seed=ref.seed, looks=reads
    )
    if bench.has("known.arrow"):
        known = evaluation.score_known_entities(
            problem,
            model,
            compared,
            bench.table("known.arrow"),
            column=place.config.split.group,
            left_out=len(bench.table("all_known.arrow")),
        )
        verdict = verdict.model_copy(update={"reasons": (*verdict.reasons, known.sentence(len(evidence.y)))})
    verdict = with_champion(ref, problem, model, champion, evidence.incomparable, verdict)
    held_out = f"{len(holdout):,} held out" + (f", {len(evidence.y):,} of them compared" if compared else "")
    if bench.has("refit.json"):  # judged again, because something is wrong with the serving booster
        refitted = bench.get("refit.json", RefitFinding)
        served = f"{refitted.rounds:,} rounds on {refitted.rows:,} rows"
    elif recipe.refit == "all" and verdict.decision != "REFUSED":
        served = f"{recipe.serving_rounds:,} rounds on all {len(parts_of(ref).every_row()):,} rows"
    else:
        served = "the judged booster"
    found, curve = bench.get("found.json", Found), bench.get("curve.json", Curve)
    facts = {
        **ref.facts(rows=f"{len(fitted_on):,} fitted, {held_out}"),
        "search": found.why_stopped,
        "judged booster": f"{recipe.rounds:,} rounds on {len(fitted_on):,} rows: {cost}",
        "serving booster": served,
    }
    if left_out := ref.left_out.sentence():
        facts["left out"] = left_out
    if problem.weight:
        facts["weights"] = f"fits, scores and calibration by {problem.weight!r}"
    with timings.timed("report"):
        why = _explained(ref, place, problem, recipe, model, evidence)
        _write_report(
            ref,
            report_content.story_of(ref.pipeline, problem, model, evidence, verdict, found, curve, facts, reads, why),
        )
    bounds = metrics.interval(
        problem.task,
        problem.metric,
        evidence.y,
        evidence.predictions.p,
        dependence=Dependence(judged.groups, judged.times),
        threshold=judged.challenger_threshold,
        weight=judged.weight,
    )
    bench.put("scores.json", _scores(evidence, reads, bounds), evaluation.Scores)
    bench.put("verdict.json", verdict, gate.Verdict)


def _scores(evidence: Evidence, reads: int, bounds: tuple[float, float]) -> Scores:
    """What the run keeps of the evidence; `bounds` are the ends of the deciding metric's interval."""
    from treadle.tasks.evaluation import Scores

    lower, upper = map(none_if_nan, bounds)
    return Scores(
        holdout=evidence.scores,
        train=evidence.train_scores,
        holdout_reads=reads,
        lower=lower,
        upper=upper,
        flag=evidence.flag,
        reliability=evidence.reliability,
        base_rates=evidence.base_rates,
    )


def _base_rates(ref: RunRef, problem: Problem, fitted_on: pa.Table, evidence: Evidence) -> tuple[BaseRate, ...]:
    """The errors of a month's base rate: at rolling origins before the holdout, and in its own first months."""
    from treadle.tasks.base_rate import BaseRate, joined_windows
    from treadle.tasks.rolling import holdout_rates, window_length

    judged, name = evidence.judged, "base_rates.json"
    if not ref.bench.has(name) or judged.times is None:
        return ()
    length = window_length(fitted_on, problem)
    held = holdout_rates(problem, length, judged.times, evidence.y, evidence.predictions.p, judged.weight)
    return joined_windows(ref.bench.get(name, tuple[BaseRate, ...]), held)


def _write_report(ref: RunRef, story: Story) -> None:
    """The page and its pictures, among the run's artifacts."""
    from treadle.tasks import report

    drawn = report.gallery_of(story)
    for name, svg in report.plots(story, drawn).items():
        ref.bench.put_text(f"artifacts/plots/{name}.svg", svg)
    ref.bench.put_text("artifacts/report.html", report.render_report(story, drawn))


def _explained(
    ref: RunRef, place: Workplace, problem: Problem, recipe: Recipe, model: Model, evidence: Evidence
) -> Explanation | None:
    """What the judged model's predictions are made of, kept as tables among the run's artifacts; measured once."""
    from treadle.tasks import evaluation, explain
    from treadle.tasks.objective import plain_objective
    from treadle.tasks.uses import explain_judged

    bench = ref.bench
    if bench.has("explanation.json"):
        return bench.get("explanation.json", explain.Explanation)
    rows = sum(len(bench.table(f"{name}.arrow")) for name in ("train", "validation", "holdout"))
    why = explain_judged(
        problem,
        model,
        evidence,
        evaluation.column_importance(model),
        link=(recipe.objective or plain_objective(problem.task)).link,
        seconds=explain.seconds_to_explain(rows, place.config.tune.budget_seconds),
        seed=ref.seed,
    )
    if why is not None:
        for name, table in (("columns", explain.column_table(why)), ("rows", explain.row_table(why))):
            bench.put_text(f"artifacts/explanation/{name}.json", json.dumps(table, ensure_ascii=False))
        bench.put("explanation.json", why, explain.Explanation)
    return why


def _given_away(ref: RunRef, place: Workplace, metric: str) -> GivenAway:
    """What the versions promoted as fresh have given away since the last better one, by their recorded results."""
    from treadle.tasks.gate import PastVerdict, given_away

    past = {}
    for record in place.stores.ledger.versions(ref.pipeline):
        result = recorded_result(record)
        if result.gain is not None and result.gain_error is not None:
            past[record.version] = PastVerdict(
                result.basis, record.metric, result.gain, result.gain_error, record.against
            )
    return given_away(past, ref.champion, metric)


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
