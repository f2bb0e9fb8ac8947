"""Which error ended a run, as a label of the run in Prefect: alerts recognise a failure by it, not by its message."""

from __future__ import annotations

import logging

from treadle.tasks.errors import TreadleError

LABEL = "treadle.error"

log = logging.getLogger("treadle.orchestrator")


def error_kind(error: Exception) -> str:
    """`ConfigError data.target`, `DataError`, ...: the same for the same kind of error, whatever its message."""
    return error.kind if isinstance(error, TreadleError) else type(error).__name__


def label_failure(error: Exception) -> None:
    """Label the flow run of this process with the kind of its error; does nothing outside a run.

    The run fails with its own error where the server does not answer.
    """
    from uuid import UUID

    from prefect import runtime
    from prefect.client.orchestration import get_client

    if run := runtime.flow_run.id:
        try:
            with get_client(sync_client=True) as client:
                client.update_flow_run_labels(UUID(run), {LABEL: error_kind(error)})
        except Exception as unlabelled:  # nothing about a label may hide why the run failed
            log.debug("the run is not labelled with its error: %s", unlabelled)
