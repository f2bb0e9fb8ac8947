"""`treadle down`: end the Prefect servers that this home started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from infra.settings import Settings


class DownResult(BaseModel):
    """The homes whose server was ended: this one, and homes under its `.treadle/` (the demo's)."""

    model_config = ConfigDict(frozen=True)

    home: str
    ended: tuple[str, ...]

    def exit_code(self) -> int:
        """0, also when nothing was at work."""
        return 0


def run(settings: Settings) -> DownResult:
    """End the servers; what flows recorded stays, and the next command starts a server again.

    Raises ServiceError where a server belongs to another user.
    """
    from infra import orchestrator

    return DownResult(home=str(settings.home), ended=orchestrator.down(settings))
