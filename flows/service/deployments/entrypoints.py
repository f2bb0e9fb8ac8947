"""The work as Prefect's deployments run it: from the run form, by a schedule, an event or `deployments.start_run`.

A run of `ingest/customers` does on the pipeline `customers` what `treadle ingest` does there: the deployment's name
says which pipeline, and TREADLE_HOME which home. The options are one model each, which refuses what it does not know,
because Prefect would pass it by.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow, runtime
from prefect.client.schemas.objects import State  # noqa: TC002 - Prefect reads the signatures of flows
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, Field

from treadle.flows.context import command_names
from treadle.flows.context.retries import AWAY
from treadle.tasks.errors import DataError, TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun

    from treadle.infra.settings import Settings

log = logging.getLogger("treadle")

LIVES = 3
"""A run that was killed so often is not taken up again: it may be what kills it."""

PAUSES = (5.0, 15.0, 40.0, 60.0)
"""Seconds after which a run begins again whose database or server does not answer; then it has failed."""


def _in_a_form(schema: dict[str, Any]) -> None:
    """What may be left out is one field to fill in, or not, instead of a choice between a type and `None`."""
    for field in schema.get("properties", {}).values():
        kinds = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            del field["anyOf"]
            field.update(kinds[0])
            field.pop("default", None)
            if "enum" in field:  # of a list of choices the page sends null where none was made
                field["enum"] = [*field["enum"], None]
                del field["type"]


class Options(BaseModel):
    """What a run of a deployment may be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_in_a_form)


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


class PromoteOptions(Options):
    """A person's word on a version."""

    version: int = Field(ge=1, title="Version", description="the version that becomes champion")
    reason: str = Field(pattern=r"\S", title="Reason", description="why; it stands in the ledger for ever")
    decline: bool = Field(
        default=False, title="Decline", description="the version waits for a person's word, and shall not be champion"
    )


class MaintainOptions(Options):
    """Whether to do it."""

    dry_run: bool = Field(
        default=False, title="Dry run", description="say what would go and how much that frees, and take nothing"
    )


def _name() -> str:
    return f"{runtime.flow_run.flow_name} {runtime.deployment.name}"


