from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from prefect.states import Crashed, Pending, Running

from tests.projects import inbox, prefect_database, project, tumours
from tests.worker import eventually, over, runs, worker
from treadle.flows import score
from treadle.flows.project import deployment_plans
from treadle.flows.service import deployments, notify
from treadle.infra import orchestrator, stores
from treadle.infra import settings as settings_
from treadle.infra.orchestrator import connected, dead_runs, flow_context
from treadle.tasks.errors import NothingPromoted, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

NAMES = ["ingest/{}", "train/{}", "score/{}", "monitor/{}", "promote/{}", "maintain/{}"]


def add(settings: Settings, name: str, sections: str = "") -> Path:
    """A pipeline's file with nothing in it but what must be."""
    file = settings.home / "pipelines" / f"{name}.toml"
    file.write_text(f'name = "{name}"\n[data]\nsource = "x.csv"\ntarget = "y"\ntask = "binary"\n{sections}')
    return file


def read(settings: Settings, name: str) -> DeploymentResponse:
    with flow_context(settings), connected() as client:
        return client.read_deployment_by_name(name)


def goes_on(client: SyncPrefectClient, run: UUID) -> bool:
    """Whether a run is to begin again."""
    state = client.read_flow_run(run).state
    return state is not None and state.is_scheduled()


def made(settings: Settings) -> list[tuple[str, str]]:
    """What `treadle up` changes, deployment by deployment."""
    return [(change.name, change.what) for change in deployments.apply_deployments(settings).changes]


@pytest.mark.usefixtures("prefect_server")
def test_the_servers_deployments_become_what_the_files_say(home: Path) -> None:
    settings = settings_.at(home)
    file = add(settings, "shop", "[score]\nschedule = '0 6 * * mon'\n[retrain]\nschedule = '0 7 * * *'\n")
    assert deployment_plans.deployment_differences(settings) == ()
    assert made(settings) == [(name.format("shop"), "created") for name in NAMES]
    assert made(settings) == []
    assert deployment_plans.deployment_differences(settings) == ()
    found = read(settings, "train/shop")
    (schedule,) = found.schedules
    assert schedule.schedule.model_dump(include={"cron", "timezone"}) == {"cron": "0 7 * * *", "timezone": "UTC"}
    assert schedule.parameters == {"options": {"if_due": True}}
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert read(settings, "ingest/shop").schedules == []

    file.write_text(file.read_text().replace("'0 6 * * mon'", "'0 5 * * mon'"))
    assert deployment_plans.deployment_differences(settings) == (
        ("shop", "deployment", "score/shop is not yet what its file says"),
    )
    assert made(settings) == [("score/shop", "updated")]
    (schedule,) = read(settings, "score/shop").schedules
    assert schedule.schedule.model_dump(include={"cron"}) == {"cron": "0 5 * * mon"}

    file.write_text(file.read_text() + "[tune]\ntrials = 3\n")
    assert deployment_plans.deployment_differences(settings) == (
        ("shop", "file", "pipelines/shop.toml has changed since the last treadle up"),
    )
    assert made(settings) == []
    assert deployment_plans.deployment_differences(settings) == ()

    sound = file.read_text()
    file.write_text(sound.replace("[score]", "[scoer]"))
    applied = deployments.apply_deployments(settings)
    assert (applied.changes, list(applied.refused)) == ((), ["shop"])
    with flow_context(settings), connected() as client:
        assert [one.name for one in client.read_automations() if "shop" in one.tags]
    assert [(one.pipeline, one.kind) for one in deployment_plans.deployment_differences(settings)] == [
        ("shop", "refused")
    ]
    file.write_text(sound)
    assert made(settings) == []

    file.unlink()
    assert len(deployment_plans.deployment_differences(settings)) == len(NAMES)
    assert sorted(made(settings)) == sorted((name.format("shop"), "retired") for name in NAMES)
    assert deployment_plans.deployment_differences(settings) == ()
    with flow_context(settings), connected() as client:
        assert not [one.name for one in client.read_automations() if "shop" in one.tags]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_dies_before_it_begins_is_taken_up_later_than_one_that_was_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_.at(home)
    add(settings, "broken")
    monkeypatch.setattr(dead_runs, "UNBEGUN_RETRY_SECONDS", 3 * dead_runs.RETRY_SECONDS)
    deployments.apply_deployments(settings)
    with flow_context(settings), connected() as client:
        one, other = (client.create_flow_run_from_deployment(read(settings, "train/broken").id).id for _ in range(2))
        client.set_flow_run_state(one, Running(), force=True)
        for run in (one, other):
            client.set_flow_run_state(run, Crashed(message="it died"), force=True)
        eventually(lambda: goes_on(client, one))
        assert not goes_on(client, other)
        eventually(lambda: goes_on(client, other))


