"""`treadle monitor`: realised performance, freshness and changes of the data; says whether retraining is due.

New files are ingested first; apart from that nothing is changed. The same data and champion give the same MLflow run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow

from treadle.flows.context import events
from treadle.flows.context.locking import one_at_a_time
from treadle.flows.context.named_pipeline import naming_pipeline
from treadle.flows.ingest import ingest_first
from treadle.flows.monitor.result import MonitorResult
from treadle.flows.monitor.steps import compare_data, measure_performance, monitor_result, publish_result
from treadle.flows.score.steps import resolve_champion

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

__all__ = ["MonitorResult", "monitor", "run_monitor"]


def run_monitor(settings: Settings, config: PipelineConfig) -> MonitorResult:
    """Measure the champion's performance on new labels, and how the data has changed.

    Raises NothingPromoted without a champion, BundleError where its bundle is damaged.
    """
    from treadle.infra.orchestrator import flow_context

    events.emit("monitor", f"looking up the champion of {config.name} and new files")
    with flow_context(settings):
        return monitor(str(settings.home), config.name)


@flow(name="monitor", flow_run_name="monitor {pipeline}")
@naming_pipeline
@one_at_a_time("monitor")
def monitor(home: str, pipeline: str) -> MonitorResult:
    """Ingest new files, compare predictions with labels and batches with the reference, and decide on retraining."""
    champion = resolve_champion(home, pipeline, "champion", answers=False)
    arrived = ingest_first(home, pipeline)
    measured = measure_performance(home, pipeline, champion)
    compared = compare_data(home, pipeline, champion)
    result = monitor_result(pipeline, champion, measured, compared)
    published = publish_result(home, pipeline, result, measured.predictions_version)
    events.emit("monitor", "retraining is due" if published.due else "nothing is due")
    return published.model_copy(update={"ingest": arrived})
