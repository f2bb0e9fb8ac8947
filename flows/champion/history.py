"""`treadle models`: versions, verdicts and the champion's history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig

ALIAS_SECONDS = 60.0
"""A promotion that was cut off before MLflow's alias followed is completed by the next command; then it is told."""


class Version(BaseModel):
    """A registered model and what the gate said of it; `declined` by whom and why, or empty.

    `passed_over`: it was found better, waited for a person, and another one was promoted, or a newer one waits.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    champion: bool
    decision: str
    headline: str
    metric: str
    value: float | None
    champion_value: float | None
    data_version: str
    run_key: str
    run_id: str
    created_at: datetime
    declined: str = ""
    passed_over: bool = False
    cleared_at: datetime | None = None


class Move(BaseModel):
    """One promotion: from whom to whom, when, by whom and why."""

    model_config = ConfigDict(frozen=True)

    seq: int
    at: datetime
    from_version: int | None = Field(serialization_alias="from")
    to: int
    verdict: str
    reason: str
    who: str


class ModelsResult(BaseModel):
    """What the ledger knows; `alias` says in words where MLflow's alias disagrees, else it is empty.

    `waiting` is the version that is better than the champion and waits for a person's word; None where there is none.
    `then` is the move that made the champion of the asked moment `at`; None where nobody asked, or nobody was.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    champion: int | None
    versions: tuple[Version, ...]
    history: tuple[Move, ...]
    alias: str
    waiting: int | None = None
    at: datetime | None = None
    then: Move | None = None

    def exit_code(self) -> int:
        """Always 0: looking cannot fail."""
        return 0


def run_models(settings: Settings, config: PipelineConfig, at: str = "") -> ModelsResult:
    """Read versions and moves from the ledger; MLflow is asked for its alias, and only if anything was promoted.

    `at` is a moment in ISO 8601, of this machine's time zone unless it names one: who was champion then? That is the
    ledger's to say alone. Raises UsageError where it is no moment, or has not come yet.
    """
    from treadle.flows.champion.pending import pending_version
    from treadle.infra import stores as stores_

    moment = moment_of(at) if at else None
    stores = stores_.open(settings, config.name)
    champion = stores.ledger.champion(config.name)
    at_top = champion.version_to if champion else None
    waits, cleared = pending_version(stores.ledger, config.name), stores.ledger.retired(config.name)
    declined = {version: f"{one.who}: {one.reason}" for version, one in stores.ledger.declined(config.name).items()}
    settled = {one.version_to for one in stores.ledger.history(config.name)} | declined.keys()
    settled |= {waits.version} if waits else set()
    history = tuple(
        Move(
            seq=one.seq,
            at=one.at,
            from_version=one.version_from,
            to=one.version_to,
            verdict=one.verdict,
            reason=one.reason,
            who=one.who,
        )
        for one in stores.ledger.history(config.name)
    )
    return ModelsResult(
        pipeline=config.name,
        champion=at_top,
        versions=tuple(
            Version(
                version=one.version,
                champion=one.version == at_top,
                decision=one.decision,
                headline=one.headline,
                metric=one.metric,
                value=one.value,
                champion_value=one.champion_value,
                data_version=one.data_version,
                run_key=one.run_key,
                run_id=one.run_id,
                created_at=one.created_at,
                cleared_at=cleared.get(one.version),
                declined=declined.get(one.version, ""),
                passed_over=one.decision == "PROMOTE" and one.version not in settled,
            )
            for one in stores.ledger.versions(config.name)
        ),
        history=history,
        waiting=waits.version if waits else None,
        at=moment,
        then=next((move for move in history if moment and move.at <= moment), None),
        alias="" if at_top is None or moment is not None else alias_moved(stores, at_top),
    )


def moment_of(text: str) -> datetime:
    """`2026-10-12 09:00`, with or without an offset; without one it is read in this machine's time zone."""
    try:
        moment = datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        raise UsageError(
            f"--at {text!r} is no moment", "write it as '2026-10-12 09:00', with an offset if need be"
        ) from None
    if moment > datetime.now().astimezone():
        raise UsageError(f"--at {text!r} has not come yet", "the champion of today: treadle models")
    return moment


def alias_moved(stores: Stores, champion: int) -> str:
    """What a person must know when somebody moved or removed MLflow's alias by hand; empty when both agree.

    The alias follows the ledger: while a promotion is on its way they differ for a moment.
    """
    alias = stores.registry.champion_alias()
    if alias == champion:
        return ""
    newest = stores.ledger.champion(stores.pipeline)
    if newest is None or newest.version_to != champion or (newest.pending and _since(newest.at) < ALIAS_SECONDS):
        return ""
    return _drift(stores.pipeline, champion, alias)


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _drift(pipeline: str, ledger: int, alias: int | None) -> str:
    found = f"points at version {alias}" if alias is not None else "is gone"
    keep = f"treadle promote {ledger} --reason 'the alias was moved by hand' -p {pipeline}"
    take = f"treadle promote {alias} --reason 'moved in MLflow' -p {pipeline}" if alias is not None else ""
    ways = " or ".join(way for way in (keep, take) if way)
    return f"MLflow's alias 'champion' {found}, the ledger says version {ledger}; settle it with: {ways}"
