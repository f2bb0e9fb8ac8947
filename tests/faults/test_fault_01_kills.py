"""FAULTS 1: every flow may be killed at any moment; the same command then ends as if nothing had been."""

from __future__ import annotations

import ast
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import harness
from tests.faults.harness import INIT, LIFE
from tests.projects import prefect_database
from treadle.infra import failpoint, orchestrator
from treadle.infra import settings as settings_

if TYPE_CHECKING:
    from tests.faults.harness import Stages
    from treadle.infra.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("flows", "tasks", "expectations", "infra")

# the stage whose command reaches the failpoints that begin so, where it is not the first training
REACHED_BY = {
    "ingest.labels": "labels",
    "ingest": "ingest",
    "ledger.batch": "ingest",
    "score": "score",
    "outbox": "score",
    "ledger.promotion": "promote",
    "ledger.complete": "promote",
    "mlflow.alias": "promote",
}
ELSEWHERE = ("server.", "backup.", "moved.", "init.", "release.", "ledger.deci", "maintain.", "ledger.retired")
ELSEWHERE += ("ledger.withdrawal", "mlflow.alias_removed")
"""In tests of their own."""
ONE_OF_EACH_FLOW = (
    ("ingest.rows:after", "ingest"),
    ("ingest.labels:after", "labels"),
    ("workbench.value:after", "train"),
    ("score.output:after", "score"),
    ("mlflow.run:after", "monitor"),
    ("ledger.promotion:after", "promote"),
    ("ledger.complete:after", "rollback"),
)


def test_the_list_of_failpoints_is_that_of_the_code() -> None:
    used = [
        node.args[0].value
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "around"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(set(used)) == sorted(failpoint.NAMES)


def seed() -> int:
    """Another one every time, unless KILLS_SEED repeats a failure."""
    return int(os.environ.get("KILLS_SEED", str(time.time_ns() % 1_000_000)))


def random_kills(stages: Stages, wanted: int, seed: int) -> int:
    """Kill until `wanted` kills have hit commands at work; the number of homes that were hurt and came to the same."""
    print(f"seed {seed}")
    draw, hits, homes = random.Random(seed), 0, 0
    while hits < wanted:
        stage = draw.choice(("ingest", "train", "train", "score", "labels", "monitor", "train again"))
        home = stages.home(stage)
        for share in (0.9, 0.6, 0.4, 0.2):
            hits += harness.killed_at_random(stages.workshop, home, LIFE[stage], draw, share * stages.seconds[stage])
        homes += 1
        stages.check(home, stage, f"seed {seed}, home {homes}, {hits} kills so far: {stage}")
        shutil.rmtree(home)
    return homes


def random_kills_of_servers(stages: Stages, wanted: int, seed: int, server_home: Settings) -> int:
    """The same in homes with servers of their own, which die alone or with their commands."""
    print(f"seed {seed}")
    draw, hits, homes = random.Random(seed), 0, 0
    while hits < wanted:
        stage = draw.choice(("ingest", "train", "score", "labels", "monitor", "train again"))
        home = stages.home(stage)
        settings = settings_.at(home)
        prefect_database(home, server_home)
        try:
            for share in (0.9, 0.6, 0.3):
                spread = share * stages.seconds[stage]
                hits += harness.server_killed_at_random(stages.workshop, home, LIFE[stage], draw, spread)
            homes += 1
            told = f"seed {seed}, home {homes}, {hits} kills so far: {stage}"
            stages.check(home, stage, told, PREFECT_API_URL="")
            assert harness.open_runs(settings) == [], told
        finally:
            orchestrator.stop_servers(settings)
        shutil.rmtree(home)
    return homes


@pytest.mark.timeout(600)
def test_eight_random_kills_change_nothing(stages: Stages) -> None:
    assert random_kills(stages, 8, seed()) > 0


def killed_at(stages: Stages, place: str, stage: str) -> None:
    """Kill the stage's command at the failpoint; the same command must make good."""
    home = stages.home(stage)
    killed = stages.workshop.run(home, LIFE[stage], TREADLE_FAILPOINT=place)
    assert killed.status == -signal.SIGKILL, f"{place} was not reached\n{killed.said()}"
    stages.check(home, stage, f"{place} in {stage}")
    shutil.rmtree(home)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("place", "stage"), ONE_OF_EACH_FLOW)
def test_a_kill_at_one_failpoint_of_each_flow_changes_nothing(stages: Stages, place: str, stage: str) -> None:
    killed_at(stages, place, stage)


@pytest.mark.parametrize("place", ["init.schema:after", "init.suite:before", "init.suite:after", "init.config:before"])
def test_init_goes_on_after_a_kill(stages: Stages, tmp_path: Path, place: str) -> None:
    alone, hurt = harness.bare(tmp_path / "alone"), harness.bare(tmp_path / "hurt")
    assert stages.workshop.run(alone, INIT).status == 0
    assert stages.workshop.run(hurt, INIT, TREADLE_FAILPOINT=place).status == -signal.SIGKILL
    again = stages.workshop.run(hurt, INIT)
    assert again.status == 0, again.said()
    for name in (f"pipelines/{harness.NAME}.toml", f"expectations/{harness.NAME}.json"):
        assert (hurt / name).read_text() == (alone / name).read_text()
    assert harness.litter(hurt) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [f"{name}:{side}" for name in failpoint.NAMES for side in ("before", "after") if not name.startswith(ELSEWHERE)],
)
def test_a_kill_at_any_failpoint_changes_nothing(stages: Stages, place: str) -> None:
    stage = next((stage for begin, stage in REACHED_BY.items() if place.startswith(begin)), "train")
    killed_at(stages, place, stage)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_three_hundred_random_kills_change_nothing(stages: Stages) -> None:
    assert random_kills(stages, int(os.environ.get("KILLS", "300")), seed()) > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_random_kills_of_servers_and_their_commands_change_nothing(
    stages: Stages, server_home: Settings
) -> None:
    assert random_kills_of_servers(stages, int(os.environ.get("KILLS", "100")), seed(), server_home) > 0


def test_the_home_that_was_left_alone_had_a_life(stages: Stages) -> None:
    last = stages.after["rollback"]
    assert [len(str(last[name])) > 2 for name in ("rows", "labels", "quarantine", "predictions", "files")] == [True] * 5
    assert [move[1:4] for move in last["moves"]] == [(2, 1, "ROLLBACK"), (1, 2, "BY HAND"), (None, 1, "PROMOTE")]
