"""`treadle promote V --reason ...`: a person makes a version champion, or declines a pending one; both are recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.flows.champion.forbidden import check_allowed
from treadle.flows.champion.moves import SEE_VERSIONS, move_champion, restore_alias, settle_champion
from treadle.flows.champion.pending import pending_version
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig


BY_HAND = "BY HAND"


class PromoteResult(BaseModel):
    """One change of the champion; or, with `declined`, none: the champion is still `from`, and `seq` is 0."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    pipeline: str
    from_version: int | None = Field(serialization_alias="from")
    to: int
    seq: int
    reason: str
    who: str
    declined: bool = False

    def exit_code(self) -> int:
        """Always 0: a version that cannot be promoted raises."""
        return 0


def run_promote(
    settings: Settings, config: PipelineConfig, version: int, reason: str, *, decline: bool = False
) -> PromoteResult:
    """Make `version` the champion because a person says so; or `decline` it, where it is pending.

    The bundle is verified and must reproduce its golden rows first. The same move by the same person with the same
    reason changes nothing: it may be the same command, repeated after a kill. Raises UsageError for an unknown version,
    an empty reason, the version that is champion already or one to decline that is not pending, ForbiddenColumn for one
    that uses a column of data.forbid, BundleError for a damaged bundle, Conflict where the champion was changed at the
    same time.
    """
    from treadle.infra import stores as stores_

    if not reason.strip():
        raise UsageError("a decision needs a reason", "give it with --reason '...'")
    stores = stores_.open(settings, config.name)
    settle_champion(stores, config)
    if decline:
        return _decline(stores, version, reason.strip())
    champion = stores.ledger.champion(config.name)
    if champion is not None and champion.version_to == version:
        repeated = (champion.verdict, champion.reason, champion.who) == (BY_HAND, reason.strip(), settings.who)
        check_allowed(stores, config, version)
        promotion = restore_alias(stores, champion, again=repeated)
    else:
        expected = champion.version_to if champion else None
        promotion = move_champion(
            stores, config, version, expected=expected, verdict=BY_HAND, reason=reason.strip(), who=settings.who
        )
    return PromoteResult(
        pipeline=config.name,
        from_version=promotion.version_from,
        to=promotion.version_to,
        seq=promotion.seq,
        reason=promotion.reason,
        who=promotion.who,
    )


def _decline(stores: Stores, version: int, reason: str) -> PromoteResult:
    from treadle.infra.databases.ledger import Declined

    ledger, pipeline = stores.ledger, stores.pipeline
    champion = ledger.champion(pipeline)
    pending = pending_version(ledger, pipeline)
    if pending is not None and pending.version == version:
        ledger.decline(Declined(pipeline, version, datetime.now(UTC), reason, stores.settings.who))
    declined = ledger.declined(pipeline).get(version)
    if declined is None:
        other = "no version is" if pending is None else f"version {pending.version} is"
        raise UsageError(f"version {version} of {pipeline} is not pending ({other})", SEE_VERSIONS)
    if declined.reason != reason:
        raise UsageError(f"version {version} was declined already, by {declined.who}: {declined.reason}", SEE_VERSIONS)
    return PromoteResult(
        pipeline=pipeline,
        from_version=champion.version_to if champion else None,
        to=version,
        seq=0,
        reason=declined.reason,
        who=declined.who,
        declined=True,
    )
