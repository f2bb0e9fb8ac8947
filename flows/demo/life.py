"""The demo after its first month: bad data, late labels, a challenger, a verdict, a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.demo import mishaps, stage

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.demo import Play
    from treadle.infra.databases.ledger import BatchRecord
    from treadle.infra.stores import Stores

REFUSED, UNDECIDED = 3, 4
"""Expected exit codes: a batch was refused whole; the gate's decision was REFUSED or NOT_COMPARABLE."""


def live(play: Play, stores: Stores) -> None:
    """Run the public commands; continues from any state that an earlier, unfinished demo left."""
    inbox = play.home / "data" / "inbox" / stage.PIPELINE
    _bad_data(play, stores, inbox)
    _late_labels(play, inbox)
    _challenger(play, inbox)
    _step_back(play, stores)


def _bad_data(play: Play, stores: Stores, inbox: Path) -> None:
    """Three bad files of October's first week are refused and reviewed; the corrected file replaces them."""
    play.chapter("Three bad files arrive: a column renamed, kilometres for miles, half a file")
    play.arrive(lambda: mishaps.bad_files(inbox))
    play.command("ingest", fine=(0, REFUSED))
    play.command("quarantine", "list")
    refused = _refused(play, stores)
    for batch in refused:
        play.command("quarantine", "show", batch.batch_id, "--limit", "3")
    play.chapter("The corrected file arrives and is scored")
    play.arrive(lambda: (mishaps.corrected_file(inbox),))
    play.command("score", fine=(0, REFUSED))
    for batch in refused:
        if batch.status == "refused":  # correct rows could be released; these are not, so they stay
            play.command("quarantine", "release", batch.batch_id, fine=(0, REFUSED))
            break
    for batch in refused:
        play.command("quarantine", "drop", batch.batch_id, "--reason", "the corrected file has come")


def _late_labels(play: Play, inbox: Path) -> None:
    """September's labels arrive, and the champion's performance can be measured."""
    play.chapter("September's labels arrive, weeks after its predictions")
    play.arrive(lambda: (mishaps.late_labels(inbox.with_name(f"{stage.PIPELINE}_labels")),))
    play.command("monitor", fine=(0, REFUSED))


def _challenger(play: Play, inbox: Path) -> None:
    """October's record arrives, with enough rows to make retraining due."""
    play.chapter("October arrives, and with it the question whether the champion is still the best")
    play.stage([10], "record")
    play.command("monitor", fine=(0, REFUSED))
    play.command("train", "--if-due", fine=(0, REFUSED, UNDECIDED))


def _step_back(play: Play, stores: Stores) -> None:
    """Roll the champion back, and undo it."""
    if play.failed:
        return
    play.chapter("A step back, and forth again")
    champion = stores.ledger.champion(stores.pipeline)
    newest = max(one.version for one in stores.ledger.versions(stores.pipeline))
    if any(move.verdict == "ROLLBACK" for move in stores.ledger.history(stores.pipeline)):
        play.skip("rollback", "an earlier demo took the step back")
        return
    if champion is not None and champion.version_to != newest:
        play.command("promote", str(newest), "--reason", "the gate kept it out; we want to see it at work")
    current = stores.ledger.champion(stores.pipeline)
    play.command("rollback")
    if current is not None:
        play.command("rollback", "--to", str(current.version_to))


def _refused(play: Play, stores: Stores) -> list[BatchRecord]:
    """The batches of the bad files without a decision, in the order in which they came."""
    if play.failed:
        return []
    decided = {decision.batch_id for decision in stores.ledger.decisions(stores.pipeline)}
    batches = stores.ledger.batches(stores.pipeline)
    return [batch for batch in batches if batch.status != "accepted" and batch.batch_id not in decided]
