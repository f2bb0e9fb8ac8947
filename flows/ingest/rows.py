"""One batch of rows: validate, then commit its quarantine, its rows and the ledger's record, in this order.

Each of the three writes may be repeated, so the next run completes a batch after a kill between any two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import timings
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace, this_run
from treadle.flows.ingest.discovery import BatchRef, check_unchanged, set_aside
from treadle.tasks.errors import UnreadableFile

if TYPE_CHECKING:
    from datetime import datetime

    from treadle.expectations.contract import Validation
    from treadle.infra.databases.ledger import BatchRecord


class BatchResult(BaseModel):
    """The result of one batch; rows_in = accepted + quarantined + duplicates.

    `labelled` counts accepted rows that bring a label, `joined` those whose label had come before them.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    batch_id: str
    status: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    labelled: int
    joined: int = 0
    reason: str = ""
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@retried_task("take in a batch")
@timings.timed("ingest")
def take_in(home: str, pipeline: str, batch: BatchRef) -> BatchResult:
    """Validate one batch and commit it: quarantine, rows, ledger, in this order."""
    from treadle.expectations.contract import validate
    from treadle.infra import sources, tables

    place = open_workplace(home, pipeline)
    suite, data = place.suite(), place.config.data
    with tables.connect(place.settings.state / "duckdb") as con:
        try:
            raw = sources.open_raw(con, Path(batch.path), batch.batch_id)
        except UnreadableFile as error:
            set_aside(place, batch, error)
            result, document = unreadable(batch, error), ""
        else:
            with timings.timed("GX"):
                validation = validate(
                    con,
                    raw,
                    suite,
                    key=data.key,
                    target=data.target,
                    timezone=data.timezone,
                    missing=data.missing,
                    max_bad_rows=data.max_bad_rows,
                )
            check_unchanged(batch)
            result, document = commit_rows(place, batch, validation), json.dumps(validation.report.document())
    ledger = place.stores.ledger
    record = batch_record(pipeline, batch.sha256, result, place.contract(), document, ledger.moment(pipeline))
    ledger.record_batch(record, this_run())
    return result


def batch_record(
    pipeline: str, sha256: str, result: BatchResult, contract: str, validation: str, at: datetime
) -> BatchRecord:
    """The ledger's record of a batch, by which the same content is never ingested twice."""
    from treadle.infra.databases.ledger import BatchRecord

    return BatchRecord(
        pipeline=pipeline,
        sha256=sha256,
        batch_id=result.batch_id,
        label=result.label,
        status=result.status,
        reason=result.reason,
        contract=contract,
        rows_in=result.rows_in,
        accepted=result.accepted,
        quarantined=result.quarantined,
        duplicates=result.duplicates,
        equal_rows=result.equal_rows,
        labelled=result.labelled,
        validation=validation,
        at=at,
    )


def commit_rows(place: Workplace, batch: BatchRef, validation: Validation) -> BatchResult:
    """Write a validated batch: refused rows first, then accepted ones, each in one atomic overwrite."""
    from treadle.infra import failpoint

    report, tables = validation.report, place.stores.tables
    arrived = place.stores.ledger.moment(place.config.name)
    with failpoint.around("ingest.quarantine"):
        tables.overwrite_batch("quarantine", batch.batch_id, validation.quarantine_reader(batch.label, arrived))
    with failpoint.around("ingest.rows"):
        if report.refused:  # a killed run may have accepted the rows before the suite was changed
            tables.clear_batch("rows", batch.batch_id)
        else:
            tables.overwrite_batch("rows", batch.batch_id, validation.accepted_reader(arrived))
    data = place.config.data
    broken = () if report.refused else report.refusals
    return BatchResult(
        label=batch.label,
        batch_id=batch.batch_id,
        status="refused" if report.refused else "accepted",
        rows_in=report.rows_in,
        accepted=report.accepted,
        quarantined=report.quarantined,
        duplicates=report.duplicates,
        equal_rows=report.equal_rows,
        labelled=report.labelled,
        joined=0 if report.refused else tables.labels_before(batch.batch_id, data.target, data.key),
        reason=report.refused + _late_labels_hint(place, validation),
        refusals=broken,
        warnings=tuple(warning for warning in report.warnings if warning not in broken),
    )


def _late_labels_hint(place: Workplace, validation: Validation) -> str:
    """A hint where a refused file has exactly the columns of late labels; else empty."""
    data, names = place.config.data, set(validation.staged.raw.names)
    labels = {*data.key, data.target}
    if not validation.refused or not data.key or not labels <= names <= labels | {place.config.labels.observed_at}:
        return ""
    by_hand = f"treadle ingest --labels FILE -p {place.config.name}"
    return f"; it looks like late labels: they go to labels.source, or {by_hand}"


def unreadable(batch: BatchRef, error: UnreadableFile) -> BatchResult:
    """The result of a file that could not be read."""
    return BatchResult(
        label=batch.label,
        batch_id=batch.batch_id,
        status="unreadable",
        rows_in=0,
        accepted=0,
        quarantined=0,
        duplicates=0,
        equal_rows=0,
        labelled=0,
        reason=error.reason,
    )


def describe_batch(batch: BatchResult) -> str:
    """One batch in one line for people."""
    if batch.status != "accepted":
        return f"{batch.label}: {batch.status}: {batch.reason}"
    parts = [f"{batch.accepted:,} of {batch.rows_in:,} rows accepted"]
    if batch.quarantined:
        parts.append(f"{batch.quarantined:,} quarantined")
    if batch.duplicates:
        parts.append(f"{batch.duplicates:,} duplicate{'' if batch.duplicates == 1 else 's'}")
    if batch.joined:
        parts.append(f"{batch.joined:,} find their label waiting")
    return f"{batch.label}: " + ", ".join(parts)
