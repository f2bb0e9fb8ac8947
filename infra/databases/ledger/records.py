"""What the ledger's rows say, as frozen records, and the database tables that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What became of one batch.

    `status`: accepted, refused, unreadable; `contract`: digest of the rules it met; `validation`: what every
    expectation found, as JSON (empty for a file that could not be read).
    """

    pipeline: str
    batch_id: str
    sha256: str
    label: str
    status: str
    contract: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    labelled: int
    reason: str
    validation: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """What became of one file of late labels; `status`, `contract` as for a batch.

    labels_in = new + revised + repeated + outdated + orphan + empty + quarantined, counted when it arrived.
    """

    pipeline: str
    batch_id: str
    sha256: str
    label: str
    status: str
    contract: str
    labels_in: int
    new: int
    revised: int
    repeated: int
    outdated: int
    orphan: int
    empty: int
    quarantined: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class QuarantineDecision:
    """A person's decision about a batch in quarantine; `seq` counts a pipeline's decisions from 1.

    `action`: release or drop. `rows`: how many were taken in, or given up; `left`: how many stay. `into` is the batch
    that released rows form. `pending` until all of it is written.
    """

    pipeline: str
    seq: int
    batch_id: str
    action: str
    reason: str
    who: str
    at: datetime
    rows: int
    left: int
    into: str
    pending: bool


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A registered model version and the gate's verdict.

    `bundle` is the bundle's folder relative to the home (or its MLflow URI in a remote store), `digest` that of its
    manifest. `value` and `champion_value` are in units of `metric`, None where it is not defined on the holdout;
    `against` is the champion when the run began, None without one; `result` is the run's whole result as JSON.
    """

    pipeline: str
    version: int
    run_key: str
    run_id: str
    decision: str
    headline: str
    metric: str
    value: float | None
    champion_value: float | None
    against: int | None
    data_version: str
    bundle: str
    digest: str
    result: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Promotion:
    """One move of the champion; `seq` counts a pipeline's moves from 1.

    `pending` until MLflow's alias has followed.
    """

    pipeline: str
    seq: int
    at: datetime
    version_from: int | None
    version_to: int
    verdict: str
    reason: str
    who: str
    bundle: str
    digest: str
    pending: bool


@dataclass(frozen=True, slots=True)
class Declined:
    """A person's rejection of a pending version."""

    pipeline: str
    version: int
    at: datetime
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The champion of the move `seq` was out of service from `at` to `until`; None while it is.

    `columns`: those that data.forbid names and the model uses, as a JSON list.
    """

    pipeline: str
    seq: int
    at: datetime
    columns: str
    who: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may do one kind of work on a pipeline; `token` counts its holders from 1, `beats` a holder's heartbeats.

    `holder` is for people; `process` identifies the holder's process, and is empty once the lease is released.
    """

    pipeline: str
    work: str
    token: int
    beats: int
    holder: str
    process: str


class Utc(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, as ISO 8601 text: sorted by time, the same in every database."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else datetime.fromisoformat(value)


FORMAT = 3
"""Of the tables below; one more where an older treadle could no longer read them."""

metadata = sa.MetaData()

formats = sa.Table("format", metadata, sa.Column("format", sa.Integer, primary_key=True, autoincrement=False))

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("batch_id", sa.String(64), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("label", "status", "contract", "reason", "validation")),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("rows_in", "accepted", "quarantined", "duplicates", "equal_rows", "labelled")
    ),
    sa.Column("at", Utc, nullable=False),
)
label_batches = sa.Table(
    "label_batches",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("batch_id", sa.String(64), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("label", "status", "contract", "reason")),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("labels_in", "new", "revised", "repeated", "outdated", "orphan", "empty", "quarantined")
    ),
    sa.Column("at", Utc, nullable=False),
)
corrections = sa.Table(
    "corrections",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("batch_id", sa.String(64), primary_key=True),
    sa.Column("at", Utc, nullable=False),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("batch_id", "action", "reason", "who", "into")),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("rows", "left")),
    sa.Column("at", Utc, nullable=False),
    sa.Column("pending", sa.Boolean, nullable=False),
)
versions = sa.Table(
    "versions",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_key", sa.String(200), nullable=False),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("run_id", "decision", "headline", "metric", "data_version", "bundle", "digest", "result")
    ),
    *(sa.Column(name, sa.Double) for name in ("value", "champion_value")),
    sa.Column("against", sa.Integer),
    sa.Column("created_at", Utc, nullable=False),
    sa.UniqueConstraint("pipeline", "run_key"),
)
promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("version_from", sa.Integer),
    sa.Column("version_to", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("verdict", "reason", "who", "bundle", "digest")),
    sa.Column("pending", sa.Boolean, nullable=False),
)
declined = sa.Table(
    "declined",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("reason", "who")),
)
retired = sa.Table(
    "retired",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, nullable=False),
)
withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("pipeline", sa.String(200), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("columns", "who")),
    sa.Column("until", Utc),
)
reads = sa.Table(
    "holdout_reads",
    metadata,
    *(sa.Column(name, sa.String(200), primary_key=True) for name in ("pipeline", "holdout", "run_key")),
    sa.Column("at", Utc, nullable=False),
)
leases = sa.Table(
    "leases",
    metadata,
    *(sa.Column(name, sa.String(200), primary_key=True) for name in ("pipeline", "work")),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("token", "beats")),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("holder", "process")),
)
origins = sa.Table(
    "origins",
    metadata,
    *(sa.Column(name, sa.String(200), primary_key=True) for name in ("pipeline", "about")),
    sa.Column("run", sa.String(200), nullable=False),
)
notified = sa.Table(
    "notified",
    metadata,
    *(sa.Column(name, sa.String(200), primary_key=True) for name in ("pipeline", "receiver", "kind", "about")),
    sa.Column("at", Utc, nullable=False),
)
