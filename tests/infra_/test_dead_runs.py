"""Every place that marks, reschedules or gives up a run whose process died is named in one table, and acts by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle.flows.project.deployment_plans import TAG
from treadle.flows.service import followups
from treadle.flows.service.automations import TAGGED, crash_automations
from treadle.infra.orchestrator import dead_runs
from treadle.infra.orchestrator.dead_runs import POLICY, DeadRuns
from treadle.infra.orchestrator.runs import Crashed, Runs

ROOT = Path(__file__).parents[2]
ACTS = ("/set_state", "set_flow_run_state(", "ChangeFlowRunState(", "Failed(message=", "dead_runs.")
"""What a place writes that changes a run's state, or asks when it counts as dead."""

ASKED = {"infra/orchestrator/runs.py", "flows/service/up.py"}
"""They send what the table's places ask for."""

CRASHED_WITHIN_SECONDS, RESUMED_WITHIN_SECONDS = 120, 150
START_SECONDS = 20
"""From a rescheduled run to its process: the worker's poll and the imports."""


def test_each_place_that_acts_on_a_dead_run_is_in_the_table() -> None:
    acting = set()
    for package in ("flows", "infra"):
        for path in (ROOT / package).rglob("*.py"):
            if any(act in path.read_text() for act in ACTS):
                acting.add(str(path.relative_to(ROOT)))
    named = {rule.noticed_by for rule in POLICY} - {"Prefect's worker", "flows/service/followups.py"}
    assert acting - ASKED == named


def test_the_table_states_the_times_that_are_used() -> None:
    (waited,) = (rule for rule in POLICY if rule.done == "new run")
    assert waited.after_seconds == followups.GRACE_SECONDS
    server = [rule.after_seconds for rule in POLICY if rule.noticed_by == "flows/service/automations.py"]
    triggers = [one.model_dump()["trigger"] for one in crash_automations(TAGGED, "")]
    assert server == [trigger["within"].total_seconds() for trigger in triggers]


def test_a_silent_run_is_crashed_within_two_minutes_and_goes_on_within_two_and_a_half() -> None:
    assert dead_runs.SILENT_SECONDS <= CRASHED_WITHIN_SECONDS
    assert dead_runs.SILENT_SECONDS + dead_runs.RETRY_SECONDS + START_SECONDS <= RESUMED_WITHIN_SECONDS


def test_up_waits_for_the_server_before_it_reschedules_and_people_are_not_alerted_before() -> None:
    assert dead_runs.RETRY_SECONDS < dead_runs.OVERDUE_SECONDS < dead_runs.ALERT_SECONDS
    assert dead_runs.UNBEGUN_RETRY_SECONDS < dead_runs.UNBEGUN_OVERDUE_SECONDS


@pytest.mark.parametrize(("home", "marks"), [("", True), ("/elsewhere", False)])
def test_only_on_the_homes_own_server_a_run_without_a_process_is_marked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str, marks: bool
) -> None:
    class Server(Runs):
        """A server with one crashed run; says which are rescheduled."""

        def crashed(self, since: object) -> list[Crashed]:
            return [Crashed("r1", "train shop", begun=True, since=None)]

        def begin_again(self, run: str) -> None:
            done.append(f"rescheduled {run}")

    done: list[str] = []
    monkeypatch.setattr(dead_runs, "OVERDUE_SECONDS", -1.0)
    monkeypatch.setattr(DeadRuns, "close", lambda _self, api: done.append(f"marked on {api}"))
    server = Server("http://api", Path(home) if home else None, TAG)
    DeadRuns(tmp_path, TAG, tmp_path / "worker.lock").check(server)
    assert done == [*(["marked on http://api"] if marks else []), "rescheduled r1"]
