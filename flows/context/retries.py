"""When a step that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.tasks.errors import Conflict, ServiceError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


RETRY_DELAYS: list[float] = [1, 5]


UNAVAILABLE = (ServiceError, ConnectionError, TimeoutError)
"""Errors of a server or database that does not answer; a later attempt may succeed."""


def transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed when it is repeated: a service did not answer, or another writer was first.

    False for damaged data, an invalid config and bugs.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, (*UNAVAILABLE, Conflict))
