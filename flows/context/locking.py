"""One process at a time does a kind of work on a pipeline: by a file's lock on a machine, else by a lease."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from treadle.flows.context import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


P = ParamSpec("P")


R = TypeVar("R")


def one_at_a_time(
    work: str,
) -> Callable[[Callable[Concatenate[str, str, P], R]], Callable[Concatenate[str, str, P], R]]:
    """Let one process at a time do `work` on a pipeline; the others wait for it, and say for whom.

    So of several equal commands the first has the effect, and the others find nothing left to do. On one machine by a
    file's lock, which nobody is passed by at; among several that share a ledger by its lease. For functions whose first
    two arguments are the home and the pipeline.
    """

    def decorate(function: Callable[Concatenate[str, str, P], R]) -> Callable[Concatenate[str, str, P], R]:
        @wraps(function)
        def in_turn(home: str, pipeline: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            from treadle.infra import settings as settings_
            from treadle.infra.locks import file_lock

            def waiting(line: str) -> None:
                events.emit(work, line)

            with (
                file_lock.hold_file_lock(settings_.at(Path(home)), pipeline, work, waiting),
                leased(home, pipeline, work),
            ):
                return function(home, pipeline, *args, **kwargs)

        return in_turn

    return decorate


@contextmanager
def leased(home: str, pipeline: str, work: str) -> Iterator[int]:
    """Do `work` in the block under its lease in the ledger; yields the token that has to be shown with every write.

    It holds on whatever machine, and a holder that stands still is passed by.
    """
    from treadle.infra import settings as settings_
    from treadle.infra.databases.ledger import Ledger
    from treadle.infra.locks import lease

    def waiting(line: str) -> None:
        events.emit(work, line)

    settings = settings_.at(Path(home))
    with lease.hold_lease(Ledger(settings.ledger), pipeline, work, settings.who, waiting) as token:
        yield token
