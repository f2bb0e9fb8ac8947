"""The deployments that the files in `pipelines/` ask for, and where the server's were made otherwise before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

TAG = "treadle"
"""Every deployment of ours bears it, and the runs that it makes."""

HEARTBEAT_SECONDS = 30

ENTRYPOINTS = Path(__file__).parents[1] / "service" / "deployments" / "entrypoints.py"

FILE = "file/"
"""Begins the name under which a pipeline's file is remembered beside its deployments."""

WorkKind = Literal["ingest", "train", "score", "monitor", "promote", "maintain"]
WORKS: tuple[WorkKind, ...] = get_args(WorkKind)

ABOUT: dict[WorkKind, str] = {
    "ingest": "Takes new files of `{0}` through the contract into rows, labels and quarantine.",
    "train": "Trains a challenger for `{0}`, judges it, and promotes it if it is better.",
    "score": "Predicts the rows of `{0}` that have neither label nor prediction.",
    "monitor": "What the predictions of `{0}` turned out to be worth, and whether it is time to train again.",
    "promote": "A person's word on a version of `{0}`: it becomes champion, or it is declined.",
    "maintain": "Takes away what nobody refers to any more of `{0}`: old runs, models, files of tables, history.",
}


@dataclass(frozen=True)
class Plan:
    """One deployment as it should be. `schedule` is cron's five fields, read in `timezone`; empty: none."""

    home: Path
    pipeline: str
    work: WorkKind
    schedule: str
    timezone: str

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.work}/{self.pipeline}"

    @property
    def about(self) -> str:
        """For the deployment's page."""
        return ABOUT[self.work].format(self.pipeline)

    @property
    def scheduled(self) -> dict[str, Any]:
        """What a run by schedule is told: train only when it is due."""
        return {"options": {"if_due": True}} if self.work == "train" else {}

    @property
    def entrypoint(self) -> str:
        """The flow, as a worker imports it."""
        return f"treadle.flows.service.deployments.entrypoints.{self.work}_deployment"

    @property
    def environment(self) -> dict[str, str]:
        """What a run's process finds beside the worker's own environment."""
        from treadle.infra.orchestrator import run_environment

        return run_environment(self.home, HEARTBEAT_SECONDS)

    @cached_property
    def digest(self) -> str:
        """The same for the same deployment; stands as its version."""
        told = [self.name, self.schedule, self.timezone, self.about, self.scheduled, self.entrypoint, self.environment]
        form = ENTRYPOINTS.read_bytes()  # to import it would cost a second
        return hashlib.sha256(form + json.dumps(told).encode()).hexdigest()[:12]


class Plans(NamedTuple):
    """The deployments that the files ask for, and the pipelines whose file we do not obey."""

    wanted: tuple[Plan, ...]
    refused: dict[str, ConfigError]


def plans(settings: Settings) -> Plans:
    """Read every file in `pipelines/`; one that is wrong is in nobody's way."""
    from treadle.tasks.config.load import load_config

    wanted: list[Plan] = []
    refused: dict[str, ConfigError] = {}
    for file in settings.pipelines:
        try:
            config = load_config(file)
        except ConfigError as error:
            refused[file.stem] = error
        else:
            wanted.extend(_plan(settings, config, work) for work in WORKS)
    return Plans(tuple(wanted), refused)


def _plan(settings: Settings, config: PipelineConfig, work: WorkKind) -> Plan:
    schedules = {
        "train": config.retrain.schedule,
        "score": config.score.schedule,
        "monitor": config.monitor.schedule,
        "maintain": config.retention.schedule,
    }
    return Plan(settings.home, config.name, work, schedules.get(work, ""), config.data.timezone or "UTC")


def differs(settings: Settings) -> tuple[str, ...]:
    """What `apply` would change, a sentence each, by what it remembers; empty where it never ran."""
    try:
        known: dict[str, str] = json.loads(_memory(settings).read_text())
    except (OSError, ValueError):
        return ()
    found = plans(settings)
    names = {plan.name: plan.digest for plan in found.wanted}
    changed = [f"{name} is not yet what its file says" for name in names if known.get(name) != names[name]]
    said = {name.partition("/")[2] for name in names if known.get(name) != names[name]}
    for name, digest in _files(settings, found).items():
        if known.get(name, digest) != digest and name.removeprefix(FILE) not in said:
            changed.append(f"pipelines/{name.removeprefix(FILE)}.toml has changed since the last treadle up")
    deployed = [name for name in known if not name.startswith(FILE)]
    gone = [name for name in deployed if name not in names and name.partition("/")[2] not in found.refused]
    changed += [f"{name} is of a pipeline whose file is gone" for name in gone]
    return (*changed, *(f"{name} cannot be deployed: {error.message}" for name, error in found.refused.items()))


def remember(settings: Settings, found: Plans) -> None:
    """Keep what was applied, where `differs` finds it."""
    path = _memory(settings)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({plan.name: plan.digest for plan in found.wanted} | _files(settings, found)))
    aside.replace(path)


def _files(settings: Settings, found: Plans) -> dict[str, str]:
    """The pipelines' files as they are: what is not a schedule is in no deployment, runs read it when they begin."""
    files = {plan.pipeline: settings.home / "pipelines" / f"{plan.pipeline}.toml" for plan in found.wanted}
    return {f"{FILE}{name}": hashlib.sha256(file.read_bytes()).hexdigest()[:12] for name, file in files.items()}


def _memory(settings: Settings) -> Path:
    return settings.state / "deployments.json"
