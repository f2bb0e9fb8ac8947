from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.service import down
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    from pathlib import Path


def test_where_nothing_is_at_work_nothing_happens(home: Path) -> None:
    result = down.run_down(settings_.at(home))
    assert result.ended == ()
    assert result.exit_code() == 0
    assert not (home / ".treadle").exists()


def test_a_server_that_a_variable_names_is_left_alone(home: Path, prefect_server: str) -> None:
    from treadle.infra import orchestrator

    settings = settings_.at(home)
    assert down.run_down(settings).ended == ()
    assert orchestrator.server_state(settings).state is orchestrator.ServerPhase.RUNNING
