"""What waits to be ingested: files of the source, or those that were named, whose content no run has settled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect import task
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import timings
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.tasks.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Growing(DataError):
    """A file changed while it was read: it is no batch yet."""


class BatchRef(BaseModel):
    """A file that waits: where it is, what it holds, and its content's sha256, by which the batch is known."""

    model_config = ConfigDict(frozen=True)

    path: str
    label: str
    sha256: str
    kind: Literal["rows", "labels"] = "rows"

    @property
    def batch_id(self) -> str:
        """The batch's name in every table; the same file may bring rows and, as another batch, labels."""
        return self.sha256[:16] if self.kind == "rows" else f"labels-{self.sha256[:16]}"


class Waiting(BaseModel):
    """What was found: new batches, how many were seen before, which of those named were refused then.

    `closed` are files that nobody lets us read, with the system's word: they keep none of the others waiting.
    """

    model_config = ConfigDict(frozen=True)

    new: tuple[BatchRef, ...]
    skipped: int
    refused_before: tuple[str, ...]
    closed: tuple[str, ...] = ()


@task(name="look for batches", task_run_name="look for batches")
@timings.timed("ingest")
def find_batches(home: str, pipeline: str, paths: list[str], as_labels: bool = False) -> Waiting:
    """Find files of the sources (or `paths`) whose content no earlier run has settled, rows before labels.

    A batch that was refused is looked at again when the suite, or how the config reads and weighs it, has changed,
    unless a person has taken it in hand (`treadle quarantine`).
    """
    place = open_workplace(home, pipeline)
    ledger, contract = place.stores.ledger, place.contract()
    decided = {decision.batch_id: decision for decision in ledger.decisions(pipeline)}
    new: dict[str, BatchRef] = {}
    skipped, refused = 0, []
    found, closed = _files(place, [Path(path) for path in paths], as_labels)
    for ref in found:
        record = (ledger.find_batch if ref.kind == "rows" else ledger.find_label_batch)(pipeline, ref.sha256)
        decision = decided.get(ref.batch_id)
        again = record and record.status != "accepted" and record.contract != contract and not decision
        if record is None or again:
            skipped += ref.batch_id in new
            new.setdefault(ref.batch_id, ref)
            continue
        skipped += 1
        if paths and record.status != "accepted" and (decision is None or decision.action == "drop"):
            said = f"dropped by {decision.who}: {decision.reason}" if decision else record.reason
            refused.append(f"{ref.label}: {said}")
    ordered = sorted(new.values(), key=lambda ref: ref.kind == "labels")
    return Waiting(new=tuple(ordered), skipped=skipped, refused_before=tuple(refused), closed=tuple(closed))


def _files(place: Workplace, paths: Sequence[Path], as_labels: bool) -> tuple[list[BatchRef], list[str]]:
    """The files that are there, and what is wrong with those that cannot be read; what both sources find is of labels.

    Raises UsageError for labels of a pipeline without a key.
    """
    from treadle.infra import sources

    home, config = place.settings.home, place.config
    found = sources.find_files(home, config.data.source, paths)
    if config.labels.source and not paths:
        found += [path for path in sources.find_files(home, config.labels.source) if path not in found]
    refs, closed = [], []
    for path in found:
        labels = as_labels or (config.labels.source and sources.covers(home, config.labels.source, path))
        try:
            known = sources.fingerprint(path)
        except DataError as error:
            closed.append(error.message)
            continue
        refs.append(BatchRef(path=str(path), label=path.name, sha256=known, kind="labels" if labels else "rows"))
    if as_labels and not config.data.key:
        raise UsageError("late labels find their rows by data.key, which names no column", "set data.key")
    return refs, closed


def set_aside(place: Workplace, batch: BatchRef, error: DataError) -> None:
    """Copy a file that cannot be read to the refused folder and give it one quarantine row.

    Raises Growing where it is not whole yet.
    """
    from treadle.infra import failpoint
    from treadle.infra.files import outbox

    check_unchanged(batch)
    folder = place.stores.tables.refused_folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(batch.path, folder / f"{batch.batch_id}.part")
    with failpoint.around("ingest.refused"):
        (folder / f"{batch.batch_id}.part").replace(folder / f"{batch.batch_id}-{outbox.short_name(batch.label)}")
    place.stores.tables.quarantine_file(batch.batch_id, batch.label, batch.sha256, error.message)


def check_unchanged(batch: BatchRef) -> None:
    """Raise Growing where the file is not what it was when it was found."""
    from treadle.infra import sources

    if sources.fingerprint(Path(batch.path)) != batch.sha256:
        raise Growing(
            f"{batch.label} was still being written while it was read",
            "it is taken in the next time; copy files under a name that ends in .part, then rename them",
        )
