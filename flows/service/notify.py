"""`treadle notify`: an upstream system says that there is data; the server's worker takes it in, not this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.tasks.errors import ServiceError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig


class NotifyResult(BaseModel):
    """The run of `ingest` that was asked for: one that waits to begin serves everybody who asks meanwhile.

    `worker` says whether anybody is there to take it up.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run: str
    page: str
    worker: bool

    def exit_code(self) -> int:
        """0: the run is kept where no worker is there yet."""
        return 0


def run_notify(settings: Settings, config: PipelineConfig) -> NotifyResult:
    """Ask for a run of the pipeline's deployment `ingest`.

    Raises ServiceError where no server is up, or it has no such deployment.
    """
    from treadle.flows.service import deployments
    from treadle.infra import orchestrator

    if orchestrator.server_state(settings).state is not orchestrator.ServerPhase.RUNNING:
        raise ServiceError(
            "nothing is up here that could take data in",
            f"start it: treadle up; or take it in yourself: treadle ingest -p {config.name}",
        )
    wanted = deployments.start_run(settings, config.name, "ingest")
    return NotifyResult(
        pipeline=config.name,
        run=wanted,
        page=f"{orchestrator.ui_url(settings)}/runs/flow-run/{wanted}",
        worker=deployments.worker_online(settings),
    )
