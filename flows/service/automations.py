"""A server's automations: new data starts `score`, `train` where due, and `monitor`; dead runs are rescheduled.

A pipeline's automations are named after it, and those of a home after its folder. `apply_automations` creates, updates
and deletes those on the server.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from treadle.flows.ingest import ACCEPTED, pipeline_resource
from treadle.flows.project.deployment_plans import TAG
from treadle.infra.orchestrator import dead_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from treadle.infra.settings import Settings

TOGETHER_SECONDS = 10
"""Delay of the scoring run after an event; all events within this time start one run together."""

SCORED_SECONDS = 30
"""Delay of the training run, so that scoring comes first: on two cores each would slow the other down."""

FLOW_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
UNBEGUN, BEGUN = {**FLOW_RUNS, "prefect.run-count": "0"}, {**FLOW_RUNS, "prefect.run-count": "!0"}
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"})
EVENT = "prefect.flow-run"
HEARTBEAT, CRASHED = f"{EVENT}.heartbeat", f"{EVENT}.Crashed"
FINAL = (f"{EVENT}.Completed", f"{EVENT}.Failed", CRASHED, f"{EVENT}.Cancelled")


def apply_automations(client: SyncPrefectClient, settings: Settings, deployments: Mapping[str, UUID]) -> None:
    """Create, update and delete this home's automations; `deployments` are the ids of its deployments by full name."""
    shared = bool(settings.prefect_api_url)
    mark = f"of the project at {settings.home}" if shared else "of this project"
    wanted = {
        one.name: one for one in (*_data_automations(deployments, mark), *_dead(deployments, mark, shared=shared))
    }
    for present in client.read_automations():
        if TAG not in present.tags or (shared and not present.description.endswith(mark)):
            continue
        if present.name not in wanted:
            client.delete_automation(present.id)
        elif _same(present, automation := wanted.pop(present.name)):
            continue
        else:
            client.update_automation(present.id, automation)
    for automation in wanted.values():
        client.create_automation(automation)


def _same(present: AutomationCore, wanted: AutomationCore) -> bool:
    """Whether both do the same; `enabled` is not compared, so that one that a person disabled stays disabled."""
    keep = {"name", "description", "tags", "trigger", "actions"}
    return present.model_dump(include=keep) == wanted.model_dump(include=keep)


def _data_automations(deployments: Mapping[str, UUID], mark: str) -> Iterator[AutomationCore]:
    together = timedelta(seconds=TOGETHER_SECONDS)
    for name, train in deployments.items():
        work, _, pipeline = name.partition("/")
        score, monitor = deployments.get(f"score/{pipeline}"), deployments.get(f"monitor/{pipeline}")
        if work != "train" or score is None or monitor is None:
            continue
        yield AutomationCore(
            name=f"treadle: new data of {pipeline}",
            description=f"Scores new data, and trains where it is due; {mark}",
            tags=[TAG, pipeline],
            trigger=_on(ACCEPTED, pipeline_resource(pipeline)),
            actions=[
                RunDeployment(source="selected", deployment_id=score, schedule_after=together),
                RunDeployment(
                    source="selected",
                    deployment_id=train,
                    schedule_after=timedelta(seconds=SCORED_SECONDS),
                    parameters={"options": {"if_due": True}},
                ),
            ],
        )
        yield AutomationCore(
            name=f"treadle: after training {pipeline}",
            description=f"Monitors after a training, or where none was due; {mark}",
            tags=[TAG, pipeline],
            trigger=_on(f"{EVENT}.Completed", FLOW_RUNS, [train]),
            actions=[RunDeployment(source="selected", deployment_id=monitor)],
        )


def _dead(deployments: Mapping[str, UUID], mark: str, *, shared: bool) -> Iterator[AutomationCore]:
    """The crash automations; on a home's own server for all runs with our tag, whatever deployments there are.

    An automation that is updated forgets the runs that it was waiting on, so it must not change with the deployments.
    """
    return crash_automations(_deployed(deployments.values()) if shared else TAGGED, mark)


def crash_automations(related: ResourceSpecification, mark: str) -> Iterator[AutomationCore]:
    """Automations that mark silent runs of `related` as crashed and reschedule crashed ones: see `dead_runs.POLICY`."""
    yield AutomationCore(
        name="treadle: a run whose process is gone",
        description=f"Marks it as crashed; {mark}",
        tags=[TAG],
        trigger=_silent({HEARTBEAT}, {HEARTBEAT, *FINAL}, dead_runs.SILENT_SECONDS, related),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Its process sent no heartbeat any more.")],
    )
    again = [ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="It was killed.")]
    for what, match, seconds in (
        ("crashed", BEGUN, dead_runs.RETRY_SECONDS),
        ("could not begin", UNBEGUN, dead_runs.UNBEGUN_RETRY_SECONDS),
    ):
        yield AutomationCore(
            name=f"treadle: a run that {what} goes on",
            description=f"Reschedules it for a worker; {mark}",
            tags=[TAG],
            # not at once: a worker reports a killed process twice, seconds apart
            trigger=_silent({CRASHED}, {f"{EVENT}.Pending", f"{EVENT}.Running"}, seconds, related, match),
            actions=again,
        )


def _on(event: str, match: Mapping[str, str], deployments: Iterable[UUID] = ()) -> EventTrigger:
    """A trigger that fires on `event`, of runs of `deployments` (none: of any resource)."""
    return EventTrigger(
        match=ResourceSpecification(dict(match)),
        match_related=_deployed(deployments),
        expect={event},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(seconds=TOGETHER_SECONDS),
    )


def _silent(
    after: set[str],
    expect: set[str],
    seconds: int,
    related: ResourceSpecification,
    match: Mapping[str, str] = FLOW_RUNS,
) -> EventTrigger:
    """A trigger that fires for a run when none of the events `expect` follows one of `after` within `seconds`."""
    return EventTrigger(
        match=ResourceSpecification(dict(match)),
        match_related=related,
        for_each={"prefect.resource.id"},
        after=after,
        expect=expect,
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )


def _deployed(deployments: Iterable[UUID]) -> ResourceSpecification:
    names = [f"prefect.deployment.{deployment}" for deployment in deployments]
    return ResourceSpecification({"prefect.resource.role": "deployment", "prefect.resource.id": names} if names else {})
