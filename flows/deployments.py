"""What a server runs by itself: for every pipeline the deployments `ingest`, `train`, `score` and `monitor`.

A deployment's full name is the work and the pipeline, `ingest/customers`. `apply` makes the server's what the files in
`pipelines/` say, `differs` tells where they are not (without asking the server), `start` makes a run of one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from tasks.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

    from infra.settings import Settings
    from tasks.config import PipelineConfig

POOL = "treadle"
"""The work pool (type process) whose workers run the deployments."""

TAG = "treadle"
"""Every deployment of ours bears it, and the runs that it makes."""

HEARTBEAT_SECONDS = 30

Work = Literal["ingest", "train", "score", "monitor"]
WORKS: tuple[Work, ...] = get_args(Work)

ABOUT: dict[Work, str] = {
    "ingest": "Takes new files of `{0}` through the contract into rows, labels and quarantine.",
    "train": "Trains a challenger for `{0}`, judges it, and promotes it if it is better.",
    "score": "Predicts the rows of `{0}` that have neither label nor prediction.",
    "monitor": "What the predictions of `{0}` turned out to be worth, and whether it is time to train again.",
}


class Change(BaseModel):
    """What became of one deployment, or of a pipeline whose file cannot be obeyed (`refused`, with the reason)."""

    model_config = ConfigDict(frozen=True)

    name: str
    what: Literal["created", "updated", "retired", "refused"]
    why: str = ""

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.name} {self.what}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Plan:
    """One deployment as it should be. `schedule` is cron's five fields, read in `timezone`; empty: none."""

    home: Path
    pipeline: str
    work: Work
    schedule: str
    timezone: str

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.work}/{self.pipeline}"

    @property
    def about(self) -> str:
        """For the deployment's page."""
        return ABOUT[self.work].format(self.pipeline)

    @property
    def scheduled(self) -> dict[str, Any]:
        """What a run by schedule is told: train only when it is due."""
        return {"options": {"if_due": True}} if self.work == "train" else {}

    @property
    def entrypoint(self) -> str:
        """The flow, as a worker imports it."""
        return f"flows.deployed.{self.work}"

    @property
    def environment(self) -> dict[str, str]:
        """What a run's process finds beside the worker's own environment."""
        from infra.orchestrator import run_environment

        return run_environment(self.home, HEARTBEAT_SECONDS)

    @cached_property
    def digest(self) -> str:
        """The same for the same deployment; stands as its version."""
        told = [self.name, self.schedule, self.timezone, self.about, self.scheduled, self.entrypoint, self.environment]
        form = Path(__file__).with_name("deployed.py").read_bytes()  # to import it would cost a second
        return hashlib.sha256(form + json.dumps(told).encode()).hexdigest()[:12]


class Plans(NamedTuple):
    """The deployments that the files ask for, and the pipelines whose file we do not obey."""

    wanted: tuple[Plan, ...]
    refused: dict[str, ConfigError]


def plans(settings: Settings) -> Plans:
    """Read every file in `pipelines/`; one that is wrong is in nobody's way."""
    from tasks import config as config_

    wanted: list[Plan] = []
    refused: dict[str, ConfigError] = {}
    for file in sorted((settings.home / "pipelines").glob("[!.]*.toml")):
        try:
            config = config_.load(file)
        except ConfigError as error:
            refused[file.stem] = error
        else:
            wanted.extend(_plan(settings, config, work) for work in WORKS)
    return Plans(tuple(wanted), refused)


def _plan(settings: Settings, config: PipelineConfig, work: Work) -> Plan:
    schedules = {
        "train": config.retrain.schedule,
        "score": config.score.schedule,
        "monitor": config.monitor.schedule,
    }
    return Plan(settings.home, config.name, work, schedules.get(work, ""), config.data.timezone or "UTC")


def apply(settings: Settings) -> tuple[Change, ...]:
    """Create, update and retire deployments until the server's are those of the files; what was changed.

    Starts the home's server where it is not at work. A retired deployment's runs stay on their pages. A pipeline whose
    file cannot be read keeps the deployments that it has. Of runs that piled up meanwhile one of each kind is left.
    Raises ServiceError where the server does not answer, or has another home's deployment by one of our names.
    """
    from flows import automations
    from infra.orchestrator import connected, flow_context

    found = plans(settings)
    with flow_context(settings), connected() as client:
        _make_pool(client)
        there = {f"{work}/{one.name}": one for work, one in _ours(client, settings)}
        changes: list[Change] = []
        identities: dict[str, UUID] = {}
        for plan in found.wanted:
            before = there.pop(plan.name, None)
            if before is not None and before.version == plan.digest:
                identities[plan.name] = before.id
                continue
            identities[plan.name] = _deploy(client, plan)
            changes.append(Change(name=plan.name, what="updated" if before else "created"))
        for name, left in there.items():
            if left.name in found.refused:
                identities[name] = left.id
                continue
            client.delete_deployment(left.id)
            changes.append(Change(name=name, what="retired", why=f"pipelines/{left.name}.toml is gone"))
        for identity in identities.values():
            _thin_out(client, identity)
        automations.apply(client, settings, identities)
    _remember(settings, found)
    changes += [Change(name=name, what="refused", why=error.message) for name, error in found.refused.items()]
    return tuple(changes)


def _make_pool(client: SyncPrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type="process", description="Runs of treadle's deployments"), overwrite=True
        )


