"""Every change of the champion: the ledger is changed first, then MLflow's alias.

A move that was interrupted by a kill is completed by the next command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import Promotion
    from treadle.infra.stores import Stores


def move_champion(
    stores: Stores, version: int, *, expected: int | None, verdict: str, reason: str, who: str, token: int | None = None
) -> Promotion:
    """Verify the bundle, change the champion in the ledger, then set the alias; after a kill, the next command goes on.

    The only function that changes the champion. Raises BundleError for a bundle that is damaged, does not reproduce its
    golden rows or has no valid certificate of parity, UsageError for an unknown version, Conflict unless `expected` is
    the champion when the ledger is changed.
    """
    from treadle.tasks import bundle

    record = stores.ledger.version(stores.pipeline, version)
    if record is None:
        versions = ", ".join(str(one.version) for one in stores.ledger.versions(stores.pipeline)) or "none yet"
        raise UsageError(f"{stores.pipeline} has no version {version} (there is: {versions})", "see: treadle models")
    folder = stores.bundle_folder(version)
    bundle.check_golden(bundle.load_bundle(folder, digest=record.digest), folder)
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
    settle_moves(stores)
    return promotion


def restore_alias(stores: Stores, champion: Promotion, *, again: bool = False) -> Promotion:
    """Set MLflow's alias to the champion again; returns the champion's promotion.

    Raises UsageError where the alias is right already, unless `again`: the same command was run before.
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


def settle_moves(stores: Stores) -> None:
    """Complete interrupted moves: set MLflow's alias to the ledger's champion.

    The ledger is read again after the alias was set, because another process may have changed the champion in between.
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
