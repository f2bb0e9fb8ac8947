"""`treadle down`: stop `treadle up`, what it keeps running, and the Prefect servers that this home started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from treadle.infra.settings import Settings


class DownResult(BaseModel):
    """The homes whose Prefect server was stopped, and those that were up: this one, and homes under its `.treadle/`."""

    model_config = ConfigDict(frozen=True)

    home: str
    ended: tuple[str, ...]
    no_longer_up: tuple[str, ...]

    def exit_code(self) -> int:
        """0, also when nothing was running."""
        return 0


def run_down(settings: Settings) -> DownResult:
    """Stop `up`, its worker with its runs, MLflow's server, then Prefect's; what flows recorded stays.

    Raises ServiceError where a process belongs to another user.
    """
    from treadle.infra import orchestrator, supervisor
    from treadle.infra import settings as settings_

    homes = [place.parent.parent for place in orchestrator.homes(settings)]
    up = tuple(str(home) for home in homes if supervisor.stop_up(settings_.at(home)))
    return DownResult(home=str(settings.home), ended=orchestrator.stop_servers(settings), no_longer_up=up)
