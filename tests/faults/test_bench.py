"""The bench measures what it says: flows without Prefect still do their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench import prefect_cost
from tests.faults import harness
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Stages


@pytest.mark.parametrize(("flow", "table"), [("ingest", "rows"), ("score", "predictions")])
def test_a_flow_does_its_work_without_prefect(stages: Stages, tmp_path: Path, flow: str, table: str) -> None:
    home = tmp_path / "home"
    prefect_cost.seconds(stages.before[flow], flow, "without", home)
    before = stores.open(settings_.at(stages.before[flow]), harness.NAME).tables.version(table)
    assert stores.open(settings_.at(home), harness.NAME).tables.version(table) > before
