"""Every change of the champion: the ledger is changed first, then MLflow's alias.

A move that was interrupted by a kill is completed by the next command.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from treadle.flows.champion.forbidden import check_allowed, forbidden_columns
from treadle.tasks.commands import Command
from treadle.tasks.errors import BundleError, UsageError

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import Promotion
    from treadle.infra.stores import Stores
    from treadle.tasks.config.spec import PipelineConfig

SEE_VERSIONS = ("see: ", Command("models"))


def move_champion(
    stores: Stores,
    config: PipelineConfig,
    version: int,
    *,
    expected: int | None,
    verdict: str,
    reason: str,
    who: str,
    token: int | None = None,
) -> Promotion:
    """Verify the bundle, change the champion in the ledger, then set the alias; after a kill, the next command goes on.

    The only function that changes the champion. Raises BundleError for a bundle that is damaged, does not reproduce its
    golden rows or has no valid certificate of parity, UsageError for an unknown version, ForbiddenColumn for one that
    uses a column of data.forbid, Conflict unless `expected` is the champion when the ledger is changed.
    """
    from treadle.tasks import bundle

    record = stores.ledger.version(stores.pipeline, version)
    if record is None:
        versions = ", ".join(str(one.version) for one in stores.ledger.versions(stores.pipeline)) or "none yet"
        raise UsageError(f"{stores.pipeline} has no version {version} (there is: {versions})", SEE_VERSIONS)
    folder = stores.bundle_folder(version)
    bundle.check_golden(bundle.load_bundle(folder, digest=record.digest), folder)
    stores.check_scorer(version, bundle.certificate(folder).scorer)
    check_allowed(stores, config, version)
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
            SEE_VERSIONS,
        )
    stores.registry.set_champion(champion.version_to)
    return champion


def settle_champion(stores: Stores, config: PipelineConfig) -> tuple[str, ...]:
    """Complete interrupted moves, and take the champion out of service where it uses a column of data.forbid.

    Returns those columns; empty where the champion is in service, or there is none. The ledger is changed first, then
    MLflow's alias is removed; once the config allows the columns again, both go back. Of a bundle that cannot be read
    nothing is known: it stays as it is noted.
    """
    champion, withdrawn = stores.ledger.champion(stores.pipeline), stores.ledger.withdrawn(stores.pipeline)
    noted = withdrawn.columns if withdrawn else ""
    columns = tuple(json.loads(noted)) if noted else ()
    if champion is not None and (config.data.forbid or noted):
        try:
            columns = forbidden_columns(stores, config, champion.version_to)
        except BundleError:
            settle_moves(stores)
            return columns
        found = json.dumps(columns) if columns else ""
        if found != noted:
            stores.ledger.withdraw(stores.pipeline, champion.seq, found, stores.settings.who)
    settle_moves(stores)
    return columns


def settle_moves(stores: Stores) -> None:
    """Let MLflow's alias follow the ledger, for example after a kill: to the champion, or away if it is out of service.

    The ledger is read again after the alias was changed, because another process may have changed the champion in
    between. While the champion is out of service an alias that is there is removed again.
    """
    ledger, pipeline = stores.ledger, stores.pipeline
    champion, withdrawn = ledger.champion(pipeline), ledger.withdrawn(pipeline)
    touched = False
    while champion is not None:
        if withdrawn is None and not champion.pending and not touched:
            return
        touched = True
        if withdrawn is None:
            stores.registry.set_champion(champion.version_to)
        elif stores.registry.champion_alias() is not None:
            stores.registry.remove_champion()
        before = (champion.seq, withdrawn is None)
        champion, withdrawn = ledger.champion(pipeline), ledger.withdrawn(pipeline)
        if champion is not None and before == (champion.seq, withdrawn is None):
            if champion.pending:
                ledger.complete(pipeline, champion.seq)
            return
