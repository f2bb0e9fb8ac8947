"""One process at a time does a kind of work on a pipeline: a file lock on one machine, a lease among several."""

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
    """Decorator: run the function in one process at a time per pipeline; the others wait and report the holder.

    Of several equal commands the first does the work, and the others find nothing left to do. A file lock orders the
    processes of one machine and is never taken over from a live process; a lease orders machines that share a ledger.
    For functions whose first two arguments are the home and the pipeline.
    """

    def decorate(function: Callable[Concatenate[str, str, P], R]) -> Callable[Concatenate[str, str, P], R]:
        @wraps(function)
        def locked(home: str, pipeline: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            from treadle.infra import settings as settings_
            from treadle.infra.locks import file_lock

            def waiting(line: str) -> None:
                events.emit(work, line)

            with (
                file_lock.hold_file_lock(settings_.at(Path(home)), pipeline, work, waiting),
                leased(home, pipeline, work),
            ):
                return function(home, pipeline, *args, **kwargs)

        return locked

    return decorate


@contextmanager
def leased(home: str, pipeline: str, work: str) -> Iterator[int]:
    """Hold the lease of `work` on the pipeline in the block; yields the token that every write has to present.

    The lease in the ledger holds for all machines. It is taken over from a holder that sends no heartbeat.
    """
    from treadle.infra import settings as settings_
    from treadle.infra.databases.ledger import Ledger
    from treadle.infra.locks import lease

    def waiting(line: str) -> None:
        events.emit(work, line)

    settings = settings_.at(Path(home))
    with lease.hold_lease(Ledger(settings.ledger), pipeline, work, settings.who, waiting) as token:
        yield token
