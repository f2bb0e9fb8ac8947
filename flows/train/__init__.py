"""`treadle train`: rows @ version -> split -> tune -> fit -> judge -> refit -> register -> promote if better.

Each version has two boosters of one recipe: the judged one, which has not seen the holdout, and the serving one, fitted
on all labelled rows once the verdict is known.

A run is identified by data version, config and seed. The same command resumes an unfinished run: the study keeps its
finished trials, every step's file is either absent or complete, and a registered version is found by its run key.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from prefect import flow

from treadle.flows.context import timings
from treadle.flows.context.locking import leased
from treadle.flows.context.named_pipeline import naming_pipeline
from treadle.flows.ingest import ingest_first
from treadle.flows.train.interrupt import search_interrupt
from treadle.flows.train.package import package
from treadle.flows.train.refit import refit_model
from treadle.flows.train.register import finished_result, promote_or_wait, register
from treadle.flows.train.run import NotDue, TrainResult
from treadle.flows.train.steps import check_due, fit_model, plan, split_rows, tune
from treadle.flows.train.verdict import judge

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

__all__ = ["NotDue", "TrainResult", "run_train", "train"]


def run_train(
    settings: Settings,
    config: PipelineConfig,
    *,
    trials: int | None = None,
    budget: float | None = None,
    device: str | None = None,
    again: bool = False,
    if_due: bool = False,
) -> TrainResult | NotDue:
    """Train a challenger and let the gate decide; with `if_due` only where a rule of [retrain] calls for it.

    Raises TargetError where the target cannot be learned, UsageError for a device that is not there.
    """
    from treadle.infra.orchestrator import flow_context

    with ExitStack() as context:
        context.enter_context(search_interrupt.heard())
        with timings.timed("server"):
            context.enter_context(flow_context(settings))
        with timings.timed("Prefect"):
            result = train(str(settings.home), config.name, trials, budget, device, again, if_due)
    return result.model_copy(update={"timings": timings.seconds_by_part()})


@flow(name="train", flow_run_name="train {pipeline}")
@naming_pipeline
def train(
    home: str,
    pipeline: str,
    trials: int | None = None,
    budget_seconds: float | None = None,
    device: str | None = None,
    again: bool = False,
    if_due: bool = False,
) -> TrainResult | NotDue:
    """Ingest new files, train a challenger within trials and budget, judge it, and promote it if it is better."""
    with leased(home, pipeline, "train") as token:
        return _run(token, home, pipeline, trials, budget_seconds, device, again, if_due)


def _run(
    token: int,
    home: str,
    pipeline: str,
    trials: int | None,
    budget_seconds: float | None,
    device: str | None,
    again: bool,
    if_due: bool,
) -> TrainResult | NotDue:
    arrived = ingest_first(home, pipeline)
    asked = check_due(home, pipeline) if if_due else None
    if isinstance(asked, NotDue):
        return asked.model_copy(update={"ingest": arrived})
    reason = asked.text if asked else ""
    ref = plan(home, pipeline, trials, budget_seconds, device, again, reason, token)
    done = finished_result(ref)
    if done is not None:
        ref.clear_up()
        return done.model_copy(update={"already": True, "ingest": arrived})
    split_rows(ref)
    tune(ref)
    fit_model(ref)
    judge(ref)
    refit_model(ref)
    package(ref)
    result = register(ref)
    ref.clear_up()
    if result.decision == "PROMOTE":
        result = promote_or_wait(ref, result)
    return result.model_copy(update={"ingest": arrived})
