"""Versions that wait for a person, and why a pipeline has no champion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from treadle.tasks.errors import NothingPromoted

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import Declined, Ledger, VersionRecord


def pending_version(ledger: Ledger, pipeline: str) -> VersionRecord | None:
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


def no_champion_error(ledger: Ledger, pipeline: str) -> NothingPromoted:
    """Why a pipeline has no champion, and what helps."""
    versions, declined, waits = ledger.versions(pipeline), ledger.declined(pipeline), pending_version(ledger, pipeline)
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
            f"{said}: {decline_sentence(declined[max(declined)])}",
            f"train another: treadle train --again -p {pipeline}",
        )
    newest = versions[0]
    return NothingPromoted(
        f"{said}: its newest version, {newest.version}, is {newest.decision}",
        f"see why: treadle report {newest.version} -p {pipeline}",
    )


def decline_sentence(declined: Declined) -> str:
    """Who declined which version, and why."""
    return f"version {declined.version} was declined by {declined.who}: {declined.reason}"
