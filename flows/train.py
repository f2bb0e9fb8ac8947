"""`treadle train`: rows @ version -> split -> tune -> fit -> register -> evaluate -> gate -> promote if better.

A run is known by data version, config and seed. Unfinished, the same command goes on where it stopped: the study
keeps its finished trials, fitting is repeatable, and a version that was registered is found again by its run key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, runtime, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from flows import events
from flows.ingest import ingest
from flows.promote import move, settle
from flows.steps import RETRY_DELAYS, Workplace, open_workplace, transient
from tasks.errors import TargetError

if TYPE_CHECKING:
    import pyarrow as pa

    from infra.ledger import VersionRecord
    from infra.settings import Settings
    from tasks.config import PipelineConfig
    from tasks.dataset import Parts
    from tasks.gate import Verdict
    from tasks.search import Trial
    from tasks.training import Problem


class RunRef(BaseModel):
    """One training run: everything that its steps need to find the same rows, parameters and files again."""

    model_config = ConfigDict(frozen=True)

    home: str
    pipeline: str
    run_key: str
    data_version: str
    rows_version: int
    config_digest: str
    seed: int
    trials: int
    budget_seconds: float
    device: str

    def open(self) -> Workplace:
        """The pipeline with this run's trials, budget, device and seed in its config."""
        place = open_workplace(self.home, self.pipeline)
        return Workplace(place.settings, self.apply(place.config), place.stores)

    def apply(self, config: PipelineConfig) -> PipelineConfig:
        tune = config.tune.model_copy(
            update={"trials": self.trials, "budget_seconds": self.budget_seconds, "seed": self.seed}
        )
        return config.model_copy(
            update={"tune": tune, "model": config.model.model_copy(update={"device": self.device})}
        )

    @property
    def folder(self) -> Path:
        """Where the run keeps what it makes before it is registered; may be thrown away."""
        return Path(self.home) / ".treadle" / "runs" / self.run_key


class TrainResult(BaseModel):
    """The run's end, for people and machines."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run_key: str
    run_id: str
    version: int
    decision: str
    headline: str
    reasons: tuple[str, ...]
    promoted: bool
    already: bool
    metric: str
    value: float
    champion_value: float
    linear_value: float | None
    dummy_value: float | None
    trials: int
    resumed: int
    seconds: float
    report: str
    data_version: str
    device: str
    device_why: str

    def exit_code(self) -> int:
        """4 when the gate said REFUSED or NOT_COMPARABLE, else 0."""
        return 4 if self.decision in ("REFUSED", "NOT_COMPARABLE") else 0
