"""The version that waits for a person's decision, and why a pipeline has no champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.champion.recorded import recorded_result
from treadle.tasks.errors import NothingPromoted

if TYPE_CHECKING:
    from treadle.infra.databases.ledger import Declined, Ledger, VersionRecord


def pending_version(ledger: Ledger, pipeline: str) -> VersionRecord | None:
    """The newest version that waits for a person and that was never champion; else None.

    The gate found it better than the current champion, or cannot compare the two (`unsettled`). It is no longer pending
    once the champion changed after its verdict, or a person declined it; declining it also settles the older ones.
    """
    moves = ledger.history(pipeline)
    champion, champions = (moves[0].version_to if moves else None), {move.version_to for move in moves}
    excluded = champions | set(ledger.retired(pipeline))
    newest = next(
        (
            record
            for record in ledger.versions(pipeline)
            if record.version not in excluded and waits_for_person(record, champion)
        ),
        None,
    )
    return None if newest is None or newest.version in ledger.declined(pipeline) else newest


def waits_for_person(record: VersionRecord, champion: int | None) -> bool:
    """Whether a person may promote the version by the gate's verdict, which is about this `champion`."""
    return bool(record.decision == "PROMOTE" or unsettled_reason(record)) and record.against == champion


def unsettled_reason(record: VersionRecord) -> str:
    """Why the version cannot be compared with the champion of its time; empty where it was."""
    return recorded_result(record).unsettled


def no_champion_error(ledger: Ledger, pipeline: str) -> NothingPromoted:
    """The error that says why a pipeline has no champion, with the fix."""
    versions, declined = ledger.versions(pipeline), ledger.declined(pipeline)
    pending = pending_version(ledger, pipeline)
    message = f"{pipeline} has no champion"
    if not versions:
        return NothingPromoted(f"{message} yet", f"train one: treadle train -p {pipeline}")
    if pending is not None:
        return NothingPromoted(
            f"{message}: version {pending.version} waits for a person to promote it",
            f"promote it, or add --decline: treadle promote {pending.version} --reason '...' -p {pipeline}",
        )
    if declined:
        return NothingPromoted(
            f"{message}: {decline_sentence(declined[max(declined)])}",
            f"train another: treadle train --again -p {pipeline}",
        )
    newest = versions[0]
    return NothingPromoted(
        f"{message}: its newest version, {newest.version}, is {newest.decision}",
        f"see why: treadle report {newest.version} -p {pipeline}",
    )


def decline_sentence(declined: Declined) -> str:
    """Who declined which version, and why."""
    return f"version {declined.version} was declined by {declined.who}: {declined.reason}"
