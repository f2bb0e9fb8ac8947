"""What a flow's errors carry: the pipeline in their commands, and on the run's record in Prefect which error it was."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def errors_name(pipeline: str) -> Iterator[None]:
    """A block whose errors name `pipeline` in their commands, unless they name one already; empty: none."""
    try:
        yield
    except TreadleError as error:
        error.pipeline = error.pipeline or pipeline
        raise


def naming_pipeline(
    function: Callable[Concatenate[str, str, P], R],
) -> Callable[Concatenate[str, str, P], R]:
    """Decorator for a flow: its errors name its pipeline, and its run is labelled with their kind.

    The first two arguments are the home and the pipeline. Prefect stores an error's text as the run's message before
    the command line shows it, so that the pipeline has to be known here.
    """

    @wraps(function)
    def named(home: str, pipeline: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with errors_name(pipeline):
            try:
                return function(home, pipeline, *args, **kwargs)
            except Exception as error:
                from treadle.infra.orchestrator.failures import label_failure

                label_failure(error)
                raise

    return named
