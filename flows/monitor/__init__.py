"""`treadle monitor`: late labels, realised performance, freshness, what the data looks like; is it time to train?

What waits is ingested first. Nothing is changed but what the ingest brings: the same data and champion give the same
MLflow run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.ingest import ingest_first
from treadle.flows.monitor.result import MonitorResult
from treadle.flows.monitor.steps import compare_data, measure_performance, monitor_result, publish_result
from treadle.flows.score.steps import resolve_champion

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

__all__ = ["MonitorResult", "monitor", "run_monitor"]


def run_monitor(settings: Settings, config: PipelineConfig) -> MonitorResult:
    """See how the champion does.

    Raises NothingPromoted without a champion, BundleError where its bundle is damaged.
    """
    from treadle.infra.orchestrator import flow_context

    with flow_context(settings):
        return monitor(str(settings.home), config.name)


@flow(name="monitor", flow_run_name="monitor {pipeline}")
@one_at_a_time("monitor")
def monitor(home: str, pipeline: str) -> MonitorResult:
    """Ingest what waits, compare predictions with labels and batches with the reference, and weigh retraining."""
    champion = resolve_champion(home, pipeline, "champion")
    arrived = ingest_first(home, pipeline)
    measured = measure_performance(home, pipeline, champion)
    seen = compare_data(home, pipeline, champion)
    result = monitor_result(pipeline, champion, measured, seen)
    told = publish_result(home, pipeline, result, measured.predictions_version)
    events.emit("monitor", "retraining is due" if told.due else "nothing is due")
    return told.model_copy(update={"ingest": arrived})