@pytest.mark.slow
def test_a_run_that_crashed_goes_on_also_where_the_deployments_were_changed_just_then(migrated: Settings) -> None:
    add(migrated, "first")
    deployments.apply_deployments(migrated)
    with flow_context(migrated), connected() as client:
        train = client.read_deployment_by_name("train/first").id
        run = client.create_flow_run_from_deployment(train).id
        client.set_flow_run_state(run, Running(), force=True)
        client.set_flow_run_state(run, Crashed(message="it died"), force=True)
        add(migrated, "second")
        assert len(made(migrated)) == len(NAMES)
        eventually(lambda: goes_on(client, run))


def test_a_server_that_is_killed_still_knows_whose_turn_it_is(migrated: Settings) -> None:
    add(migrated, "first")
    deployments.apply_deployments(migrated)
    with flow_context(migrated), connected() as client:
        train = client.read_deployment_by_name("train/first").id
        run = client.create_flow_run_from_deployment(train).id
        client.set_flow_run_state(run, Pending())
        state = client.read_flow_run(run).state
        assert state is not None
        turn = state.state_details.deployment_concurrency_lease_id
        assert turn is not None
    server = orchestrator.server_state(migrated).pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    with flow_context(migrated), connected() as client:
        client.renew_concurrency_lease(turn, 60)
        other = client.create_flow_run_from_deployment(train).id
        client.set_flow_run_state(other, Pending())
        state = client.read_flow_run(other).state
        assert state is not None
        assert state.name == "AwaitingConcurrencySlot"


@pytest.mark.usefixtures("prefect_server")
def test_a_name_that_another_home_has_on_the_same_server_is_refused(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for place in homes:
        (place / "pipelines").mkdir(parents=True)
        add(settings_.at(place), "twice")
    assert len(made(settings_.at(homes[0]))) == len(NAMES)
    with pytest.raises(ServiceError, match="ingest/twice already"):
        deployments.apply_deployments(settings_.at(homes[1]))
    (homes[1] / "pipelines" / "twice.toml").unlink()
    assert made(settings_.at(homes[1])) == []
    assert made(settings_.at(homes[0])) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_run_form_has_bounds_and_defaults_and_refuses_what_it_does_not_know(home: Path) -> None:
    settings = settings_.at(home)
    add(settings, "form")
    with pytest.raises(ServiceError, match="no deployment ingest/form"):
        deployments.start_run(settings, "form", "ingest")
    deployments.apply_deployments(settings)
    for work, options in (
        ("train", {"trials": 0}),
        ("train", {"trails": 3}),
        ("monitor", {"x": 1}),
        ("promote", {"version": 1, "reason": ""}),
        ("promote", {"version": 1, "reason": "  "}),
        ("promote", {}),
    ):
        with pytest.raises(ServiceError, match="refuses these options"):
            deployments.start_run(settings, "form", work, **options)  # type: ignore[arg-type]
    form = read(settings, "train/form").parameter_openapi_schema
    assert form is not None
    trials = form["definitions"]["TrainOptions"]["properties"]["trials"]
    assert trials["title"] == "Trials"
    assert trials["description"]
    assert {"minimum": 1, "maximum": 10_000, "type": "integer"}.items() <= trials.items()
    assert deployments.start_run(settings, "form", "train") != deployments.start_run(
        settings, "form", "train", again=True
    )


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_waits_serves_everybody_who_says_that_there_is_data(home: Path) -> None:
    settings, config = project(home, tumours(), "Malignant", name="heard")
    deployments.apply_deployments(settings)
    first, second = notify.run_notify(settings, config), notify.run_notify(settings, config)
    assert first.run == second.run
    assert first.worker == deployments.worker_online(settings), "on a server that other tests use too"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "gather", [deployments.apply_deployments, deployments.merge_waiting_runs], ids=["up", "the clock was set"]
)
def test_runs_that_piled_up_are_done_in_one_go(home: Path, gather: Callable[[Settings], object]) -> None:
    settings = settings_.at(home)
    file = add(settings, "piled")
    deployments.apply_deployments(settings)
    with flow_context(settings), connected() as client:
        train = client.read_deployment_by_name("train/piled").id
        for options in (*[{"if_due": True}] * 4, {"again": True}):
            client.create_flow_run_from_deployment(train, parameters={"options": options})
    gather(settings)
    left = [run.parameters["options"] for run in runs(settings) if run.deployment_id == train]
    assert sorted(left, key=str) == [{"again": True}, {"if_due": True}]
    file.unlink()
    deployments.apply_deployments(settings)  # the server is the session's


