"""Crashed runs are rescheduled by `treadle up` where the server itself does not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed, Running

from treadle.flows.project import deployment_plans
from treadle.flows.service import deployments
from treadle.infra import orchestrator
from treadle.infra.orchestrator import connected, dead_runs, flow_context
from treadle.infra.orchestrator.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from treadle.infra.settings import Settings


@pytest.fixture
def client(migrated: Settings) -> Iterator[SyncPrefectClient]:
    """The server's, on which the pipeline `shop` has its deployments, but no automation helps."""
    file = migrated.home / "pipelines" / "shop.toml"
    file.write_text('name = "shop"\n[data]\nsource = "x.csv"\ntarget = "y"\ntask = "binary"\n')
    deployments.apply_deployments(migrated)
    with flow_context(migrated), connected() as found:
        for automation in found.read_automations():
            found.delete_automation(automation.id)
        yield found


def crashed(client: SyncPrefectClient, *, begun: bool) -> UUID:
    run = client.create_flow_run_from_deployment(client.read_deployment_by_name("train/shop").id).id
    if begun:
        client.set_flow_run_state(run, Running(), force=True)
    client.set_flow_run_state(run, Crashed(message="it died"), force=True)
    return run


def state(client: SyncPrefectClient, run: UUID) -> StateType | None:
    return client.read_flow_run(run).state_type


def test_what_stays_crashed_is_taken_up_once_and_what_had_not_begun_later(
    migrated: Settings, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, unbegun = crashed(client, begun=True), crashed(client, begun=False)
    runs = Runs(orchestrator.server_state(migrated).url, None, deployment_plans.TAG)
    crashed_runs = dead_runs.DeadRuns(migrated.home, deployment_plans.TAG, migrated.home / "worker.lock")
    crashed_runs.reschedule(runs)
    assert {state(client, run) for run in (begun, unbegun)} == {StateType.CRASHED}, "the server has its time"
    monkeypatch.setattr(dead_runs, "OVERDUE_SECONDS", 0.0)
    crashed_runs.reschedule(runs)
    assert (state(client, begun), state(client, unbegun)) == (StateType.SCHEDULED, StateType.CRASHED)
    monkeypatch.setattr(dead_runs, "UNBEGUN_OVERDUE_SECONDS", 0.0)
    crashed_runs.reschedule(runs)
    assert {state(client, run) for run in (begun, unbegun)} == {StateType.SCHEDULED}
    client.set_flow_run_state(begun, Running(), force=True)
    crashed_runs.reschedule(runs)
    assert state(client, begun) is StateType.RUNNING


def test_what_crashed_long_ago_and_what_is_of_another_home_stays_as_it_is(
    migrated: Settings, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = crashed(client, begun=True)
    monkeypatch.setattr(dead_runs, "OVERDUE_SECONDS", 0.0)
    url = orchestrator.server_state(migrated).url
    crashed_runs = dead_runs.DeadRuns(migrated.home, deployment_plans.TAG, migrated.home / "worker.lock")
    for runs in [Runs(url, migrated.home / "another", deployment_plans.TAG)] * 2:
        crashed_runs.reschedule(runs)
    monkeypatch.setattr(dead_runs, "LOOKBACK", timedelta(0))
    for runs in [Runs(url, None, deployment_plans.TAG)] * 2:
        crashed_runs.reschedule(runs)
    assert state(client, run) is StateType.CRASHED
