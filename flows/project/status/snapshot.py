"""How one pipeline stands, from its ledger, its tables and its inbox: what is quick to read, and starts nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from treadle.tasks.performance import MetricBounds, Realised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import BatchRecord, LabelRecord

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


class MonitorSummary(BaseModel):
    """What `treadle monitor` found last, as far as it matters here; see `treadle.flows.monitor.MonitorResult`."""

    champion: int
    due: bool
    reason: str
    recent: Realised | None


class ChampionStatus(BaseModel):
    """Who predicts: since when, how many days after it was registered, and what it is worth in `metric`.

    `value` is its holdout's. `realised` is what its recent predictions turned out to be worth, on so many `labels`,
    when `treadle monitor` looked last; None where it has not yet, or there were no labels. `labels_at`: when
    labels came last, of whatever rows, since it is champion.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    since: datetime
    age_days: float
    metric: str
    value: float | None
    realised: MetricBounds | None
    labels: int
    monitored_at: datetime | None
    due: str
    labels_at: datetime | None = None


class QuarantinedBatch(BaseModel):
    """A batch in quarantine: its file, how many of its rows, and `reason` where it is there whole.

    `page` shows the run that took it in; empty where nobody knows it any more.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    file: str
    rows: int
    reason: str
    page: str = ""

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.file}: {self.reason or f'{self.rows:,} rows'}"


class Quarantine(BaseModel):
    """Batches in quarantine that nobody has settled, oldest first, and their rows."""

    model_config = ConfigDict(frozen=True)

    batches: int
    rows: int
    kept: tuple[QuarantinedBatch, ...] = ()


class Refused(BaseModel):
    """The newest version, where the gate refused it and the champion has not moved since."""

    model_config = ConfigDict(frozen=True)

    version: int
    headline: str


class Stale(BaseModel):
    """That no file with rows came `since` then, more than `after_hours` ago."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    after_hours: float


class Unscored(BaseModel):
    """Accepted batches with rows that have neither a label nor a prediction, and those rows."""

    model_config = ConfigDict(frozen=True)

    batches: int
    rows: int


def champion_status(place: Workplace) -> ChampionStatus | None:
    """Today's champion by the ledger; None before the first."""
    ledger, pipeline = place.stores.ledger, place.config.name
    move = ledger.champion(pipeline)
    record = ledger.version(pipeline, move.version_to) if move else None
    if move is None or record is None:
        return None
    path = monitored(place)
    told, at = _told(path)
    mine = told if told and told.champion == record.version else None
    return ChampionStatus(
        version=record.version,
        since=move.at,
        age_days=(datetime.now(UTC) - record.created_at).total_seconds() / DAY_SECONDS,
        metric=record.metric,
        value=record.value,
        realised=mine.recent.metric if mine and mine.recent else None,
        labels=mine.recent.labelled if mine and mine.recent else 0,
        monitored_at=at if mine else None,
        due=mine.reason if mine else "",
        labels_at=max((at for at in _labels(place) if at > move.at), default=None),
    )


def _labels(place: Workplace) -> Iterator[datetime]:
    """When labels came, in rows or late."""
    ledger, pipeline = place.stores.ledger, place.config.name
    yield from (one.at for one in ledger.batches(pipeline) if one.labelled)
    yield from (one.at for one in ledger.label_batches(pipeline) if one.labels_in > one.empty + one.quarantined)


def monitored(place: Workplace) -> Path:
    """Where `treadle monitor` keeps what it found last."""
    return place.settings.state / "monitor" / f"{place.config.name}.json"


def _told(path: Path) -> tuple[MonitorSummary | None, datetime | None]:
    try:
        return MonitorSummary.model_validate_json(path.read_bytes()), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValidationError):
        return None, None


def quarantine_status(place: Workplace) -> Quarantine:
    """What `treadle quarantine list` lists, counted from the ledger alone."""
    ledger, pipeline = place.stores.ledger, place.config.name
    left: dict[str, int] = {}
    records: list[BatchRecord | LabelRecord] = [*ledger.batches(pipeline), *ledger.label_batches(pipeline)]
    known = {record.batch_id: record for record in records}
    for record in records:
        if record.status != "accepted" or record.quarantined:
            left[record.batch_id] = record.quarantined
    for decision in ledger.decisions(pipeline):
        if decision.action == "drop" or (not decision.pending and not decision.left):
            left.pop(decision.batch_id, None)
        elif not decision.pending:
            left[decision.batch_id] = decision.left
    kept = (
        QuarantinedBatch(batch_id=batch, file=one.label, rows=rows, reason=one.reason)
        for batch, rows in left.items()
        if (one := known.get(batch))
    )
    return Quarantine(batches=len(left), rows=sum(left.values()), kept=tuple(kept))


def refused_version(place: Workplace) -> Refused | None:
    """See `Refused`; a person's move settles it, and so does the next version."""
    ledger, pipeline = place.stores.ledger, place.config.name
    newest, move = next(iter(ledger.versions(pipeline)), None), ledger.champion(pipeline)
    if newest is None or newest.decision != "REFUSED" or (move is not None and move.at > newest.created_at):
        return None
    return Refused(version=newest.version, headline=newest.headline)


def stale_data(place: Workplace) -> Stale | None:
    """Whether rows are overdue; never before the first have come."""
    after = place.config.alerts.stale_after_hours
    batches = place.stores.ledger.batches(place.config.name)
    last = max((record.at for record in batches if record.status == "accepted"), default=None)
    if after is None or last is None:
        return None
    hours = (datetime.now(UTC) - last).total_seconds() / HOUR_SECONDS
    return Stale(since=last, after_hours=after) if hours > after else None


def waiting_files(place: Workplace) -> tuple[str, ...]:
    """Names of files in the sources that no run has settled.

    One that was not touched since a file of its name was settled counts as settled; of the others the content is read.
    """
    from treadle.infra import sources

    home, config, ledger = place.settings.home, place.config, place.stores.ledger
    rows = {record.label: record.at for record in ledger.batches(config.name)}
    labels = {record.label: record.at for record in ledger.label_batches(config.name)}
    late = sources.find_files(home, config.labels.source) if config.labels.source else []
    found = [path for path in sources.find_files(home, config.data.source) if path not in late]

    def unsettled() -> Iterator[str]:
        for paths, known, seen in ((found, rows, ledger.find_batch), (late, labels, ledger.find_label_batch)):
            for path in paths:
                at = known.get(path.name)
                old = at is not None and path.stat().st_mtime < at.timestamp()
                if not old and seen(config.name, sources.fingerprint(path)) is None:
                    yield path.name

    return tuple(unsettled())


def unscored_rows(place: Workplace) -> Unscored:
    """What `treadle score` would take next of what is accepted; tables are read only where something may wait."""
    from treadle.infra.tables import connect

    tables, data = place.stores.tables, place.config.data
    records = {record.batch_id: record for record in place.stores.ledger.batches(place.config.name)}
    candidates = [
        batch
        for batch in tables.batches("rows") - tables.scored(None)
        if batch not in records or records[batch].labelled < records[batch].accepted
    ]
    if not candidates:
        return Unscored(batches=0, rows=0)
    with connect(tables.scratch) as con:
        waits = tables.without_label(data.target, data.key, candidates)
        ((batches, rows),) = con.sql(f"SELECT count(DISTINCT _batch_id), count(*) FROM {waits}").fetchall()
    return Unscored(batches=batches, rows=rows)