def test_where_nothing_is_up_notify_says_so_and_starts_nothing(home: Path) -> None:
    settings, config = project(home, tumours(), "Malignant")
    with pytest.raises(ServiceError, match="no Prefect server is running"):
        notify.run_notify(settings, config)
    assert orchestrator.server_state(settings).state is orchestrator.ServerPhase.STOPPED


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_file_that_is_dropped_is_scored_by_events_alone(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings
) -> None:
    settings, config = clinic
    prefect_database(settings.home, server_home)
    inbox(settings.home).mkdir(parents=True, exist_ok=True)
    tumours().head(20).drop(columns="Malignant").assign(**{"Tumour ID": [f"N{number}" for number in range(20)]}).to_csv(
        inbox(settings.home) / "new.csv", index=False
    )
    try:
        deployments.apply_deployments(settings)
        with worker(settings):
            deployments.start_run(settings, config.name, "ingest")
            tables = stores.open(settings, config.name).tables
            eventually(lambda: tables.version("predictions") >= 0)
            eventually(
                lambda: (
                    {run.name for run in runs(settings) if run.state and run.state.is_completed()}
                    >= {f"{work} {config.name}" for work in ("ingest", "score", "train", "monitor")}
                )
            )
        assert score.run_score(settings, config).rows == 0
    finally:
        orchestrator.stop_servers(settings)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_champion_scoring_by_itself_is_no_failure(home: Path, server_home: Settings) -> None:
    settings, config = project(home, tumours(), "Malignant")
    prefect_database(settings.home, server_home)
    try:
        deployments.apply_deployments(settings)
        with pytest.raises(NothingPromoted):
            score.run_score(settings, config)
        with worker(settings):
            for work in ("score", "monitor", "maintain"):
                deployments.start_run(settings, config.name, work)
            eventually(lambda: all(over(run) for run in runs(settings)))
        ends = {run.name: run.state.message for run in runs(settings) if run.state and run.state.is_completed()}
        nobody = f"{config.name} has no champion yet; train one: treadle train -p {config.name}"
        assert ends[f"monitor {config.name}"] == f"nothing was measured: {nobody}"
        assert ends[f"score {config.name}"] == f"nothing was scored: {nobody}"
        assert ends[f"maintain {config.name}"] == "nothing to clear up"
        assert "ERROR" not in (settings.state / "worker.log").read_text()
    finally:
        orchestrator.stop_servers(settings)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_run_form_of_promote_does_what_the_command_does(
    clinic: tuple[Settings, PipelineConfig], server_home: Settings
) -> None:
    settings, config = clinic
    prefect_database(settings.home, server_home)
    ledger = stores.open(settings, config.name).ledger
    try:
        deployments.apply_deployments(settings)
        with worker(settings):
            for asked in ({"version": 1, "reason": "as it was"}, {"version": 1, "reason": "no", "decline": True}):
                deployments.start_run(settings, config.name, "promote", **asked)
            eventually(lambda: len(runs(settings)) == 2 and all(over(run) for run in runs(settings)))
        ends = {run.parameters["options"]["reason"]: run.state for run in runs(settings)}
        done, refused = ends["as it was"], ends["no"]
        assert done is not None
        assert refused is not None
        assert (done.is_completed(), done.message) == (True, "version 1 is the champion: as it was")
        assert refused.is_failed()
        assert refused.message is not None
        assert refused.message.startswith("version 1 of clinic is not pending (no version is)")
        champion = ledger.champion(config.name)
        assert champion is not None
        assert (champion.version_to, champion.reason) == (1, "as it was")
    finally:
        orchestrator.stop_servers(settings)
