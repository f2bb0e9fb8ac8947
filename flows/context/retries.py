"""When a step that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from treadle.tasks.errors import Conflict, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS: list[float] = [1, 5]
"""Seconds before the second and the third attempt."""

UNAVAILABLE = (ServiceError, ConnectionError, TimeoutError)
"""Errors of a server or database that does not answer; a later attempt may succeed."""


def transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed when it is repeated: a service did not answer, or another writer was first.

    False for damaged data, an invalid config and bugs.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, (*UNAVAILABLE, Conflict))


def retried_task(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make the function a Prefect task of this name, which is repeated where it failed for a transient reason."""
    from prefect import task

    return task(
        name=name,
        task_run_name=name,
        retries=len(RETRY_DELAYS),
        retry_delay_seconds=RETRY_DELAYS,
        retry_condition_fn=transient,
    )
