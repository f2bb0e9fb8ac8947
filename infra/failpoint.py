"""Places where a test ends the process as `kill -9` does: one before and one after every write that matters.

    with failpoint.around("ingest.rows"):   # or, above a method: @failpoint.around("ledger.batch")
        tables.overwrite_batch(...)

`TREADLE_FAILPOINT=ingest.rows:after` kills at that place, `ingest.rows:after@2` where it is reached for the second
time. Without the variable nothing happens.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.infra import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = (
    # a database, and the name by which it is found
    "database.build",
    "database.reveal",
    "server.database",
    "server.hint",
    # ingest
    "ingest.refused",
    "ingest.quarantine",
    "ingest.rows",
    "ingest.labels",
    "ledger.batch",
    # quarantine
    "ledger.decision",
    "release.rows",
    "release.quarantine",
    "ledger.decided",
    # train
    "ledger.lease",
    "study.trial",
    "workbench.table",
    "workbench.value",
    "workbench.text",
    "bundle",
    "mlflow.experiment",
    "mlflow.run",
    "mlflow.params",
    "mlflow.curves",
    "mlflow.trial",
    "mlflow.dataset",
    "mlflow.folder",
    "mlflow.model",
    "mlflow.artifacts",
    "mlflow.ready",
    "mlflow.version",
    "mlflow.finish",
    "ledger.holdout",
    "ledger.version",
    # promote
    "ledger.promotion",
    "mlflow.alias",
    "ledger.complete",
    # out of service
    "ledger.withdrawal",
    "mlflow.alias_removed",
    # score
    "score.output",
    "score.predictions",
    "outbox.file",
    # init
    "init.schema",
    "init.suite",
    "init.config",
    # maintain
    "maintain.compact",
    "ledger.retired",
    "maintain.artifacts",
    "maintain.run",
    "maintain.study",
    "maintain.file",
    # backup
    "backup.manifest",
    # home moved
    "moved.mlflow",
)
"""Every name that the code uses; a test compares."""

_reached: Counter[str] = Counter()


@contextmanager
def around(name: str) -> Iterator[None]:
    """A write: the process dies before or after it, if that is what the environment asks for."""
    _reach(f"{name}:before")
    yield
    _reach(f"{name}:after")


def _reach(place: str) -> None:
    wanted, _, count = settings.failpoint().partition("@")
    if wanted != place:
        return
    _reached[place] += 1
    if _reached[place] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
