"""The state of one pipeline, read from its ledger, tables and inbox: quick, and nothing is started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from treadle.flows.champion.forbidden import ColumnUse, champion_use
from treadle.tasks.performance import MetricBounds, Realised
from treadle.tasks.retrain import RetrainFinding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.flows.context.workplace import Workplace
    from treadle.infra.databases.ledger import BatchRecord, LabelRecord

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


class MonitorSummary(BaseModel):
    """The part of the last `treadle monitor` result that is needed here; see `treadle.flows.monitor.MonitorResult`."""

    champion: int
    due: bool
    reason: str
    recent: Realised | None
    findings: tuple[RetrainFinding, ...] = ()


class ChampionStatus(BaseModel):
    """The champion: since when, how many days ago it was registered, and its performance in `metric`.

    `value` is measured on its holdout. `realised` is measured on its recent predictions that have labels (`labels`
    counts them) by the last `treadle monitor`; None where it has not run, or there were no labels. `labels_at`: when
    labels of any rows came last since it is champion. `performance` says what `on_performance` found then; empty where
    it is off. `use` are the columns of data.forbid and data.drop that it uses;
    None where it uses none.
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
    use: ColumnUse | None = None
    performance: str = ""


class QuarantinedBatch(BaseModel):
    """A batch in quarantine: its file, the number of rows in quarantine, and `reason` where it was refused whole.

    `page` shows the run that ingested it; empty where that is unknown.
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
    """The number of open batches in quarantine and of their rows; `kept` are the batches, oldest first."""

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
    """The last file with rows came at `since`, more than `after_hours` ago."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    after_hours: float


class Unscored(BaseModel):
    """Accepted batches with rows that have neither a label nor a prediction, and those rows."""

    model_config = ConfigDict(frozen=True)

    batches: int
    rows: int


def champion_status(place: Workplace) -> ChampionStatus | None:
    """The current champion by the ledger; None before the first."""
    ledger, pipeline = place.stores.ledger, place.config.name
    move = ledger.champion(pipeline)
    record = ledger.version(pipeline, move.version_to) if move else None
    if move is None or record is None:
        return None
    summary, at = _read_summary(monitor_file(place))
    own = summary if summary and summary.champion == record.version else None
    return ChampionStatus(
        version=record.version,
        since=move.at,
        age_days=(datetime.now(UTC) - record.created_at).total_seconds() / DAY_SECONDS,
        metric=record.metric,
        value=record.value,
        realised=own.recent.metric if own and own.recent else None,
        labels=own.recent.labelled if own and own.recent else 0,
        monitored_at=at if own else None,
        due=own.reason if own else "",
        use=champion_use(place.stores, place.config),
        labels_at=max((at for at in _label_times(place) if at > move.at), default=None),
        performance=next((one.sentence for one in own.findings if one.cause == "performance"), "") if own else "",
    )


def _label_times(place: Workplace) -> Iterator[datetime]:
    """When labels came, in batches of rows or late."""
    ledger, pipeline = place.stores.ledger, place.config.name
    yield from (batch.at for batch in ledger.batches(pipeline) if batch.labelled)
    yield from (file.at for file in ledger.label_batches(pipeline) if file.labels_in > file.empty + file.quarantined)


def monitor_file(place: Workplace) -> Path:
    """The file in which `treadle monitor` stores its last result."""
    return place.settings.state / "monitor" / f"{place.config.name}.json"


def _read_summary(path: Path) -> tuple[MonitorSummary | None, datetime | None]:
    """The last monitor result and when it was written; None twice where there is none that can be read."""
    try:
        return MonitorSummary.model_validate_json(path.read_bytes()), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValidationError):
        return None, None


def quarantine_status(place: Workplace) -> Quarantine:
    """The batches that `treadle quarantine list` lists, from the ledger alone."""
    ledger, pipeline = place.stores.ledger, place.config.name
    left: dict[str, int] = {}
    records: list[BatchRecord | LabelRecord] = [*ledger.batches(pipeline), *ledger.label_batches(pipeline)]
    by_id = {record.batch_id: record for record in records}
    for record in records:
        if record.status != "accepted" or record.quarantined:
            left[record.batch_id] = record.quarantined
    for decision in ledger.decisions(pipeline):
        if decision.action == "drop" or (not decision.pending and not decision.left):
            left.pop(decision.batch_id, None)
        elif not decision.pending:
            left[decision.batch_id] = decision.left
    kept = (
        QuarantinedBatch(batch_id=batch, file=by_id[batch].label, rows=rows, reason=by_id[batch].reason)
        for batch, rows in left.items()
        if batch in by_id
    )
    return Quarantine(batches=len(left), rows=sum(left.values()), kept=tuple(kept))


def refused_version(place: Workplace) -> Refused | None:
    """The newest version if the gate refused it and the champion was not changed since; else None."""
    ledger, pipeline = place.stores.ledger, place.config.name
    newest, move = next(iter(ledger.versions(pipeline)), None), ledger.champion(pipeline)
    if newest is None or newest.decision != "REFUSED" or (move is not None and move.at > newest.created_at):
        return None
    return Refused(version=newest.version, headline=newest.headline)


def stale_data(place: Workplace) -> Stale | None:
    """Since when rows are overdue; None where they are not, before the first rows, or without `stale_after_hours`."""
    after = place.config.alerts.stale_after_hours
    batches = place.stores.ledger.batches(place.config.name)
    last = max((record.at for record in batches if record.status == "accepted"), default=None)
    if after is None or last is None:
        return None
    hours = (datetime.now(UTC) - last).total_seconds() / HOUR_SECONDS
    return Stale(since=last, after_hours=after) if hours > after else None


def waiting_files(place: Workplace) -> tuple[str, ...]:
    """Names of files in the sources that no run has ingested or refused.

    A file that was not modified since the ledger recorded one of its name counts as processed; the content of the
    others is hashed and looked up.
    """
    from treadle.infra import sources

    home, config, ledger = place.settings.home, place.config, place.stores.ledger
    rows = {record.label: record.at for record in ledger.batches(config.name)}
    labels = {record.label: record.at for record in ledger.label_batches(config.name)}
    late = sources.find_files(home, config.labels.source) if config.labels.source else []
    files = [path for path in sources.find_files(home, config.data.source) if path not in late]

    def unprocessed() -> Iterator[str]:
        sources_read = ((files, rows, ledger.find_batch), (late, labels, ledger.find_label_batch))
        for paths, recorded_at, find_record in sources_read:
            for path in paths:
                at = recorded_at.get(path.name)
                old = at is not None and path.stat().st_mtime < at.timestamp()
                if not old and find_record(config.name, sources.fingerprint(path)) is None:
                    yield path.name

    return tuple(unprocessed())


def unscored_rows(place: Workplace) -> Unscored:
    """The accepted rows that `treadle score` would predict next; reads tables only where there may be some."""
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
