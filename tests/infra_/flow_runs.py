"""What a Prefect server knows of a flow's runs, for the tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


def runs(url: str, name: str) -> list[FlowRun]:
    """The runs of the flow called `name`, newest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = FlowFilter.model_validate({"name": {"any_": [name]}})
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_filter=wanted)
