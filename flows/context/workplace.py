"""What every flow's steps share: how to reach the stores from two words, and when a retry can help."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from treadle.flows.context import events
from treadle.tasks.errors import Conflict, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun

    from treadle.expectations.contract import Suite
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.bundle import Model
    from treadle.tasks.config.spec import PipelineConfig

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS: list[float] = [1, 5]

AWAY = (ServiceError, ConnectionError, TimeoutError)
"""What says of a server or database that it does not answer; it may come back."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """One pipeline of one home, opened: what a step needs to load, decide and store."""

    settings: Settings
    config: PipelineConfig
    stores: Stores

    def suite(self) -> Suite:
        """The pipeline's suite file.

        Raises DataError where the file is missing or is not a suite, ConfigError where the config names columns that
        it does not have or that cannot play their part.
        """
        from treadle.expectations.contract import load
        from treadle.tasks.config.columns import misfits
        from treadle.tasks.config.locate import ConfigFile

        suite = load(self.settings.home / "expectations" / f"{self.config.name}.json")
        for key, message, way_out in misfits(self.config, suite.schema):
            file = ConfigFile.read(self.settings.home / "pipelines" / f"{self.config.name}.toml")
            raise file.error(tuple(key.split(".")), message, way_out)
        return suite

    def contract(self) -> str:
        """Digest of all that decides what becomes of a batch: the suite, and how the config reads and weighs it."""
        data = self.config.data
        obeyed = [self.suite().digest, data.key, data.target, data.timezone, data.missing, data.max_bad_rows]
        obeyed.append(self.config.labels.observed_at)
        return hashlib.sha256(json.dumps(obeyed).encode()).hexdigest()

    def model(self, version: int, digest: str | None = None) -> Model:
        """A registered model, verified before anything of it is parsed.

        Raises BundleError where it is damaged, or is not the one that `digest` (else the ledger) names.
        """
        from treadle.tasks import bundle

        record = self.stores.ledger.version(self.config.name, version)
        return bundle.load(self.stores.bundle_folder(version), digest=digest or (record.digest if record else None))


def open_workplace(home: str, pipeline: str) -> Workplace:
    """Open `pipeline` of the home at `home`; flows and steps are handed these two words, never open stores."""
    from treadle.infra import settings as settings_
    from treadle.infra import stores
    from treadle.tasks.config.load import load_config

    settings = settings_.at(Path(home))
    config = load_config(settings.home / "pipelines" / f"{pipeline}.toml")
    return Workplace(settings, config, stores.open(settings, pipeline))


def this_run() -> str:
    """The id of the flow run that is at work here; empty outside of one."""
    from prefect import runtime

    return str(runtime.flow_run.id or "")


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

            with file_lock.take(settings_.at(Path(home)), pipeline, work, waiting), leased(home, pipeline, work):
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
    with lease.hold(Ledger(settings.ledger), pipeline, work, settings.who, waiting) as token:
        yield token


def transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed on its own: a service that does not answer, a writer that was first.

    Damaged data, a wrong config and our own bugs stay what they are.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, (*AWAY, Conflict))
