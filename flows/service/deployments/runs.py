"""Runs of deployments: create one, list and merge those that wait to begin; and whether a worker is online."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from treadle.infra.orchestrator.server import POOL
from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from treadle.flows.project.deployment_plans import WorkKind
    from treadle.infra.settings import Settings


def start_run(settings: Settings, pipeline: str, work: WorkKind, **options: object) -> str:
    """Create a run of a deployment for a worker to start; returns the run's id.

    Where a run with the same options waits to begin already, returns that one. `options` are those of the run form.
    Raises ServiceError where there is no such deployment, or it refuses the options.
    """
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    from treadle.infra.orchestrator import connected, flow_context

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
    """Runs that are due and that no worker has started yet."""
    from prefect.client.schemas.filters import FlowRunFilter

    due = {
        "deployment_id": {"any_": [deployment]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "next_scheduled_start_time": {"before_": datetime.now(UTC)},
    }
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(due))


def delete_repeated_runs(client: SyncPrefectClient, deployment: UUID) -> None:
    """Delete waiting runs with the same options but one of each: they accumulate while no worker is online."""
    kept: list[dict[str, Any]] = []
    for run in sorted(_waiting(client, deployment), key=lambda run: -run.run_count):  # keep runs that had begun
        if run.parameters in kept:
            client.delete_flow_run(run.id)
        kept.append(run.parameters)


def worker_online(settings: Settings) -> bool:
    """Whether a worker is online."""
    from prefect.exceptions import ObjectNotFound

    from treadle.infra.orchestrator import connected, flow_context

    with flow_context(settings), connected() as client:
        try:
            return any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(POOL))
        except ObjectNotFound:
            return False
