"""What a Prefect server knows of a home's runs, asked over its API: `import prefect` alone takes a second."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from treadle.infra.orchestrator import api as api_
from treadle.infra.orchestrator import killed_commands
from treadle.infra.orchestrator.failures import LABEL
from treadle.infra.settings import without_secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

PAGE = 200  # the most that the API answers at once
SLOT_LOST = "Deployment concurrency slot lost"


@dataclass(frozen=True, slots=True)
class WorkRun:
    """One run of `work` on a pipeline: its `state` (COMPLETED, FAILED, ...) in the server's words, and `since` when.

    `at` is when it began, or is to begin. `error` is the kind of the error that ended it (`failures`); empty where it
    is unknown.
    """

    pipeline: str
    work: str
    state: str
    message: str
    error: str
    at: datetime
    page: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Crashed:
    """A run of a deployment that crashed at the moment `since`; `begun`: its process had started before."""

    id: str
    name: str
    begun: bool
    since: datetime | None


def settled(state: str, message: str | None) -> bool:
    """Whether a run has ended so that its work needs no other one: well, or because a person has cancelled it.

    Prefect itself cancels one that lost its concurrency slot before it started; its work is still to be done.
    """
    return state == "COMPLETED" or (state == "CANCELLED" and not (message or "").startswith(SLOT_LOST))


class _State(BaseModel):
    message: str | None = None
    timestamp: datetime | None = None


class _FlowRun(BaseModel):
    id: str
    name: str
    run_count: int
    deployment_id: str | None
    parameters: dict[str, object]
    labels: dict[str, object] | None = None
    state_type: str | None
    state: _State | None
    tags: tuple[str, ...] = ()
    start_time: datetime | None
    next_scheduled_start_time: datetime | None
    expected_start_time: datetime | None


class _RunId(BaseModel):
    id: str


class _Job(BaseModel):
    env: dict[str, str] = {}


class _Deployment(BaseModel):
    id: str
    name: str
    job_variables: _Job | None


class Runs:
    """The runs of one home on the server behind `api`: those of its commands, and of its deployments, tagged `tag`.

    Every question raises OSError or ValueError where the server does not answer as it should.
    """

    def __init__(self, api: str, home: Path | None, tag: str, dead: Collection[str] = ()) -> None:
        """`home` is None on the home's own server, where all runs are its own.

        `dead` are the tags of commands whose process is gone (`dead_commands`): their runs count as crashed.
        """
        self.api = api
        self.home = "" if home is None else str(home)
        self.tag = tag
        self._dead = frozenset(dead)
        self._page = f"{without_secrets(api).removesuffix('/').removesuffix('/api')}/runs/flow-run"

    def last(self, works: Sequence[str]) -> dict[tuple[str, str], WorkRun]:
        """By pipeline and work the newest run, at work or over; only the newest 200 of a work are searched."""
        states = {"any_": ["RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING", "PAUSED"]}
        asked = {"parent_task_run_id": {"is_null_": True}, "state": {"type": states}}
        return self._first(works, asked, "START_TIME_DESC")

    def next(self, works: Sequence[str]) -> dict[tuple[str, str], WorkRun]:
        """By pipeline and work the next run that is scheduled."""
        return self._first(works, {"state": {"type": {"any_": ["SCHEDULED"]}}}, "NEXT_SCHEDULED_START_TIME_ASC")

    def busy(self, works: Sequence[str], soon: datetime) -> set[str]:
        """The pipelines that have a run at work, or one that begins before the moment `soon`."""
        states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
        asked = {"operator": "or_", "state": states, "next_scheduled_start_time": {"before_": soon.isoformat()}}
        return {pipeline for pipeline, _ in self._first(works, asked, "NEXT_SCHEDULED_START_TIME_ASC")}

    def pages(self, runs: Iterable[str]) -> dict[str, str]:
        """Where a browser finds these runs, by id; those that the server does not have are left out."""
        found: dict[str, str] = {}
        for some in _by(PAGE, sorted(set(runs))):
            question = {"flow_runs": {"id": {"any_": some}}, "limit": PAGE}
            existing = TypeAdapter(list[_RunId]).validate_json(api_.ask(self.api, "/flow_runs/filter", question))
            found |= {one.id: f"{self._page}/{one.id}" for one in existing}
        return found

    def crashed(self, since: datetime) -> list[Crashed]:
        """Runs of the home's deployments that crashed after that moment, and are crashed still."""
        ended = {"state": {"type": {"any_": ["CRASHED"]}}, "end_time": {"after_": since.isoformat()}}
        whose: dict[str, object] = {"tags": {"all_": [self.tag]}}  # on the home's own server one question will do
        if self.home:
            whose = {"id": {"any_": list(self._deployments)}}
        question = {"flow_runs": ended, "deployments": whose, "limit": PAGE}
        found = TypeAdapter(list[_FlowRun]).validate_json(api_.ask(self.api, "/flow_runs/filter", question))
        return [Crashed(one.id, one.name, one.run_count > 0, (one.state or _State()).timestamp) for one in found]

    def begin_again(self, run: str) -> None:
        """Let a worker take up a run that has crashed."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "It was killed."}
        api_.ask(self.api, f"/flow_runs/{run}/set_state", {"state": state})

    def _first(self, works: Sequence[str], asked: Mapping[str, object], sort: str) -> dict[tuple[str, str], WorkRun]:
        _ = self._deployments  # asked once, before there are threads
        with ThreadPoolExecutor(len(works)) as pool:
            found = [run for runs in pool.map(lambda work: self._runs(work, asked, sort), works) for run in runs]
        return {(run.pipeline, run.work): run for run in reversed(found)}

    def _runs(self, work: str, asked: Mapping[str, object], sort: str) -> list[WorkRun]:
        question = {"flows": {"name": {"any_": [work]}}, "flow_runs": asked, "sort": sort, "limit": PAGE}
        found = TypeAdapter(list[_FlowRun]).validate_json(api_.ask(self.api, "/flow_runs/filter", question))
        runs = []
        for one in found:
            at = one.start_time or one.next_scheduled_start_time or one.expected_start_time
            pipeline = self._pipeline(one)
            if at is not None and pipeline:
                state, kind = one.state or _State(), one.state_type or ""
                if kind == "RUNNING" and self._dead.intersection(one.tags):
                    state, kind = _State(message=killed_commands.ENDED), "CRASHED"  # since when is not known
                page = f"{self._page}/{one.id}"
                # a label of an earlier attempt says nothing of a crash
                error = str((one.labels or {}).get(LABEL, "")) if kind == "FAILED" else ""
                runs.append(WorkRun(pipeline, work, kind, state.message or "", error, at, page, state.timestamp))
        return runs

    @cached_property
    def _deployments(self) -> dict[str, str]:
        """The home's deployments: by id the name, which is the pipeline's."""
        found: list[_Deployment] = []
        while True:
            question = {"deployments": {"tags": {"all_": [self.tag]}}, "limit": PAGE, "offset": len(found)}
            page = TypeAdapter(list[_Deployment]).validate_json(api_.ask(self.api, "/deployments/filter", question))
            found += page
            if len(page) < PAGE:
                break
        ours = {"TREADLE_HOME": self.home}.items() if self.home else {}.items()
        return {one.id: one.name for one in found if one.job_variables and ours <= one.job_variables.env.items()}

    def _pipeline(self, run: _FlowRun) -> str:
        """The pipeline of a run of ours; empty for another home's."""
        if run.deployment_id is not None:
            return self._deployments.get(run.deployment_id, "")
        ours = not self.home or run.parameters.get("home") == self.home
        return str(run.parameters.get("pipeline", "")) if ours else ""


def _by(size: int, those: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(those), size):
        yield those[start : start + size]
