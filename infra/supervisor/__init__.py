"""The processes that `treadle up` keeps alive, and how any command finds them again.

`child` is what the worker and MLflow's pages run in; `keep_alive` starts them, and starts them again; `worker_files`
is the folder of a worker's temporary files.
"""

from __future__ import annotations

from treadle.infra.processes.process import (
    ProcessRecord,
    end_holder_of,
    hold_process_lock,
    holder,
    last_record,
    locks_folder,
)
from treadle.infra.supervisor.keep_alive import (
    Keeper,
    Service,
    answers,
    exited_unexpectedly,
    is_elsewhere,
    is_holder,
    logs_folder,
    mark_leaving,
    mark_ready,
    services_conform,
    stop_services,
    stop_up,
)

__all__ = [
    "Keeper",
    "ProcessRecord",
    "Service",
    "answers",
    "end_holder_of",
    "exited_unexpectedly",
    "hold_process_lock",
    "holder",
    "is_elsewhere",
    "is_holder",
    "last_record",
    "locks_folder",
    "logs_folder",
    "mark_leaving",
    "mark_ready",
    "services_conform",
    "stop_services",
    "stop_up",
]
