"""The pipeline in the commands of errors: with several pipelines in a home, each command has to name one."""

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
    """Decorator: the function's errors name its pipeline; its first two arguments are the home and the pipeline.

    For flows, because Prefect stores an error's text as the run's message before the command line shows it.
    """

    @wraps(function)
    def named(home: str, pipeline: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with errors_name(pipeline):
            return function(home, pipeline, *args, **kwargs)

    return named
