"""The steps of a training run up to its model: plan, split the rows, tune, fit.

Each step loads by `infra`, calls `tasks`, and stores its result on the run's workbench.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact

from treadle.flows.champion.forbidden import champion_use
from treadle.flows.champion.moves import settle_champion
from treadle.flows.context import events, timings
from treadle.flows.context.loss_module import load_loss, obeyed_digest
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.flows.monitor.due import outcomes, retrain_state
from treadle.flows.train.fallbacks import device_for, kept_fallbacks
from treadle.flows.train.interrupt import search_interrupt
from treadle.flows.train.opponent import choose_opponent, known_to_neither
from treadle.flows.train.refit import bundle_facts, open_parts_of
from treadle.flows.train.run import LeftOutRows, NotDue, RunRef, key_of, run_name, with_overrides
from treadle.tasks.commands import advice_line
from treadle.tasks.errors import TargetError

if TYPE_CHECKING:
    from treadle.tasks.bundle import BundleFacts
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.custom_loss import CustomLoss
    from treadle.tasks.dataset import OpenParts
    from treadle.tasks.fitting import FittedModel
    from treadle.tasks.recipe import Recipe
    from treadle.tasks.retrain import Reason
    from treadle.tasks.search import Trial
    from treadle.tasks.training import Problem


@task(name="is it due?", task_run_name="is it due?")
def check_due(home: str, pipeline: str) -> NotDue | Reason:
    """Evaluate the rules of [retrain]; a reason is shown as an artifact of the Prefect run."""
    from treadle.tasks import retrain

    place = open_workplace(home, pipeline)
    settle_champion(place.stores, place.config)
    with outcomes(place) as all_outcomes:
        state = retrain_state(place, all_outcomes)
    reason, findings = retrain.due(state), retrain.findings(state)
    if reason is None:
        return NotDue(
            pipeline=pipeline,
            headline="no rule of [retrain] calls for another model",
            reasons=tuple(finding.sentence for finding in findings),
            against=state.champion,
            data_version=place.stores.data_version(),
        )
    events.emit("train", f"due: {reason.text}")
    create_markdown_artifact(
        key=f"due-{pipeline}".replace("_", "-"),
        markdown="\n".join(["## Why it was time to train", *(f"- {sentence}" for sentence in reason.sentences)]),
        description=f"Why {pipeline} was trained again",
    )
    return reason


@task(name="plan the run", task_run_name="plan the run")
@timings.timed("prepare")
def plan(
    home: str,
    pipeline: str,
    trials: int | None,
    budget_seconds: float | None,
    device: str | None,
    again: bool,
    reason: str = "",
    token: int | None = None,
) -> RunRef:
    """Identify the run by data version, config digest, seed and device; `again` gives it a key of its own."""
    from treadle.infra.stores import versions

    place = open_workplace(home, pipeline)
    config = with_overrides(place.config, trials, budget_seconds, device)
    forbidden = settle_champion(place.stores, config)
    champion = place.stores.ledger.champion(pipeline)
    use = champion_use(place.stores, config)
    if use is not None:
        fix = advice_line(use.advice(), pipeline)
        events.emit("train", f"{use.sentence()}; {fix}" if use.instead else use.sentence())
    data_version = place.stores.data_version()
    rows_version, labels_version = versions(data_version)
    if rows_version < 0:
        raise TargetError(f"{pipeline} has no rows to train on", f"put files where {config.data.source} finds them")
    device_use = device_for(Workplace(place.settings, config, place.stores), data_version)
    digest = obeyed_digest(place.settings.home, config)
    name = run_name(data_version, digest, config.tune.seed, device_use.device)
    ordinal = 1
    while again and place.stores.ledger.by_run(pipeline, key_of(name, ordinal)) is not None:
        ordinal += 1
    return RunRef(
        home=home,
        pipeline=pipeline,
        run_key=key_of(name, ordinal),
        data_version=data_version,
        rows_version=rows_version,
        labels_version=labels_version,
        config_digest=digest,
        seed=config.tune.seed,
        trials=config.tune.trials,
        budget_seconds=config.tune.budget_seconds,
        wanted_device=config.model.device,
        device=device_use.device,
        device_why=device_use.why,
        champion=champion.version_to if champion else None,
        reason=reason,
        forbidden=forbidden,
        dropped=use.dropped if use else (),
        token=token,
    )


@task(name="split the rows", task_run_name="split the rows")
@timings.timed("prepare")
def split_rows(ref: RunRef) -> None:
    """Read the rows at their version, split them, and select the holdout rows that are new to the champion too."""
    from treadle.infra.tables.labelled import not_trained, training_rows
    from treadle.tasks import training
    from treadle.tasks.dataset import split
    from treadle.tasks.dataset.judging import Comparison
    from treadle.tasks.weights import counting_parts, row_weights

    bench, place = ref.bench, ref.open()
    if bench.has("problem.json"):
        return
    config, stores = place.config, place.stores
    events.emit("train", f"reading {ref.data_version}")
    asked = place.labelled(ref.data_version)
    rows = training_rows(stores.tables, asked)
    problem = training.define(config, place.suite().schema, training.labels(rows, config.data.target))
    row_weights(rows, config.data.weight)  # refuses weights that are none
    parts = split(
        rows,
        config.split,
        key=config.data.key,
        time=config.data.time,
        target=config.data.target,
    )
    parts = counting_parts(parts, config.data.weight)
    comparison = None
    if ref.champion:
        opponent = choose_opponent(ref, place, problem, rows, parts)
        parts, comparison = opponent.parts, opponent.comparison
        bench.put_table("new.arrow", opponent.new)
        bench.put("comparison.json", comparison, Comparison)
    left = LeftOutRows(gap=len(parts.between), **asdict(not_trained(stores.tables, asked)))
    bench.put("left_out.json", left, LeftOutRows)
    bench.put_table("train.arrow", parts.train)
    bench.put_table("validation.arrow", parts.validation)
    bench.put_table("holdout.arrow", parts.holdout)
    bench.put_table("between.arrow", parts.between)
    if parts.known is not None:
        bench.put_table("all_known.arrow", parts.known)
        bench.put_table("known.arrow", known_to_neither(place, parts, comparison, ref.champion))
    bench.put("every_row.json", len(parts.every_row()), int)
    bench.put("holdout_rows.json", len(parts.holdout), int)
    bench.put("problem.json", problem, training.Problem)
    sizes = f"{len(parts.train):,} to train, {len(parts.validation):,} to tune, {len(parts.holdout):,} held out"
    events.emit("train", f"{len(rows):,} labelled rows: {sizes} ({config.split.strategy} split)")
    if left.sentence():
        events.emit("train", f"left out: {left.sentence()}")


@task(name="tune", task_run_name="tune")
@timings.timed("tune")
def tune(ref: RunRef) -> None:
    """Search parameters on training and validation rows; trials and seconds of an interrupted run count.

    The first Ctrl-C ends the search, and its best is judged; the second ends the command.
    """
    from treadle.tasks import lanes, preparation, search, training
    from treadle.tasks.prepared import Preparation

    bench, place = ref.bench, ref.open()
    if bench.has("found.json"):
        return
    config, parts = place.config, open_parts_of(ref)
    problem = bench.get("problem.json", training.Problem)

    def report_trial(trial: Trial, done: int, total: int, seconds_left: float) -> None:
        value = f"{problem.metric} {trial.value:.4f}" if trial.value is not None else trial.state
        events.emit("tune", f"trial {trial.number + 1}: {value}", done=done, total=total, seconds_left=seconds_left)

    loss = load_loss(place.settings.home, config.model.objective)
    if config.model.kind == "linear":
        prepared = preparation.prepare(config, problem, parts, loss)
        bench.put("preparation.json", prepared, Preparation)
        bench.put("found.json", search.NOTHING_TO_SEARCH, search.Found)
        return
    with search_interrupt.search() as stop:
        if not bench.has("preparation.json"):
            events.emit("tune", preparation.forecast(config, problem, len(parts.train) + len(parts.validation)))
            prepared = preparation.prepare(config, problem, parts, loss, stop)
            bench.put("preparation.json", prepared, Preparation)
        prepared = bench.get("preparation.json", Preparation)
        for reason in prepared.reasons:
            events.emit("tune", reason)
        began = time.monotonic()
        trail = lanes.lay_rows(config, problem, parts, prepared, loss)
        after = search.Aftermath(
            effort=lanes.effort_of_fits(
                prepared.layout,
                parts,
                trail.folds,
                refit=config.model.refit == "all",
                classes=problem.task != "regression",
                opponent=_follows_champion(ref),
                dated=config.split.strategy == "time",
            ),
            more_rounds=prepared.layout.quantile_trees,
            max_size=config.gate.max_model_mb and config.gate.max_model_mb * 1e6,
            max_ms=config.gate.max_ms_per_1000_rows,
            bagged=prepared.layout.kind == "folds" and prepared.layout.bagged,
        )
        with kept_fallbacks(ref), place.stores.studies() as storage:
            found = search.run_search(
                storage,
                f"{ref.pipeline}/{ref.work}",
                trail.course,
                spec=config.tune,
                device=ref.device,
                on_trial=report_trial,
                aftermath=after,
                earlier=_settings_of_champion(place, ref),
                stop=stop,
                answers=bench.folder / "answers",
                spent=prepared.seconds + time.monotonic() - began,
                hurried=prepared.by_clock,
            )
    bench.put("found.json", found, search.Found)


def _settings_of_champion(place: Workplace, ref: RunRef) -> list[dict[str, str | int | float]]:
    """The champion's first setting, if its bundle can be read and it has one."""
    from treadle.tasks import bundle
    from treadle.tasks.errors import BundleError

    try:
        recipe = bundle.read_recipe(place.stores.bundle_folder(ref.champion)) if ref.champion else None
    except BundleError:  # of a champion that is out of service
        return []
    return [recipe.params] if recipe and recipe.params else []


