"""What a server does on events: new data is scored, trained on where that is due, and monitored; the dead are found.

A pipeline's automations are named after it, and those of a home after its folder. `apply_automations` makes the
server's what they should be.
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from treadle.infra.settings import Settings

TOGETHER_SECONDS = 10
"""Events that come so soon after one another make one run, which begins when the last of them may have come."""

SCORED_SECONDS = 30
"""Whether to train is asked when what came has been scored: on two cores the two would make one another late."""

DEAD_SECONDS = 90
"""A run that gives no sign for so long has no process any more."""

SETTLED_SECONDS = 10
"""So long a run stays crashed before it is taken up again."""

BROKEN_SECONDS = 120
"""So long one that died before it had begun: what ails it, a broken install perhaps, is likely to be there still."""

FLOW_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
UNBEGUN, BEGUN = {**FLOW_RUNS, "prefect.run-count": "0"}, {**FLOW_RUNS, "prefect.run-count": "!0"}
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"})
EVENT = "prefect.flow-run"
HEARTBEAT, CRASHED = f"{EVENT}.heartbeat", f"{EVENT}.Crashed"
FINAL = (f"{EVENT}.Completed", f"{EVENT}.Failed", CRASHED, f"{EVENT}.Cancelled")


def apply_automations(client: SyncPrefectClient, settings: Settings, deployments: Mapping[str, UUID]) -> None:
    """Create, update and take away this home's automations; `deployments` are its identities by full name."""
    shared = bool(settings.prefect_api_url)
    mark = f"of the project at {settings.home}" if shared else "of this project"
    wanted = {one.name: one for one in (*_wanted(deployments, mark), *_dead(deployments, mark, shared=shared))}
    for there in client.read_automations():
        if TAG not in there.tags or (shared and not there.description.endswith(mark)):
            continue
        if there.name not in wanted:
            client.delete_automation(there.id)
        elif _same(there, one := wanted.pop(there.name)):
            continue
        else:
            client.update_automation(there.id, one)
    for one in wanted.values():
        client.create_automation(one)


def _same(there: AutomationCore, wanted: AutomationCore) -> bool:
    """Whether the server has it already; a person may have switched it off, and that stays."""
    keep = {"name", "description", "tags", "trigger", "actions"}
    return there.model_dump(include=keep) == wanted.model_dump(include=keep)


def _wanted(deployments: Mapping[str, UUID], mark: str) -> Iterator[AutomationCore]:
    together = timedelta(seconds=TOGETHER_SECONDS)
    for name, train in deployments.items():
        work, _, pipeline = name.partition("/")
        score, monitor = deployments.get(f"score/{pipeline}"), deployments.get(f"monitor/{pipeline}")
        if work != "train" or score is None or monitor is None:
            continue
        yield AutomationCore(
            name=f"treadle: new data of {pipeline}",
            description=f"Scores what came, and trains where it is due; {mark}",
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
            description=f"Monitors once it was trained, or was not due; {mark}",
            tags=[TAG, pipeline],
            trigger=_on(f"{EVENT}.Completed", FLOW_RUNS, [train]),
            actions=[RunDeployment(source="selected", deployment_id=monitor)],
        )


def _dead(deployments: Mapping[str, UUID], mark: str, *, shared: bool) -> Iterator[AutomationCore]:
    """On a home's own server all that bears our tag: one that is updated forgets the runs that it waited with."""
    return crash_automations(_deployed(deployments.values()) if shared else TAGGED, mark)


def crash_automations(related: ResourceSpecification, mark: str) -> Iterator[AutomationCore]:
    """Runs of what is `related` whose process has gone are marked as crashed, and taken up again."""
    yield AutomationCore(
        name="treadle: a run whose process is gone",
        description=f"Marks it as crashed; {mark}",
        tags=[TAG],
        trigger=_silent({HEARTBEAT}, {HEARTBEAT, *FINAL}, DEAD_SECONDS, related),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Its process gave no sign any more.")],
    )
    again = [ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="It was killed.")]
    for what, match, seconds in (("crashed", BEGUN, SETTLED_SECONDS), ("could not begin", UNBEGUN, BROKEN_SECONDS)):
        yield AutomationCore(
            name=f"treadle: a run that {what} goes on",
            description=f"Lets a worker take it up again; {mark}",
            tags=[TAG],
            # not at once: a worker tells of a killed process twice, seconds apart
            trigger=_silent({CRASHED}, {f"{EVENT}.Pending", f"{EVENT}.Running"}, seconds, related, match),
            actions=again,
        )


def _on(event: str, match: Mapping[str, str], deployments: Iterable[UUID] = ()) -> EventTrigger:
    """When `event` comes, of runs of `deployments`."""
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
    """When nothing of what is expected came for so many seconds after one of the events `after` of the same run."""
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
    names = [f"prefect.deployment.{one}" for one in deployments]
    return ResourceSpecification({"prefect.resource.role": "deployment", "prefect.resource.id": names} if names else {})
