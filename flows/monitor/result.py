"""The result of `treadle monitor`, and the results of its steps."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from treadle.flows.ingest import IngestResult
from treadle.tasks.health import BatchShares, ColumnShares, Freshness, UnseenLevels
from treadle.tasks.performance import MetricBounds, Realised, VersionOutcome
from treadle.tasks.retrain import RetrainFinding
from treadle.tasks.sequential import LossRise


class MeasuredPerformance(BaseModel):
    """The realised performance of predictions, and the findings of the rules of [retrain], at one data version."""

    model_config = ConfigDict(frozen=True)

    metric: str
    data_version: str
    predictions_version: int
    expected: MetricBounds | None
    recent: Realised | None
    versions: tuple[VersionOutcome, ...]
    findings: tuple[RetrainFinding, ...]
    reason: str
    warnings: tuple[str, ...]
    proposed_mature_after: str | None = None
    rise: LossRise | None = None


class ComparedData(BaseModel):
    """The age of data and champion, and the newest batches beside the champion's reference."""

    model_config = ConfigDict(frozen=True)

    freshness: Freshness
    reference: tuple[ColumnShares, ...]
    batches: tuple[BatchShares, ...]


class MonitorResult(BaseModel):
    """The champion's performance, the state of the data, and whether retraining is due.

    `expected` is its holdout value with its interval (null where its training recorded none), `recent` its performance
    on the predictions of the last days before the newest label. `reason` says why retraining is due; empty where it is
    not. `proposed_mature_after` is what `[labels] mature_after` could be, by the delays of labels so far; None where it
    is set, or they do not show one. `unseen` has each column of categories in the newest batch. `rise` is the evidence
    that the loss rose since the promotion (null without labels, without a holdout interval, or where `on_performance`
    is off).
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    champion: int
    metric: str
    data_version: str
    due: bool
    reason: str
    findings: tuple[RetrainFinding, ...]
    expected: MetricBounds | None
    recent: Realised | None
    versions: tuple[VersionOutcome, ...]
    freshness: Freshness
    reference: tuple[ColumnShares, ...]
    batches: tuple[BatchShares, ...]
    page: str
    run_id: str
    warnings: tuple[str, ...]
    proposed_mature_after: str | None = None
    ingest: IngestResult | None = None
    unseen: tuple[UnseenLevels, ...] = ()
    rise: LossRise | None = None

    def exit_code(self) -> int:
        """3 when a batch that waited was refused whole, else 0: that retraining is due is no failure."""
        return self.ingest.exit_code() if self.ingest else 0
