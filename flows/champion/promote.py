"""`treadle promote V --reason ...`: a person's move, checked and audited; a better version that is declined; and the
settling of half-done moves.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.errors import NothingPromoted, UsageError

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import Declined, Ledger, Promotion, VersionRecord
    from treadle.infra.settings import Settings
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig


BY_HAND = "BY HAND"


class PromoteResult(BaseModel):
    """One move of the champion; or, `declined`, that there is none: the champion is `from`, and `seq` is 0."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    pipeline: str
    from_version: int | None = Field(serialization_alias="from")
    to: int
    seq: int
    reason: str
    who: str
    declined: bool = False

    def exit_code(self) -> int:
        """Always 0: what cannot be moved raises."""
        return 0


def run(
    settings: Settings, config: PipelineConfig, version: int, reason: str, *, decline: bool = False
) -> PromoteResult:
    """Make `version` the champion because a person says so; or `decline` it, where it waits for a person's word.

    The bundle is verified and must reproduce its golden rows first. The same move by the same person with the same
    reason, as after a kill, is done already. Raises UsageError for an unknown version, an
    empty reason, the version that is champion already or one to decline that does not wait, BundleError for a damaged
    bundle, Conflict where somebody else moved first.
    """
    from treadle.infra import stores as stores_

    if not reason.strip():
        raise UsageError("a person's word needs a reason", "say it with --reason '...'")
    stores = stores_.open(settings, config.name)
    settle(stores)
    if decline:
        return _decline(stores, version, reason.strip())
    champion = stores.ledger.champion(config.name)
    if champion is not None and champion.version_to == version:
        said = (champion.verdict, champion.reason, champion.who) == (BY_HAND, reason.strip(), settings.who)
        promotion = hold(stores, champion, again=said)
    else:
        expected = champion.version_to if champion else None
        promotion = move(stores, version, expected=expected, verdict=BY_HAND, reason=reason.strip(), who=settings.who)
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
    waits = waiting(ledger, pipeline)
    if waits is not None and waits.version == version:
        ledger.decline(Declined(pipeline, version, datetime.now(UTC), reason, stores.settings.who))
    said = ledger.declined(pipeline).get(version)
    if said is None:
        who = "nobody does" if waits is None else f"version {waits.version} does"
        raise UsageError(f"version {version} of {pipeline} waits for nobody's word ({who})", "see: treadle models")
    if said.reason != reason:
        raise UsageError(f"version {version} was declined already, by {said.who}: {said.reason}", "see: treadle models")
    return PromoteResult(
        pipeline=pipeline,
        from_version=champion.version_to if champion else None,
        to=version,
        seq=0,
        reason=said.reason,
        who=said.who,
        declined=True,
    )


def waiting(ledger: Ledger, pipeline: str) -> VersionRecord | None:
    """The newest version that the gate found better than today's champion and that never took the chair; else None.

    Another champion settles it: then its verdict is about somebody who has left. So does a person who declines it, and
    with it those before.
    """
    moves = ledger.history(pipeline)
    now, been = (moves[0].version_to if moves else None), {one.version_to for one in moves}
    gone = been | set(ledger.retired(pipeline))
    found = next(
        (
            one
            for one in ledger.versions(pipeline)
            if one.decision == "PROMOTE" and one.version not in gone and json.loads(one.result)["against"] == now
        ),
        None,
    )
    return None if found is None or found.version in ledger.declined(pipeline) else found


def nobody(ledger: Ledger, pipeline: str) -> NothingPromoted:
    """Why a pipeline has no champion, and what helps."""
    versions, declined, waits = ledger.versions(pipeline), ledger.declined(pipeline), waiting(ledger, pipeline)
    said = f"{pipeline} has no champion"
    if not versions:
        return NothingPromoted(f"{said} yet", f"train one: treadle train -p {pipeline}")
    if waits is not None:
        return NothingPromoted(
            f"{said}: version {waits.version} waits for a person to promote it",
            f"promote it, or add --decline: treadle promote {waits.version} --reason '...' -p {pipeline}",
        )
    if declined:
        return NothingPromoted(
            f"{said}: {refusal(declined[max(declined)])}", f"train another: treadle train --again -p {pipeline}"
        )
    newest = versions[0]
    return NothingPromoted(
        f"{said}: its newest version, {newest.version}, is {newest.decision}",
        f"see why: treadle report {newest.version} -p {pipeline}",
    )


def refusal(declined: Declined) -> str:
    """Who declined which version, and why."""
    return f"version {declined.version} was declined by {declined.who}: {declined.reason}"


def move(
    stores: Stores, version: int, *, expected: int | None, verdict: str, reason: str, who: str, token: int | None = None
) -> Promotion:
    """Verify the bundle, swap in the ledger, then set the alias: in this order, so that a kill can be settled.

    Whoever moves the champion comes by here. Raises BundleError for a bundle that is damaged, does not give its golden
    rows or has no valid certificate of parity, Conflict unless `expected` is the champion at the moment of the swap.
    """
    from treadle.tasks import bundle

    record = stores.ledger.version(stores.pipeline, version)
    if record is None:
        known = ", ".join(str(one.version) for one in stores.ledger.versions(stores.pipeline)) or "none yet"
        raise UsageError(f"{stores.pipeline} has no version {version} (there is: {known})", "see: treadle models")
    folder = stores.bundle_folder(version)
    bundle.check_golden(bundle.load(folder, digest=record.digest), folder)
    stores.check_scorer(version, bundle.certificate(folder).scorer)
    promotion = stores.ledger.promote(
        stores.pipeline,
        expected=expected,
        to=version,
        verdict=verdict,
        reason=reason,
        who=who,
        bundle=record.bundle,
        digest=record.digest,
        token=token,
    )
    settle(stores)
    return promotion


def hold(stores: Stores, champion: Promotion, *, again: bool = False) -> Promotion:
    """Put a moved alias back onto the champion; raises UsageError when there is nothing to put back.

    With `again` that is no error: the very move was made before.
    """
    if stores.registry.champion_alias() == champion.version_to:
        if again:
            return champion
        raise UsageError(
            f"version {champion.version_to} of {stores.pipeline} is the champion already",
            "see: treadle models",
        )
    stores.registry.set_champion(champion.version_to)
    return champion


def settle(stores: Stores) -> None:
    """Complete moves whose alias a kill left behind: the ledger says who is champion, MLflow's alias follows.

    The ledger is read again after the alias was set, because another process may have moved in between.
    """
    pending = stores.ledger.pending(stores.pipeline)
    while pending:
        newest = pending[-1]
        stores.registry.set_champion(newest.version_to)
        champion = stores.ledger.champion(stores.pipeline)
        if champion is None or champion.seq == newest.seq:
            stores.ledger.complete(stores.pipeline, newest.seq)
            return
        pending = (champion,)
