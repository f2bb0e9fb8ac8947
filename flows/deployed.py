"""The work as Prefect's deployments run it: from the run form, by a schedule, an event or `deployments.start`.

A run of `ingest/customers` does on the pipeline `customers` what `treadle ingest` does there: the deployment's name
says which pipeline, and TREADLE_HOME which home. The options are one model each, which refuses what it does not know,
because Prefect would pass it by.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect import flow, runtime
from prefect.client.schemas.objects import State  # noqa: TC002 - Prefect reads the signatures of flows
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import NothingPromoted, TreadleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Settings

LIVES = 3
"""A run that was killed so often is not taken up again: it may be what kills it."""


class Options(BaseModel):
    """What a run of a deployment may be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestOptions(Options):
    """What to take in."""

    paths: tuple[str, ...] = Field(
        (), title="Files", description="only these files, folders or globs of the project; none: what waits"
    )
    labels: bool = Field(default=False, title="Late labels", description="the files hold labels that came late")


class TrainOptions(Options):
    """When, how long and where to train; what is not given, the pipeline's file says."""

    if_due: bool = Field(
        default=False, title="Only if due", description="train only where a rule of [retrain] calls for it"
    )
    trials: int | None = Field(None, ge=1, le=10_000, title="Trials", description="at most so many trials")
    budget_seconds: float | None = Field(None, gt=0, title="Budget in seconds", description="time for tuning")
    device: Literal["auto", "cpu", "cuda"] | None = Field(None, title="Device", description="where to train")
    again: bool = Field(
        default=False, title="Again", description="another run where the same data and config were trained on"
    )


class ScoreOptions(Options):
    """What to predict."""

    rescore: bool = Field(
        default=False, title="Rescore", description="also batches that another champion has scored; both are kept"
    )


class MonitorOptions(Options):
    """Nothing can be chosen."""


def _name() -> str:
    return f"{runtime.flow_run.flow_name} {runtime.deployment.name}"


INGEST, TRAIN, SCORE, MONITOR = IngestOptions(), TrainOptions(), ScoreOptions(), MonitorOptions()


@flow(name="ingest", flow_run_name=_name)
def ingest(options: IngestOptions = INGEST) -> State[None]:
    """Take what waits in the pipeline's sources through its contract."""
    from flows import ingest as work

    with _place() as (settings, pipeline):
        paths = [str(Path(settings.home, path)) for path in options.paths]
        result = work.ingest.fn(str(settings.home), pipeline, paths, options.labels)
        files = len(result.batches) + len(result.labels.batches)
        return Completed(
            message=f"{files} new files: {result.accepted:,} rows accepted, {result.quarantined:,} quarantined, "
            f"{result.labels.new + result.labels.revised:,} labels new or revised"
        )


@flow(name="train", flow_run_name=_name)
def train(options: TrainOptions = TRAIN) -> State[None]:
    """Train a challenger on what is there, judge it, and promote it where it is better."""
    from flows import train as work

    with _place() as (settings, pipeline):
        result = work.train.fn(
            str(settings.home),
            pipeline,
            options.trials,
            options.budget_seconds,
            options.device,
            options.again,
            options.if_due,
        )
        said = f"{result.decision}: {result.headline}"
        if isinstance(result, work.TrainResult) and result.waits:
            said += f"; it waits for a person: treadle promote {result.version} --reason '...' -p {pipeline}"
        return Completed(message=said)


@flow(name="score", flow_run_name=_name)
def score(options: ScoreOptions = SCORE) -> State[None]:
    """Predict the rows that have no label and no prediction yet."""
    from flows import score as work

    with _place() as (settings, pipeline):
        try:
            result = work.score.fn(str(settings.home), pipeline, options.rescore)
        except NothingPromoted as error:
            return Completed(message=f"nothing was scored: {error.message}")
        return Completed(message=f"{result.rows:,} rows scored by version {result.version}")


@flow(name="monitor", flow_run_name=_name)
def monitor(options: MonitorOptions = MONITOR) -> State[None]:
    """See what the champion's predictions turned out to be worth, and what the newest data looks like."""
    from flows import monitor as work

    with _place() as (settings, pipeline):
        try:
            result = work.monitor.fn(str(settings.home), pipeline)
        except NothingPromoted as error:
            return Completed(message=f"nothing was measured: {error.message}")
        return Completed(message=f"retraining is due: {result.reason}" if result.due else "nothing is due")


@contextmanager
def _place() -> Iterator[tuple[Settings, str]]:
    """The home of TREADLE_HOME, and the pipeline after which the run's deployment is named.

    Where the process is killed in the block, the next one closes the runs within this run. Raises TreadleError for a
    run that was killed too often.
    """
    from infra import orchestrator
    from infra import settings as settings_

    if runtime.flow_run.run_count > LIVES:
        raise TreadleError(
            f"this run was killed {LIVES} times, and is not taken up again",
            "see in its logs where it ended; make room or mend what kills it, then run the deployment anew",
        )
    settings = settings_.find()
    with orchestrator.present(settings):
        yield settings, str(runtime.deployment.name)
