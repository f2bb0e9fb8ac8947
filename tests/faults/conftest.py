from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Stages, Workshop
from treadle.infra import orchestrator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.infra.settings import Settings


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory, server_home: Settings) -> Iterator[Stages]:
    """A home that was left alone, as it was before and after each command of its life."""
    folder = tmp_path_factory.mktemp("kills")
    with Workshop(folder / "workshop", orchestrator.server_state(server_home).url) as workshop:
        yield Stages(workshop, folder)
