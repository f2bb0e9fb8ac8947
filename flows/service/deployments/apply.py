"""Apply the files in `pipelines/` to a server's deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from treadle.flows.project.deployment_plans import TAG, plans, remember
from treadle.flows.service.deployments.runs import delete_repeated_runs
from treadle.infra.orchestrator.server import POOL
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from treadle.flows.project.deployment_plans import Plan, WorkKind
    from treadle.infra.settings import Settings
    from treadle.tasks.errors import ConfigError


class DeploymentChange(BaseModel):
    """What was done with one deployment, and why."""

    model_config = ConfigDict(frozen=True)

    name: str
    what: Literal["created", "updated", "retired"]
    why: str = ""

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.name} {self.what}" + (f": {self.why}" if self.why else "")


class Applied(NamedTuple):
    """The changes that were made, and by pipeline the errors of the files that could not be deployed."""

    changes: tuple[DeploymentChange, ...]
    refused: Mapping[str, ConfigError]


def apply_deployments(settings: Settings) -> Applied:
    """Create, update and retire deployments so that the server's are those of the files.

    Starts the home's server where it is not running. The runs of a retired deployment keep their pages. A pipeline
    whose file cannot be read keeps its deployments. Equal runs that wait to begin are merged into one. Raises
    ServiceError where the server does not answer, or has another home's deployment by one of our names.
    """
    from treadle.flows.service import automations
    from treadle.infra.orchestrator import connected, flow_context

    planned = plans(settings)
    with flow_context(settings), connected() as client:
        _make_pool(client)
        present = {f"{work}/{deployment.name}": deployment for work, deployment in _ours(client, settings)}
        changes: list[DeploymentChange] = []
        identities: dict[str, UUID] = {}
        for plan in planned.wanted:
            before = present.pop(plan.name, None)
            if before is not None and before.version == plan.digest:
                identities[plan.name] = before.id
                continue
            identities[plan.name] = _deploy(client, plan)
            if plan.schedule:  # the server's own scheduler creates the next runs seconds later
                address = {"id": str(identities[plan.name])}
                client.request("POST", "/deployments/{id}/schedule", path_params=address, json={}).raise_for_status()
            changes.append(DeploymentChange(name=plan.name, what="updated" if before else "created"))
        for name, unplanned in present.items():
            if unplanned.name in planned.refused:
                identities[name] = unplanned.id
                continue
            client.delete_deployment(unplanned.id)
            changes.append(DeploymentChange(name=name, what="retired", why=f"pipelines/{unplanned.name}.toml is gone"))
        for identity in identities.values():
            delete_repeated_runs(client, identity)
        automations.apply_automations(client, settings, identities)
    remember(settings, planned)
    return Applied(tuple(changes), planned.refused)


def merge_waiting_runs(settings: Settings) -> None:
    """Delete all but one of equal runs that wait to begin, as `apply_deployments` does."""
    from treadle.infra.orchestrator import connected, flow_context

    with flow_context(settings), connected() as client:
        for _, deployment in _ours(client, settings):
            delete_repeated_runs(client, deployment.id)


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
    """This home's deployments with their flows' names: on its own server all with our tag, else those of the home."""
    from prefect.client.schemas.filters import DeploymentFilter

    tagged = DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
    flows: dict[UUID, str] = {}
    offset = 0
    while page := client.read_deployments(deployment_filter=tagged, limit=200, offset=offset):
        offset += len(page)
        for deployment in page:
            home = (deployment.job_variables or {}).get("env", {}).get("TREADLE_HOME")
            if settings.prefect_api_url and home != str(settings.home):
                continue
            if deployment.flow_id not in flows:
                flows[deployment.flow_id] = client.read_flow(deployment.flow_id).name
            yield flows[deployment.flow_id], deployment


def _deploy(client: SyncPrefectClient, plan: Plan) -> UUID:
    """Create the deployment, or update it to the plan; returns its id."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.utilities.callables import parameter_schema

    _check_free(client, plan)
    flow = _flow(plan.work)
    schedules = []
    if plan.schedule:
        when = CronSchedule(cron=plan.schedule, timezone=plan.timezone)
        schedules.append(DeploymentScheduleCreate(schedule=when, parameters=plan.scheduled))
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
    """Raise ServiceError where another home or another program has a deployment of this name."""
    from prefect.exceptions import ObjectNotFound

    from treadle.infra import settings

    try:
        present = client.read_deployment_by_name(plan.name)
    except ObjectNotFound:
        return
    home = (present.job_variables or {}).get("env", {}).get("TREADLE_HOME")
    if settings.at(plan.home).prefect_api_url and home != str(plan.home):
        raise ServiceError(
            f"the server has a deployment {plan.name} already, of {home or 'another program'}",
            "rename the pipeline, or delete that deployment on the server's page",
        )


def _flow(work: WorkKind) -> Flow[Any, Any]:
    from treadle.flows.service.deployments import entrypoints

    flow: Flow[Any, Any] = getattr(entrypoints, f"{work}_deployment")  # as the entry point names it
    return flow
