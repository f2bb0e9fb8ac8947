"""`treadle models`: versions, verdicts and the champion's history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.commands import Command, advice_line
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig

ALIAS_SECONDS = 60.0
"""An interrupted promotion, whose alias MLflow lacks, is reported after this time; the next command completes it."""


class Version(BaseModel):
    """A registered model and the gate's verdict; `declined` says who declined it and why, else it is empty.

    `passed_over`: the gate found it better, but another version was promoted, or a newer one is pending.
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
    """One change of the champion: from which version to which, when, by whom and why."""

    model_config = ConfigDict(frozen=True)

    seq: int
    at: datetime
    from_version: int | None = Field(serialization_alias="from")
    to: int
    verdict: str
    reason: str
    who: str


class ModelsResult(BaseModel):
    """The versions and moves in the ledger; `alias` says how MLflow's alias differs from it, else it is empty.

    `waiting` is the pending version; None where there is none. `out_of_service` says why the champion answers nothing,
    else it is empty. `then` is the move that made the champion of the
    requested moment `at`; None where no moment was requested, or there was no champion.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    champion: int | None
    versions: tuple[Version, ...]
    history: tuple[Move, ...]
    alias: str
    waiting: int | None = None
    out_of_service: str = ""
    at: datetime | None = None
    then: Move | None = None

    def exit_code(self) -> int:
        """Always 0: looking cannot fail."""
        return 0


def run_models(settings: Settings, config: PipelineConfig, at: str = "") -> ModelsResult:
    """Read versions and moves from the ledger, and MLflow's alias if a version was promoted.

    `at` is a moment in ISO 8601, of this machine's time zone unless it names one; the result then says which version
    was champion, and MLflow is not asked. Raises UsageError where it is no moment, or in the future.
    """
    from treadle.flows.champion.forbidden import champion_use
    from treadle.flows.champion.pending import pending_version
    from treadle.infra import stores as stores_

    moment = moment_of(at) if at else None
    stores = stores_.open(settings, config.name)
    use = champion_use(stores, config) if config.data.forbid else None
    champion = stores.ledger.champion(config.name)
    current = champion.version_to if champion else None
    pending, cleared = pending_version(stores.ledger, config.name), stores.ledger.retired(config.name)
    declined = {version: f"{one.who}: {one.reason}" for version, one in stores.ledger.declined(config.name).items()}
    settled = {move.version_to for move in stores.ledger.history(config.name)} | declined.keys()
    settled |= {pending.version} if pending else set()
    history = tuple(
        Move(
            seq=move.seq,
            at=move.at,
            from_version=move.version_from,
            to=move.version_to,
            verdict=move.verdict,
            reason=move.reason,
            who=move.who,
        )
        for move in stores.ledger.history(config.name)
    )
    return ModelsResult(
        pipeline=config.name,
        champion=current,
        versions=tuple(
            Version(
                version=record.version,
                champion=record.version == current,
                decision=record.decision,
                headline=record.headline,
                metric=record.metric,
                value=record.value,
                champion_value=record.champion_value,
                data_version=record.data_version,
                run_key=record.run_key,
                run_id=record.run_id,
                created_at=record.created_at,
                cleared_at=cleared.get(record.version),
                declined=declined.get(record.version, ""),
                passed_over=record.decision == "PROMOTE" and record.version not in settled,
            )
            for record in stores.ledger.versions(config.name)
        ),
        history=history,
        waiting=pending.version if pending else None,
        out_of_service=f"{use.sentence()}; {advice_line(use.advice(), config.name)}" if use and use.forbidden else "",
        at=moment,
        then=next((move for move in history if moment and move.at <= moment), None),
        alias="" if current is None or moment is not None else alias_drift(stores, current),
    )


def moment_of(text: str) -> datetime:
    """Parse `2026-10-12 09:00`, with or without an offset; without one it is in this machine's time zone.

    Raises UsageError where it is no moment, or in the future.
    """
    try:
        moment = datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        raise UsageError(
            f"--at {text!r} is no moment", "write it as '2026-10-12 09:00', with an offset if need be"
        ) from None
    if moment > datetime.now().astimezone():
        raise UsageError(f"--at {text!r} has not come yet", ("the champion of today: ", Command("models")))
    return moment


def alias_drift(stores: Stores, champion: int) -> str:
    """How MLflow's alias differs from the ledger's `champion`, with the commands that settle it; empty when it agrees.

    It differs where the alias was moved or removed by hand. During a promotion they differ for a moment, which is not
    reported; of a champion that is out of service, the next command removes the alias.
    """
    alias = stores.registry.champion_alias()
    if alias == champion or stores.ledger.withdrawn(stores.pipeline) is not None:
        return ""
    newest = stores.ledger.champion(stores.pipeline)
    if newest is None or newest.version_to != champion or (newest.pending and _since(newest.at) < ALIAS_SECONDS):
        return ""
    return _drift_sentence(stores.pipeline, champion, alias)


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _drift_sentence(pipeline: str, ledger: int, alias: int | None) -> str:
    state = f"points at version {alias}" if alias is not None else "is gone"
    moves = [(ledger, "the alias was moved by hand"), *([(alias, "moved in MLflow")] if alias is not None else [])]
    commands = (Command(f"promote {version} --reason '{reason}'") for version, reason in moves)
    ways = " or ".join(command.line(pipeline) for command in commands)
    return f"MLflow's alias 'champion' {state}, the ledger says version {ledger}; settle it with: {ways}"
