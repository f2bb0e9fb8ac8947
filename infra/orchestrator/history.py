"""A pipeline's runs on Prefect's pages that have ended long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from treadle.infra.settings import Settings

PAGE = 200
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def ended(
    client: SyncPrefectClient, settings: Settings, pipeline: str, tag: str, flows: Sequence[str], before: datetime
) -> list[UUID]:
    """Runs of `flows` that ended before that moment: of this home's deployments, tagged `tag`, and of its commands.

    On the home's own server, runs of commands from before the home was relocated are included.
    """
    own = not settings.prefect_api_url
    deployments = set(_deployments(client, settings, pipeline, tag))

    def ours(run: FlowRun) -> bool:
        if run.deployment_id is not None:
            return run.deployment_id in deployments
        parameters = run.parameters
        return parameters.get("pipeline") == pipeline and (own or parameters.get("home") == str(settings.home))

    return [run.id for run in _over(client, flows, before) if ours(run)]


def _over(client: SyncPrefectClient, flows: Sequence[str], before: datetime) -> Iterator[FlowRun]:
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    asked = {"state": {"type": {"any_": list(OVER)}}, "end_time": {"before_": before}}
    wanted, named = FlowRunFilter.model_validate(asked), FlowFilter.model_validate({"name": {"any_": list(flows)}})
    offset = 0
    while page := client.read_flow_runs(
        flow_filter=named, flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset
    ):
        offset += len(page)
        yield from page


def _deployments(client: SyncPrefectClient, settings: Settings, pipeline: str, tag: str) -> Iterator[UUID]:
    from prefect.client.schemas.filters import DeploymentFilter

    tagged = DeploymentFilter.model_validate({"tags": {"all_": [tag, pipeline]}})
    for one in client.read_deployments(deployment_filter=tagged, limit=PAGE):
        home = (one.job_variables or {}).get("env", {}).get("TREADLE_HOME")
        if not settings.prefect_api_url or home == str(settings.home):
            yield one.id


def forget(client: SyncPrefectClient, runs: Sequence[UUID]) -> None:
    """Delete them, with their logs; those that are gone already are passed over."""
    from prefect.exceptions import ObjectNotFound

    for run in runs:
        try:
            client.delete_flow_run(run)
        except ObjectNotFound:
            continue
