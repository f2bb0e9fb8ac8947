"""The processes that `treadle up` keeps alive, and how they are found again whoever started them.

`child` is what the worker and MLflow's pages run in; `keep_alive` starts them, and starts them again; `worker_files`
is where a worker keeps what it needs for a while.
"""

from __future__ import annotations

from treadle.infra.processes.process import Known, end, folder, held, holder, said
from treadle.infra.supervisor.keep_alive import (
    Keeper,
    Service,
    answers,
    conforms,
    down,
    fell,
    is_elsewhere,
    is_holder,
    leave,
    logs,
    ready,
    stop,
)

__all__ = [
    "Keeper",
    "Known",
    "Service",
    "answers",
    "conforms",
    "down",
    "end",
    "fell",
    "folder",
    "held",
    "holder",
    "is_elsewhere",
    "is_holder",
    "leave",
    "logs",
    "ready",
    "said",
    "stop",
]