@task(name="fit", task_run_name="fit")
@timings.timed("fit")
def fit_model(ref: RunRef) -> None:
    """Fit the best parameters on training and validation rows, calibrate, and write the model that is judged."""
    from treadle.tasks import bundle, training
    from treadle.tasks.base_rate import BaseRate
    from treadle.tasks.booster import Curve
    from treadle.tasks.prepared import Preparation
    from treadle.tasks.recipe import Recipe, make_recipe
    from treadle.tasks.search import Found

    bench, place = ref.bench, ref.open()
    if bench.has("curve.json"):
        return
    problem, found = bench.get("problem.json", training.Problem), bench.get("found.json", Found)
    parts = open_parts_of(ref)
    # a run that an earlier version began has no preparation
    prepared = bench.get("preparation.json", Preparation) if bench.has("preparation.json") else Preparation()
    problem = prepared.narrowed(problem)
    both, every = training.together(parts.train, parts.validation), bench.get("every_row.json", int)
    recipe = make_recipe(place.config, problem, found, prepared, judged_rows=len(both), rows=every, device=ref.device)
    wanted = "a linear model" if place.config.model.kind == "linear" else recipe.sentence()
    events.emit("train", f"fitting {wanted} on {len(both):,} rows ({ref.device_why})")
    loss = load_loss(place.settings.home, place.config.model.objective)
    with kept_fallbacks(ref):
        fitted, recipe = _fit_wanted(place.config, problem, recipe, parts, loss)
    facts = bundle_facts(ref, training.last_time(problem, both), None)
    bundle.write_bundle(bench.folder / "judged", fitted.model, golden=both, reference=both, facts=facts)
    if ref.champion:
        _follow_champion(ref, place, problem, facts)
    bench.put("recipe.json", recipe, Recipe)
    if fitted.base_rates:
        bench.put("base_rates.json", fitted.base_rates, tuple[BaseRate, ...])
    bench.put("curve.json", fitted.curve, Curve)