def _ours(client: SyncPrefectClient, settings: Settings) -> Iterator[tuple[str, DeploymentResponse]]:
    """The deployments of this home: all of ours on its own server, on another those that name the home."""
    from prefect.client.schemas.filters import DeploymentFilter

    tagged = DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
    flows: dict[UUID, str] = {}
    offset = 0
    while page := client.read_deployments(deployment_filter=tagged, limit=200, offset=offset):
        offset += len(page)
        for one in page:
            home = (one.job_variables or {}).get("env", {}).get("TREADLE_HOME")
            if settings.prefect_api_url and home != str(settings.home):
                continue
            if one.flow_id not in flows:
                flows[one.flow_id] = client.read_flow(one.flow_id).name
            yield flows[one.flow_id], one


def _deploy(client: SyncPrefectClient, plan: Plan) -> UUID:
    """Create the deployment, or make it what the plan says."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.utilities.callables import parameter_schema

    _check_free(client, plan)
    flow = _flow(plan.work)
    schedules = []
    if plan.schedule:
        when = CronSchedule(cron=plan.schedule, timezone=plan.timezone)
        schedules.append(DeploymentScheduleCreate(schedule=when, parameters=plan.scheduled, slug=plan.work))
    form = {**parameter_schema(flow).model_dump_for_openapi(), "additionalProperties": False}
    return client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=plan.pipeline,
        version=plan.digest,
        description=plan.about,
        tags=[TAG, plan.pipeline],
        schedules=schedules,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        work_pool_name=POOL,
        entrypoint=plan.entrypoint,
        pull_steps=[],
        parameter_openapi_schema=form,
        enforce_parameter_schema=True,
        job_variables={"env": plan.environment},
    )


def _check_free(client: SyncPrefectClient, plan: Plan) -> None:
    """Raise ServiceError where the name is taken by another home's deployment, or by one that is not ours."""
    from prefect.exceptions import ObjectNotFound

    from infra import settings

    try:
        there = client.read_deployment_by_name(plan.name)
    except ObjectNotFound:
        return
    home = (there.job_variables or {}).get("env", {}).get("TREADLE_HOME")
    if settings.at(plan.home).prefect_api_url and home != str(plan.home):
        raise ServiceError(
            f"the server has a deployment {plan.name} already, of {home or 'somebody else'}",
            "rename the pipeline, or delete that deployment on the server's page",
        )


def _flow(work: Work) -> Flow[Any, Any]:
    from flows import deployed

    flows: dict[Work, Flow[Any, Any]] = {
        "ingest": deployed.ingest,
        "train": deployed.train,
        "score": deployed.score,
        "monitor": deployed.monitor,
    }
    return flows[work]


def start(settings: Settings, pipeline: str, work: Work, **options: object) -> str:
    """Make a run of a deployment, for a worker to take up; the run's id.

    One that waits to begin with the same options is as good as another. `options` are those of the run form. Raises
    ServiceError where there is no such deployment, or it refuses the options.
    """
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    from infra.orchestrator import connected, flow_context

    with flow_context(settings), connected() as client:
        try:
            deployment = client.read_deployment_by_name(f"{work}/{pipeline}")
            parameters = {"options": dict(options)} if options else {}
            for run in _waiting(client, deployment.id):
                if run.parameters == parameters:
                    return str(run.id)
            return str(client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id)
        except ObjectNotFound as error:
            raise ServiceError(f"no deployment {work}/{pipeline} on the server", "make it: treadle up") from error
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise
            raise ServiceError(
                f"{work}/{pipeline} refuses these options: {error.response.json().get('detail')}",
                "the deployment's run form says what it takes",
            ) from error


def _waiting(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """Runs that nobody has begun yet although it is time."""
    from prefect.client.schemas.filters import FlowRunFilter

    due = {
        "deployment_id": {"any_": [deployment]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "next_scheduled_start_time": {"before_": datetime.now(UTC)},
    }
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(due))


def _thin_out(client: SyncPrefectClient, deployment: UUID) -> None:
    """Of runs that piled up while no worker was there, leave one of each kind: it does the work of all."""
    seen: list[dict[str, Any]] = []
    for run in sorted(_waiting(client, deployment), key=lambda run: -run.run_count):  # those that were killed go on
        if run.parameters in seen:
            client.delete_flow_run(run.id)
        seen.append(run.parameters)


def attended(settings: Settings) -> bool:
    """Whether a worker is there that takes runs up."""
    from prefect.exceptions import ObjectNotFound

    from infra.orchestrator import connected, flow_context

    with flow_context(settings), connected() as client:
        try:
            return any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(POOL))
        except ObjectNotFound:
            return False


def differs(settings: Settings) -> tuple[str, ...]:
    """What `apply` would change, a sentence each, by what it remembers; empty where it never ran."""
    try:
        known: dict[str, str] = json.loads(_memory(settings).read_text())
    except (OSError, ValueError):
        return ()
    found = plans(settings)
    names = {plan.name: plan.digest for plan in found.wanted}
    changed = [f"{name} is not yet what its file says" for name in names if known.get(name) != names[name]]
    gone = [name for name in known if name not in names and name.partition("/")[2] not in found.refused]
    changed += [f"{name} is of a pipeline whose file is gone" for name in gone]
    return (*changed, *(f"{name} cannot be deployed: {error.message}" for name, error in found.refused.items()))


def _remember(settings: Settings, found: Plans) -> None:
    """Keep what was applied, where `differs` finds it."""
    path = _memory(settings)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({plan.name: plan.digest for plan in found.wanted}))
    aside.replace(path)


def _memory(settings: Settings) -> Path:
    return settings.state / "deployments.json"
