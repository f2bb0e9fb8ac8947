"""The flows of the deployments: started by the run form, a schedule, an event or `deployments.start_run`.

A run of `ingest/customers` does on the pipeline `customers` what `treadle ingest` does there: the deployment's name is
the pipeline, and TREADLE_HOME the home. The options of each flow are one model that refuses unknown fields, because
Prefect ignores them.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State  # noqa: TC002 - Prefect reads the signatures of flows
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, Field

from treadle.flows.context.named_pipeline import errors_name
from treadle.flows.context.retries import UNAVAILABLE
from treadle.infra.orchestrator.dead_runs import MAX_STARTS
from treadle.infra.orchestrator.failures import label_failure
from treadle.tasks.device import DeviceName
from treadle.tasks.errors import DataError, TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun

    from treadle.infra.settings import Settings

log = logging.getLogger("treadle")

PAUSES = (5.0, 15.0, 40.0, 60.0)
"""Seconds before each new attempt where a database or server does not answer; after the last one the run fails."""


def _in_a_form(schema: dict[str, Any]) -> None:
    """Change a schema for Prefect's form: an optional field is one input, not a choice between a type and `None`."""
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
    """The options of a deployment's run."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_in_a_form)


class IngestOptions(Options):
    """What to ingest."""

    paths: tuple[str, ...] = Field(
        (), title="Files", description="only these files, folders or globs of the project; none: all new files"
    )
    labels: bool = Field(default=False, title="Late labels", description="the files hold late labels")


class TrainOptions(Options):
    """When, how long and where to train; the defaults are those of the pipeline's file."""

    if_due: bool = Field(
        default=False, title="Only if due", description="train only where a rule of [retrain] calls for it"
    )
    trials: int | None = Field(None, ge=1, le=10_000, title="Trials", description="at most so many trials")
    budget_seconds: float | None = Field(None, gt=0, title="Budget in seconds", description="for search and fits")
    device: DeviceName | None = Field(
        None, title="Device", description="where to train: auto, cpu, cuda or cuda:N (N: number of the GPU)"
    )
    again: bool = Field(
        default=False, title="Again", description="another run where the same data and config were trained on"
    )


class ScoreOptions(Options):
    """What to predict."""

    rescore: bool = Field(
        default=False, title="Rescore", description="also batches that another champion has scored; both are kept"
    )


class MonitorOptions(Options):
    """There are none."""


class PromoteOptions(Options):
    """A person's decision about a version."""

    version: int = Field(ge=1, title="Version", description="the version that becomes champion")
    reason: str = Field(pattern=r"\S", title="Reason", description="why; the ledger keeps it")
    decline: bool = Field(default=False, title="Decline", description="reject this pending version instead")


class MaintainOptions(Options):
    """Whether to delete anything."""

    dry_run: bool = Field(
        default=False, title="Dry run", description="say what would be deleted and how much that frees; delete nothing"
    )


def _name() -> str:
    return f"{runtime.flow_run.flow_name} {runtime.deployment.name}"


