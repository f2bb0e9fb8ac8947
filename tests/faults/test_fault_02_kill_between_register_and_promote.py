"""FAULTS 2: a kill between register and promote; the champion is unchanged until the promotion is whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import LIFE, NAME
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from tests.faults.harness import Stages


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("place", "champion", "pending", "alias"),
    [
        ("ledger.version:after", None, None, None),
        pytest.param("ledger.promotion:before", None, None, None, marks=pytest.mark.slow),
        ("ledger.promotion:after", 1, True, None),
        pytest.param("mlflow.alias:after", 1, True, 1, marks=pytest.mark.slow),
    ],
)
def test_the_move_is_made_once_and_the_alias_follows(
    stages: Stages, place: str, champion: int | None, pending: bool | None, alias: int | None
) -> None:
    home = stages.home("train")
    killed = stages.workshop.run(home, LIFE["train"], TREADLE_FAILPOINT=place)
    assert killed.status == -signal.SIGKILL, killed.said()
    opened = stores.open(settings_.at(home), NAME)
    assert len(opened.ledger.versions(NAME)) == 1
    move = opened.ledger.champion(NAME)
    assert (move.version_to if move else None, move.pending if move else None) == (champion, pending)
    assert opened.registry.champion_alias() == alias
    stages.check(home, "train", place)
