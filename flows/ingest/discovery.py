"""Find the files to ingest: those of the sources, or given ones, whose content no earlier run has processed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect import task
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import timings
from treadle.flows.context.workplace import Workplace, open_workplace
from treadle.flows.ingest import corrections
from treadle.tasks.errors import DataError, UnreadableFile, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Growing(DataError):
    """A file changed while it was read; it is ingested once it is complete."""


class BatchRef(BaseModel):
    """A file to ingest: its path, what it holds, and the sha256 of its content, which identifies the batch."""

    model_config = ConfigDict(frozen=True)

    path: str
    label: str
    sha256: str
    kind: Literal["rows", "labels"] = "rows"

    @property
    def batch_id(self) -> str:
        """The batch's name in every table; the same file may bring rows and, as another batch, labels."""
        return self.sha256[:16] if self.kind == "rows" else f"labels-{self.sha256[:16]}"


class WaitingBatches(BaseModel):
    """The `new` batches, the number of batches processed before, and those of the given files that were refused then.

    `closed`: an error for each file that cannot be opened; the others are ingested all the same.
    """

    model_config = ConfigDict(frozen=True)

    new: tuple[BatchRef, ...]
    skipped: int
    refused_before: tuple[str, ...]
    closed: tuple[str, ...] = ()


@task(name="find batches", task_run_name="find batches")
@timings.timed("ingest")
def find_batches(
    home: str, pipeline: str, paths: list[str], as_labels: bool = False, correcting: bool = False
) -> WaitingBatches:
    """Find files of the sources (or `paths`) whose content no earlier run has processed, rows before labels.

    With `correcting` the files are declared to correct, those that were processed before too.

    A batch that was refused is validated again when the suite, or the part of the config that `Workplace.contract`
    covers, has changed, unless a person has decided about it (`treadle quarantine`).
    """
    place = open_workplace(home, pipeline)
    ledger, contract = place.stores.ledger, place.contract()
    decided = {decision.batch_id: decision for decision in ledger.decisions(pipeline)}
    new: dict[str, BatchRef] = {}
    skipped, refused = 0, []
    refs, closed = _files(place, [Path(path) for path in paths], as_labels)
    if correcting:
        if labels := [ref.label for ref in refs if ref.kind == "labels"]:
            raise UsageError(
                f"{labels[0]} holds labels (labels.source covers it): --corrects is for files of rows",
                "labels that come later count in any case: leave --corrects out",
            )
        corrections.declare(place, [ref.batch_id for ref in refs if ref.kind == "rows"])
    for ref in refs:
        record = (ledger.find_batch if ref.kind == "rows" else ledger.find_label_batch)(pipeline, ref.sha256)
        decision = decided.get(ref.batch_id)
        again = record and record.status != "accepted" and record.contract != contract and not decision
        if record is None or again:
            skipped += ref.batch_id in new
            new.setdefault(ref.batch_id, ref)
            continue
        skipped += 1
        if paths and record.status != "accepted" and (decision is None or decision.action == "drop"):
            reason = f"dropped by {decision.who}: {decision.reason}" if decision else record.reason
            refused.append(f"{ref.label}: {reason}")
    ordered = sorted(new.values(), key=lambda ref: ref.kind == "labels")
    return WaitingBatches(new=tuple(ordered), skipped=skipped, refused_before=tuple(refused), closed=tuple(closed))


def _files(place: Workplace, paths: Sequence[Path], as_labels: bool) -> tuple[list[BatchRef], list[str]]:
    """The files of the sources, or `paths`, and an error for each that cannot be read.

    A file that both sources match holds labels. Raises UsageError for labels of a pipeline without a key.
    """
    from treadle.infra import sources

    home, config = place.settings.home, place.config
    files = sources.find_files(home, config.data.source, paths)
    if config.labels.source and not paths:
        files += [path for path in sources.find_files(home, config.labels.source) if path not in files]
    refs, closed = [], []
    for path in files:
        labels = as_labels or (config.labels.source and sources.covers(home, config.labels.source, path))
        try:
            sha256 = sources.fingerprint(path)
        except UnreadableFile as error:
            closed.append(error.message)
            continue
        refs.append(BatchRef(path=str(path), label=path.name, sha256=sha256, kind="labels" if labels else "rows"))
    if as_labels and not config.data.key:
        raise UsageError("late labels find their rows by data.key, which names no column", "set data.key")
    return refs, closed


def set_aside(place: Workplace, batch: BatchRef, error: UnreadableFile) -> None:
    """Copy a file that cannot be parsed to the refused folder and add one quarantine row for it.

    Raises Growing where the file is still being written.
    """
    from treadle.infra import failpoint
    from treadle.infra.files import outbox
    from treadle.infra.files.atomic import replacing

    check_unchanged(batch)
    folder = place.stores.tables.refused_folder
    copy = folder / f"{batch.batch_id}-{outbox.short_name(batch.label)}"
    with replacing(copy, failpoint.around("ingest.refused")) as aside:
        shutil.copyfile(batch.path, aside)
    place.stores.tables.quarantine_file(batch.batch_id, batch.label, batch.sha256, error.message)


def check_unchanged(batch: BatchRef) -> None:
    """Raise Growing where the file has changed since `find_batches`."""
    from treadle.infra import sources

    if sources.fingerprint(Path(batch.path)) != batch.sha256:
        raise Growing(
            f"{batch.label} was still being written while it was read",
            "the next run ingests it; copy files under a name that ends in .part, then rename them",
        )