def notify_people(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell people what needs them, when a run has ended: by then the server knows how."""
    from treadle.flows.service.alerts import delivery
    from treadle.infra import settings as settings_

    delivery.notify_after_run(settings_.find_home(), str(runtime.deployment.name))


INGEST, TRAIN, SCORE, MONITOR = IngestOptions(), TrainOptions(), ScoreOptions(), MonitorOptions()
MAINTAIN = MaintainOptions()


@flow(name="ingest", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def ingest_deployment(options: IngestOptions = INGEST) -> State[None]:
    """Take what waits in the pipeline's sources through its contract."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.ingest import ingest

        paths = [str(Path(settings.home, path)) for path in options.paths]
        result = ingest.fn(str(settings.home), pipeline, paths, options.labels)
        files = [*(one.status for one in result.batches), *(one.status for one in result.labels.batches)]
        refused = sum(status in {"refused", "unreadable"} for status in files)
        if result.closed:  # a person's turn, and tried again; all else was taken in
            raise DataError("; ".join(result.closed), "give the right to read it, or take it away")
        labels = result.labels.new + result.labels.revised
        told = [
            f"{len(files)} new {'file' if len(files) == 1 else 'files'}: {result.accepted:,} rows accepted, "
            f"{result.quarantined:,} quarantined, {labels:,} labels new or revised",
            *([f"{refused} refused whole"] if refused else []),
            *result.growing,
        ]
        return "; ".join(told)

    return _carried_out(work)


@flow(name="train", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def train_deployment(options: TrainOptions = TRAIN) -> State[None]:
    """Train a challenger on what is there, judge it, and promote it where it is better."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.train import TrainResult, train

        result = train.fn(
            str(settings.home),
            pipeline,
            options.trials,
            options.budget_seconds,
            options.device,
            options.again,
            options.if_due,
        )
        said = f"{result.decision}: {result.headline}"
        if isinstance(result, TrainResult) and result.waits:
            said += f"; it waits for a person: treadle promote {result.version} --reason '...' -p {pipeline}"
        return said

    return _carried_out(work)


@flow(name="score", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def score_deployment(options: ScoreOptions = SCORE) -> State[None]:
    """Predict the rows that have no label and no prediction yet."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.score import score

        if missing := _no_champion(settings, pipeline):
            return f"nothing was scored: {missing}"
        result = score.fn(str(settings.home), pipeline, options.rescore)
        return f"{result.rows:,} rows scored by version {result.version}"

    return _carried_out(work)


@flow(name="monitor", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def monitor_deployment(options: MonitorOptions = MONITOR) -> State[None]:
    """See what the champion's predictions turned out to be worth, and what the newest data looks like."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.monitor import monitor

        if missing := _no_champion(settings, pipeline):
            return f"nothing was measured: {missing}"
        result = monitor.fn(str(settings.home), pipeline)
        return f"retraining is due: {result.reason}" if result.due else "nothing is due"

    return _carried_out(work)


@flow(name="promote", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def promote_deployment(options: PromoteOptions) -> State[None]:
    """Make a version the champion because a person says so, or decline one that waits for their word."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.champion import promote
        from treadle.tasks.config.load import load_config

        config = load_config(settings.home / "pipelines" / f"{pipeline}.toml")
        result = promote.run_promote(settings, config, options.version, options.reason, decline=options.decline)
        return f"version {result.to} is {'declined' if result.declined else 'the champion'}: {result.reason}"

    return _carried_out(work)


@flow(name="maintain", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def maintain_deployment(options: MaintainOptions = MAINTAIN) -> State[None]:
    """Take away what nobody refers to any more."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows import maintain

        return maintain.freed_sentence(maintain.maintain.fn(str(settings.home), pipeline, options.dry_run))

    return _carried_out(work)


def _no_champion(settings: Settings, pipeline: str) -> str:
    """Why there is none, and what helps; asked first: a step that fails for it would leave an error on the run's page.

    Empty where there is one.
    """
    from treadle.flows.champion.pending import no_champion_error
    from treadle.infra.databases.ledger import Ledger

    ledger = Ledger(settings.ledger)
    if ledger.champion(pipeline) is not None:
        return ""
    error = no_champion_error(ledger, pipeline)
    return f"{error.message}; {error.way_out}"


def _carried_out(work: Callable[[Settings, str], str]) -> State[None]:
    """Do the run's work, on the home of TREADLE_HOME and the pipeline after which its deployment is named.

    What it says at its end is the run's message; an error says what is wrong and the way out. Where a database or
    server does not answer, it begins again after a pause, as often as there are `PAUSES`. Where the process is killed,
    the next one closes the runs within this run.
    """
    from treadle.infra import orchestrator
    from treadle.infra import settings as settings_

    if runtime.flow_run.run_count > LIVES:
        return Failed(
            message=f"This run was killed {LIVES} times, and is not taken up again. See in its logs where it ended; "
            "make room or mend what kills it, then run the deployment anew."
        )
    settings, pipeline = settings_.find_home(), str(runtime.deployment.name)
    log.setLevel(logging.INFO)  # what `events` tell goes to the run's page
    with orchestrator.present_command(settings):
        for pause in (*PAUSES, None):
            try:
                return Completed(message=work(settings, pipeline))
            except AWAY as error:
                told = command_names.with_pipeline(
                    error.message if isinstance(error, TreadleError) else str(error), pipeline
                )
                if pause is None:
                    return Failed(message=f"{told}\nAfter {len(PAUSES)} more attempts it was left.")
                log.warning("%s; beginning again in %g s", told, pause)
            except TreadleError as error:
                return Failed(message=command_names.with_pipeline(str(error), pipeline))
            time.sleep(pause)
    raise AssertionError("the last attempt has no pause after it")
