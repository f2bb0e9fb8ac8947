"""FAULTS 13, and two of any command at once: one has the effect, the others say so."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import FINE, LIFE, NAME, Command, difference, litter, snapshot
from treadle.infra import settings as settings_
from treadle.infra import stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness import Stages

CROWD_SECONDS = 900.0


def together(stages: Stages, home: Path, commands: list[tuple[str, ...]]) -> list[Command]:
    """All of them released at once, ended."""
    started = [stages.workshop.start(home, arguments) for arguments in commands]
    for command in started:
        command.wait(CROWD_SECONDS)
    return started


@pytest.mark.timeout(400)
def test_of_concurrent_retrains_one_runs_and_the_others_find_it_finished(stages: Stages) -> None:
    home = stages.home("train")
    ended = together(stages, home, [LIFE["train"]] * 4)
    assert [command.status for command in ended] == [0] * 4, "\n".join(command.said() for command in ended)
    assert sum("this run is finished already" in command.said() for command in ended) == 3
    assert sum("waiting for" in command.said() for command in ended) == 3
    found = snapshot(home)
    assert found == stages.after["train"], difference(stages.after["train"], found)
    assert litter(home) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "stage", ["ingest", "score", *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("labels", "monitor"))]
)
def test_two_of_one_command_have_one_effect(stages: Stages, stage: str) -> None:
    home = stages.home(stage)
    ended = together(stages, home, [LIFE[stage]] * 2)
    assert all(command.status in FINE for command in ended), "\n".join(command.said() for command in ended)
    found = snapshot(home)
    assert found == stages.after[stage], difference(stages.after[stage], found)
    assert litter(home) == []


def test_promotes_of_two_versions_at_once_move_one_step_each_or_say_who_was_first(stages: Stages) -> None:
    home = stages.home("rollback")
    ended = together(stages, home, [("promote", "1", "--reason", "a"), ("promote", "2", "--reason", "b")])
    moves = stores.open(settings_.at(home), NAME).ledger.history(NAME)[::-1]
    assert [(one.version_from, one.version_to) for one in moves[:2]] == [(None, 1), (1, 2)]
    assert all(before.version_to == after.version_from for before, after in pairwise(moves))
    assert not any(one.pending for one in moves)
    for command in ended:
        said = command.said()
        assert command.status == 0 or "is the champion already" in said or "by now, not version" in said, said
    assert stores.open(settings_.at(home), NAME).registry.champion_alias() == moves[-1].version_to


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_twenty_commands_released_at_once_are_all_understood(stages: Stages) -> None:
    home = stages.home("ingest")
    commands = [LIFE["ingest"]] * 5 + [LIFE["train"]] * 10 + [("models",)] * 2 + [LIFE["score"]] * 3
    ended = together(stages, home, commands)
    for command in ended:
        said = command.said()
        assert command.status in (*FINE, 2), said
        assert command.status != 2 or "no champion yet" in said, said
        assert "unexpected" not in said
        assert "Traceback" not in said
    assert stages.workshop.run(home, LIFE["score"]).status in FINE
    opened = stores.open(settings_.at(home), NAME)
    assert len(opened.ledger.versions(NAME)) == 1
    found, alone = snapshot(home), stages.after["score"]
    for name in ("rows", "quarantine", "predictions", "batches", "moves", "files", "refused"):
        assert found[name] == alone[name], name
    assert litter(home) == []
