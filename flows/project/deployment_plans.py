"""The deployments that the files in `pipelines/` define, and how those applied last differ from them."""

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
"""Tag of all our deployments and of their runs."""

HEARTBEAT_SECONDS = 30

ENTRYPOINTS = Path(__file__).parents[1] / "service" / "deployments" / "entrypoints.py"

FILE = "file/"
"""Prefix of a pipeline's file in `deployments.json`, beside the names of its deployments."""

WorkKind = Literal["ingest", "train", "score", "monitor", "promote", "maintain"]
WORKS: tuple[WorkKind, ...] = get_args(WorkKind)

ABOUT: dict[WorkKind, str] = {
    "ingest": "Takes new files of `{0}` through the contract into rows, labels and quarantine.",
    "train": "Trains a challenger for `{0}`, judges it, and promotes it if it is better.",
    "score": "Predicts the rows of `{0}` that have neither label nor prediction.",
    "monitor": "Compares the predictions of `{0}` with labels, and says whether retraining is due.",
    "promote": "Makes a version of `{0}` the champion, or declines it, as a person decides.",
    "maintain": "Deletes what `{0}` no longer needs: old runs, models, files of tables, history.",
}


@dataclass(frozen=True)
class Plan:
    """One deployment as defined by the files. `schedule` is cron's five fields, read in `timezone`; empty: none."""

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
        """Parameters of a run that the schedule starts: train only when it is due."""
        return {"options": {"if_due": True}} if self.work == "train" else {}

    @property
    def entrypoint(self) -> str:
        """The flow, as a worker imports it."""
        return f"treadle.flows.service.deployments.entrypoints.{self.work}_deployment"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a run's process in addition to the worker's own environment."""
        from treadle.infra.orchestrator import run_environment

        return run_environment(self.home, HEARTBEAT_SECONDS)

    @cached_property
    def digest(self) -> str:
        """Changes whenever the deployment does; used as its version on the server."""
        fields = [
            self.name,
            self.schedule,
            self.timezone,
            self.about,
            self.scheduled,
            self.entrypoint,
            self.environment,
        ]
        form = ENTRYPOINTS.read_bytes()  # importing it would take a second
        return hashlib.sha256(form + json.dumps(fields).encode()).hexdigest()[:12]


class Plans(NamedTuple):
    """The deployments that the files define, and the errors of invalid files by pipeline."""

    wanted: tuple[Plan, ...]
    refused: dict[str, ConfigError]


def plans(settings: Settings) -> Plans:
    """Read every file in `pipelines/`; an invalid one is in `refused` and does not affect the others."""
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


class Difference(NamedTuple):
    """How one pipeline's deployments differ from what `treadle up` applied last.

    `kind`: `deployment` (one that its file describes otherwise), `file` (changed otherwise), `gone` (the file is
    deleted) or `refused` (the file is invalid).
    """

    pipeline: str
    kind: Literal["deployment", "file", "gone", "refused"]
    sentence: str


def deployment_differences(settings: Settings) -> tuple[Difference, ...]:
    """What `apply_deployments` would change, compared with `remember`; empty where it never ran."""
    try:
        applied: dict[str, str] = json.loads(_applied_file(settings).read_text())
    except (OSError, ValueError):
        return ()
    planned = plans(settings)
    digests = {plan.name: plan.digest for plan in planned.wanted}
    outdated = [name for name in digests if applied.get(name) != digests[name]]
    changed = [
        Difference(_pipeline_of(name), "deployment", f"{name} is not yet what its file says") for name in outdated
    ]
    pipelines = {one.pipeline for one in changed}
    for name, digest in _files(settings, planned).items():
        pipeline = name.removeprefix(FILE)
        if applied.get(name, digest) != digest and pipeline not in pipelines:
            said = f"pipelines/{pipeline}.toml has changed since the last treadle up"
            changed.append(Difference(pipeline, "file", said))
    for name in applied:
        pipeline = _pipeline_of(name)
        if not name.startswith(FILE) and name not in digests and pipeline not in planned.refused:
            changed.append(Difference(pipeline, "gone", f"{name} is of a pipeline whose file is gone"))
    refused = planned.refused.items()
    return (*changed, *(Difference(name, "refused", f"{name} cannot be deployed: {e.message}") for name, e in refused))


def _pipeline_of(deployment: str) -> str:
    """`score/shop` -> `shop`."""
    return deployment.partition("/")[2]


def remember(settings: Settings, applied: Plans) -> None:
    """Store the digests of the applied plans, which `deployment_differences` compares with the files."""
    from treadle.infra.files.atomic import write_atomically

    digests = {plan.name: plan.digest for plan in applied.wanted} | _files(settings, applied)
    write_atomically(_applied_file(settings), json.dumps(digests))


def _files(settings: Settings, planned: Plans) -> dict[str, str]:
    """Digests of the pipelines' files: most of a file is in no deployment, because runs read it when they begin."""
    files = {plan.pipeline: settings.home / "pipelines" / f"{plan.pipeline}.toml" for plan in planned.wanted}
    return {f"{FILE}{name}": hashlib.sha256(file.read_bytes()).hexdigest()[:12] for name, file in files.items()}


def _applied_file(settings: Settings) -> Path:
    return settings.state / "deployments.json"
