"""One file of late labels: validate, then commit its quarantine, its labels and the ledger's record, in this order.

Labels are never overwritten by newer ones: all are kept, and the newest counts when they are read
(`infra/tables/truth.py`). So files may come late, twice, out of order, and before the rows that they belong to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import timings
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace, this_run
from treadle.flows.ingest.discovery import BatchRef, check_unchanged, set_aside
from treadle.tasks.errors import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from treadle.expectations.contract import LabelValidation
    from treadle.tasks.dataset import RawTable

EFFECTS = ("new", "revised", "repeated", "outdated", "orphan")


class LabelCounts(BaseModel):
    """Labels by what they change: labels_in = new + revised + repeated + outdated + orphan + empty + quarantined.

    `new`: the row had no label; `revised`: it had another one; `repeated`: it had the same; `outdated`: it has a newer
    one; `orphan`: the row has not come yet; `empty`: the label is null in the file, and the row is ignored.
    """

    model_config = ConfigDict(frozen=True)

    labels_in: int
    new: int = 0
    revised: int = 0
    repeated: int = 0
    outdated: int = 0
    orphan: int = 0
    empty: int = 0
    quarantined: int = 0


class LabelBatch(LabelCounts):
    """The result of one file of labels."""

    label: str
    batch_id: str
    status: str
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The batch in one line for people."""
        if self.status != "accepted":
            return f"{self.label}: {self.status}: {self.reason}"
        counts = self.model_dump(include={*EFFECTS, "empty", "quarantined"})
        listed = [f"{number:,} {name}" for name, number in counts.items() if number]
        return f"{self.label}: {self.labels_in:,} labels: " + ", ".join(listed)


class LabelsResult(LabelCounts):
    """All files of labels of one run."""

    batches: tuple[LabelBatch, ...] = ()

    @classmethod
    def of(cls, batches: Sequence[LabelBatch]) -> Self:
        """The files with the sums of their counts."""
        totals = {name: sum(getattr(batch, name) for batch in batches) for name in LabelCounts.model_fields}
        return cls(**totals, batches=tuple(batches))


@retried_task("take in labels")
@timings.timed("ingest")
def take_labels(home: str, pipeline: str, batch: BatchRef) -> LabelBatch:
    """Validate one file of labels and commit it: quarantine, labels, ledger, in this order."""
    from treadle.infra import sources, tables
    from treadle.infra.databases.ledger import LabelRecord

    place = open_workplace(home, pipeline)
    with tables.connect(place.settings.state / "duckdb") as con:
        try:
            raw = sources.open_raw(con, Path(batch.path), batch.batch_id)
        except UnreadableFile as error:
            set_aside(place, batch, error)
            result = LabelBatch(
                label=batch.label, batch_id=batch.batch_id, status="unreadable", labels_in=0, reason=error.reason
            )
        else:
            validation = labels_through_contract(place, con, raw)
            check_unchanged(batch)
            result = commit_labels(place, con, batch.label, validation)
    counts = result.model_dump(exclude={"warnings"})
    ledger, contract = place.stores.ledger, place.contract()
    at = ledger.moment(pipeline)
    record = LabelRecord(pipeline=pipeline, sha256=batch.sha256, contract=contract, at=at, **counts)
    ledger.record_batch(record, this_run())
    return result


def labels_through_contract(place: Workplace, con: duckdb.DuckDBPyConnection, raw: RawTable) -> LabelValidation:
    """Validate a file of labels, or a quarantined batch of them, against the current contract."""
    from treadle.expectations.contract import validate_labels

    data = place.config.data
    return validate_labels(
        con,
        raw,
        place.suite(),
        key=data.key,
        target=data.target,
        observed_at=place.config.labels.observed_at,
        timezone=data.timezone,
        missing=data.missing,
    )


def commit_labels(
    place: Workplace, con: duckdb.DuckDBPyConnection, label: str, validation: LabelValidation
) -> LabelBatch:
    """Write a validated file: refused rows first, then labels, each in one atomic overwrite."""
    from treadle.infra import failpoint

    tables, data, batch_id = place.stores.tables, place.config.data, validation.staged.raw.batch_id
    arrived = place.stores.ledger.moment(place.config.name)
    with failpoint.around("ingest.quarantine"):
        tables.overwrite_batch("quarantine", batch_id, validation.quarantine_reader(label, arrived))
    effects: dict[str, int] = {}
    if validation.refused:
        tables.clear_batch("labels", batch_id)
    else:
        effects = tables.label_effects(
            con, validation.fresh, batch_id=batch_id, arrived=arrived, target=data.target, key=data.key
        )
        with failpoint.around("ingest.labels"):
            tables.overwrite_batch("labels", batch_id, validation.accepted_reader(arrived))
    return LabelBatch(
        label=label,
        batch_id=batch_id,
        status="refused" if validation.refused else "accepted",
        labels_in=validation.labels_in,
        **effects,
        empty=validation.empty,
        quarantined=validation.quarantined,
        reason=validation.refused,
        warnings=validation.warnings,
    )
