"""The outcome of the demo, read from its tables and its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores


class Month(BaseModel):
    """One file and its rows by result; `scored` of them have a prediction.

    `predicted` is the share of these that is predicted to be true, null where nothing was scored.
    """

    model_config = ConfigDict(frozen=True)

    batch: str
    rows_in: int
    accepted: int
    quarantined: int
    labelled: int
    scored: int
    predicted: float | None


class DemoOutcome(BaseModel):
    """The batches in order of their names, and the champion with its score beside the one that it was compared with."""

    model_config = ConfigDict(frozen=True)

    months: tuple[Month, ...]
    champion: int | None
    metric: str
    value: float | None
    champion_value: float | None
    reason: str
    report: str


def outcome(settings: Settings, pipeline: str) -> DemoOutcome:
    """Read the state of the demo's home; it may be empty."""
    from treadle.infra import stores as stores_

    stores = stores_.open(settings, pipeline)
    champion = stores.ledger.champion(pipeline)
    version = stores.ledger.version(pipeline, champion.version_to) if champion else None
    report = stores.tracking.report_file(version.run_id) if version else None
    scored = predictions(stores, settings)
    batches = sorted(stores.ledger.batches(pipeline), key=lambda batch: batch.label)
    return DemoOutcome(
        months=tuple(
            Month(
                batch=batch.label,
                rows_in=batch.rows_in,
                accepted=batch.accepted,
                quarantined=batch.quarantined,
                labelled=batch.labelled,
                scored=scored.get(batch.batch_id, (0, None))[0],
                predicted=scored.get(batch.batch_id, (0, None))[1],
            )
            for batch in batches
        ),
        champion=version.version if version else None,
        metric=version.metric if version else "",
        value=version.value if version else None,
        champion_value=version.champion_value if version else None,
        reason=champion.reason if champion else "",
        report=str(report or ""),
    )


def predictions(stores: Stores, settings: Settings) -> dict[str, tuple[int, float | None]]:
    """For every scored batch: its rows, and the share of them that the champion predicts true."""
    from treadle.infra.tables import connect

    if stores.tables.version("predictions") < 0:
        return {}
    with connect(settings.state / "duckdb") as con:
        rows = con.sql(
            "SELECT _batch_id, count(*), avg(CASE WHEN prediction THEN 1 ELSE 0 END) "
            f"FROM {stores.tables.relation('predictions')} WHERE purpose = 'champion' GROUP BY _batch_id"
        ).fetchall()
    return {batch: (count, share) for batch, count, share in rows}