def notify_people(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send alerts when a run has ended; at this point the server knows the run's final state."""
    from treadle.flows.service.alerts import delivery
    from treadle.infra import settings as settings_

    delivery.notify_after_run(settings_.find_home(), str(runtime.deployment.name))


INGEST, TRAIN, SCORE, MONITOR = IngestOptions(), TrainOptions(), ScoreOptions(), MonitorOptions()
MAINTAIN = MaintainOptions()


@flow(name="ingest", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def ingest_deployment(options: IngestOptions = INGEST) -> State[None]:
    """Validate the new files of the pipeline's sources against its contract and store their rows and labels."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.ingest import ingest

        paths = [str(Path(settings.home, path)) for path in options.paths]
        result = ingest.fn(str(settings.home), pipeline, paths, options.labels)
        files = [*(batch.status for batch in result.batches), *(batch.status for batch in result.labels.batches)]
        refused = sum(status in {"refused", "unreadable"} for status in files)
        if result.closed:  # a person has to act, and the run is retried; all other files are ingested
            raise DataError("; ".join(result.closed), "give treadle the right to read it, or remove it")
        labels = result.labels.new + result.labels.revised
        clauses = [
            f"{len(files)} new {'file' if len(files) == 1 else 'files'}: {result.accepted:,} rows accepted, "
            f"{result.quarantined:,} quarantined, {labels:,} labels new or revised",
            *([f"{refused} refused whole"] if refused else []),
            *result.growing,
        ]
        return "; ".join(clauses)

    return _run_with_retries(work)


@flow(name="train", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def train_deployment(options: TrainOptions = TRAIN) -> State[None]:
    """Train a challenger on the accepted rows, judge it, and promote it if it is better."""

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
        message = f"{result.decision}: {result.headline}"
        if isinstance(result, TrainResult) and result.waits:
            message += f"; it waits for a person: treadle promote {result.version} --reason '...' -p {pipeline}"
        return message

    return _run_with_retries(work)


@flow(name="score", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def score_deployment(options: ScoreOptions = SCORE) -> State[None]:
    """Predict the rows that have no label and no prediction yet."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.score import score

        if missing := _no_champion(settings, pipeline):
            return f"nothing was scored: {missing}"
        result = score.fn(str(settings.home), pipeline, options.rescore)
        return f"{result.rows:,} rows scored by version {result.version}"

    return _run_with_retries(work)


@flow(name="monitor", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def monitor_deployment(options: MonitorOptions = MONITOR) -> State[None]:
    """Compare the champion's predictions with labels, and the newest data with the rows it was trained on."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.monitor import monitor

        if missing := _no_champion(settings, pipeline):
            return f"nothing was measured: {missing}"
        result = monitor.fn(str(settings.home), pipeline)
        return f"retraining is due: {result.reason}" if result.due else "nothing is due"

    return _run_with_retries(work)


@flow(name="promote", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def promote_deployment(options: PromoteOptions) -> State[None]:
    """Make a version the champion because a person says so, or decline a pending one."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows.champion import promote
        from treadle.tasks.config.load import load_config

        config = load_config(settings.home / "pipelines" / f"{pipeline}.toml")
        result = promote.run_promote(settings, config, options.version, options.reason, decline=options.decline)
        return f"version {result.to} is {'declined' if result.declined else 'the champion'}: {result.reason}"

    return _run_with_retries(work)


@flow(name="maintain", flow_run_name=_name, on_completion=[notify_people], on_failure=[notify_people])
def maintain_deployment(options: MaintainOptions = MAINTAIN) -> State[None]:
    """Delete what is no longer needed."""

    def work(settings: Settings, pipeline: str) -> str:
        from treadle.flows import maintain

        return maintain.freed_sentence(maintain.maintain.fn(str(settings.home), pipeline, options.dry_run))

    return _run_with_retries(work)


def _no_champion(settings: Settings, pipeline: str) -> str:
    """Why the pipeline has no champion, and the fix; empty where it has one.

    Called before any step: a step that fails for want of a champion would leave an error on the run's page.
    """
    from treadle.flows.champion.pending import no_champion_error
    from treadle.infra.databases.ledger import Ledger

    ledger = Ledger(settings.ledger)
    if ledger.champion(pipeline) is not None:
        return ""
    error = no_champion_error(ledger, pipeline)
    return f"{error.message}; {error.fix}"


def _run_with_retries(work: Callable[[Settings, str], str]) -> State[None]:
    """Call `work` with the home of TREADLE_HOME and the deployment's pipeline; returns the run's final state.

    The state's message is what `work` returns, or the error with its fix. Where a database or server does not answer,
    `work` is called again after each of `PAUSES`. Where the process is killed, the next one closes the runs within this
    run.
    """
    from treadle.infra import orchestrator
    from treadle.infra import settings as settings_

    if runtime.flow_run.run_count > MAX_STARTS:
        return Failed(
            message=f"This run was killed {MAX_STARTS} times and is not started again. See in its logs where it ended; "
            "free memory or disk or fix what kills it, then run the deployment again."
        )
    settings, pipeline = settings_.find_home(), str(runtime.deployment.name)
    log.setLevel(logging.INFO)  # events are shown on the run's page
    with orchestrator.present_command(settings):
        for pause in (*PAUSES, None):
            try:
                with errors_name(pipeline):
                    return Completed(message=work(settings, pipeline))
            except UNAVAILABLE as error:
                message = error.message if isinstance(error, TreadleError) else str(error)
                if pause is None:
                    label_failure(error)
                    return Failed(message=f"{message}\nIt failed after {len(PAUSES)} more attempts.")
                log.warning("%s; trying again in %g s", message, pause)
            except TreadleError as error:
                label_failure(error)
                return Failed(message=str(error))
            time.sleep(pause)
    raise AssertionError("the last attempt has no pause after it")
