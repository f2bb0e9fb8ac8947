"""`treadle notify`: an upstream system announces data; the server's worker ingests it, not this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


class NotifyResult(BaseModel):
    """The run of `ingest` that was requested, or an equal one that waits to begin already.

    `worker`: whether a worker is online that will start it.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run: str
    page: str
    worker: bool

    def exit_code(self) -> int:
        """0, also where no worker is online yet: the server keeps the run."""
        return 0


def run_notify(settings: Settings, config: PipelineConfig) -> NotifyResult:
    """Request a run of the pipeline's deployment `ingest`.

    Raises ServiceError where no server is running, or it has no such deployment.
    """
    from treadle.flows.service import deployments
    from treadle.infra import orchestrator

    if orchestrator.server_state(settings).state is not orchestrator.ServerPhase.RUNNING:
        raise ServiceError(
            "no Prefect server is running here that could ingest the data",
            f"start it: treadle up; or ingest the data now: treadle ingest -p {config.name}",
        )
    run = deployments.start_run(settings, config.name, "ingest")
    return NotifyResult(
        pipeline=config.name,
        run=run,
        page=f"{orchestrator.ui_url(settings)}/runs/flow-run/{run}",
        worker=deployments.worker_online(settings),
    )