def _fit_wanted(
    config: PipelineConfig, problem: Problem, recipe: Recipe, parts: OpenParts, loss: CustomLoss | None
) -> tuple[FittedModel, Recipe]:
    """The judged model of the kind that the config asks for; for `auto` a line where trees are not surely better.

    A line keeps no direction, no interactions, no loss and no parameters but its own: where the config asks for any, it
    is not tried.
    """
    from treadle.tasks import fitting

    model = config.model
    if model.kind == "linear":
        line = fitting.as_line(recipe)
        return fitting.fit_judged(problem, line, parts, config.split), line
    trees = fitting.fit_judged(problem, recipe, parts, config.split, loss)
    own = (model.interactions, model.fixed, model.objective != "auto", model.target_transform != "auto")
    if model.kind == "trees" or any(model.monotone.values()) or any(own):
        return trees, recipe
    fitted, recipe, words = fitting.plainer_kind(problem, recipe, trees, parts, config.split)
    if words:
        events.emit("train", words)
    return fitted, recipe


def _follows_champion(ref: RunRef) -> bool:
    """Whether the challenger is compared with the champion's recipe on this run's rows."""
    from treadle.tasks.dataset.judging import Comparison

    return bool(ref.champion) and ref.bench.get("comparison.json", Comparison).booster == "recipe"


def _follow_champion(ref: RunRef, place: Workplace, problem: Problem, facts: BundleFacts) -> None:
    """Fit the champion's recipe on this run's training rows, where the challenger is to be compared with that."""
    from treadle.tasks import bundle, fitting
    from treadle.tasks.recipe import by_recipe

    bench = ref.bench
    if not _follows_champion(ref):
        return
    recipe = bundle.read_recipe(place.stores.bundle_folder(ref.champion or 0))
    assert recipe is not None, "the comparison was chosen because of it"
    parts = open_parts_of(ref)
    events.emit("train", f"fitting version {ref.champion}'s recipe on the same rows, to compare with")
    layout = recipe.layout.model_copy(update={"quantiles": False})  # its intervals are not compared
    recipe = recipe.model_copy(update={"device": ref.device, "layout": layout})
    loss = load_loss(place.settings.home, recipe.objective.custom if recipe.objective else "auto")
    with kept_fallbacks(ref):
        fitted = fitting.fit_judged(by_recipe(problem, recipe), recipe, parts, place.config.split, loss)
    bundle.write_bundle(bench.folder / "opponent", fitted.model, golden=parts.train, reference=parts.train, facts=facts)
