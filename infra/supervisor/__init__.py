"""The processes that `treadle up` keeps alive, and how they are found again whoever started them.

`process` is one such process, known by the lock of a file; `child` is what the worker and MLflow's pages run in;
`keep` starts them, and starts them again; `scratch` is where a worker keeps what it needs for a while; `lost` closes
runs whose process has gone.
"""

from __future__ import annotations

from treadle.infra.supervisor.keep import (
    Keeper,
    Service,
    answers,
    conforms,
    down,
    fell,
    folder,
    is_elsewhere,
    is_holder,
    leave,
    logs,
    ready,
    stop,
)
from treadle.infra.supervisor.lost import Lost
from treadle.infra.supervisor.process import Known, end, held, holder, said

__all__ = [
    "Keeper",
    "Known",
    "Lost",
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
