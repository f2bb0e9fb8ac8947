"""When a step that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.tasks.errors import Conflict, ServiceError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


RETRY_DELAYS: list[float] = [1, 5]


AWAY = (ServiceError, ConnectionError, TimeoutError)
"""What says of a server or database that it does not answer; it may come back."""


def transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed on its own: a service that does not answer, a writer that was first.

    Damaged data, a wrong config and our own bugs stay what they are.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, (*AWAY, Conflict))
