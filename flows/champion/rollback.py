"""`treadle rollback [--to V]`: the champion steps back to an earlier one, which is checked before it takes the chair.

Champions are a pile: whoever is promoted, by the gate or by a person, is laid on top, and a step back takes the top
away. So a step back after a step back goes further back, never to the one that was just left; that one is named in
the command that undoes the step.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from treadle.infra.databases.ledger import Promotion
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

VERDICT = "ROLLBACK"


class RollbackResult(BaseModel):
    """One step back: from whom to whom; `golden_rows` came out as they should before; `undo` is one command."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    pipeline: str
    from_version: int = Field(serialization_alias="from")
    to: int
    seq: int
    reason: str
    who: str
    golden_rows: int
    seconds: float
    undo: str

    def exit_code(self) -> int:
        """Always 0: what cannot be stepped back to raises."""
        return 0


class Note(BaseModel):
    """What a command was asked for, and the newest move before it: whoever finds it was killed before the end."""

    model_config = ConfigDict(frozen=True)

    to: int | None
    reason: str
    who: str
    newest: int


def run_rollback(
    settings: Settings, config: PipelineConfig, *, to: int | None = None, reason: str = "", resume: bool = False
) -> RollbackResult:
    """Put an earlier champion back into the chair: `to`, or the one before today's.

    With `resume` the same call again, until `acknowledge`, is the same step and not another one, as after a kill.

    The bundle is verified, must reproduce its golden rows and hold its certificate of parity first; else BundleError,
    and the champion stays. Raises NothingPromoted without a champion, UsageError where there is none before it or
    `to` was never one, Conflict where somebody else moved first.
    """
    from treadle.flows.champion.moves import move_champion, settle_moves
    from treadle.flows.champion.pending import no_champion_error
    from treadle.infra import stores as stores_
    from treadle.tasks import bundle

    begun = time.monotonic()
    stores = stores_.open(settings, config.name)
    settle_moves(stores)
    history = stores.ledger.history(config.name)[::-1]
    if not history:
        raise no_champion_error(stores.ledger, config.name)
    newest = history[-1]
    now = newest.version_to
    note = Note(to=to, reason=reason.strip(), who=settings.who, newest=newest.seq)
    if resume and newest.verdict == VERDICT and _noted(settings, config.name) == _before_it(note):
        promotion = newest
    else:
        target = _checked(history, to) if to is not None else _before(history)
        if resume:
            _write(settings, config.name, note)
        promotion = move_champion(
            stores,
            target,
            expected=now,
            verdict=VERDICT,
            reason=note.reason or f"stepped back from version {now}",
            who=note.who,
        )
    now, target = promotion.version_from or 0, promotion.version_to
    return RollbackResult(
        pipeline=config.name,
        from_version=now,
        to=target,
        seq=promotion.seq,
        reason=promotion.reason,
        who=promotion.who,
        golden_rows=bundle.certificate(stores.bundle_folder(target)).rows,
        seconds=round(time.monotonic() - begun, 2),
        undo=f"treadle rollback --to {now} -p {config.name}",
    )


def acknowledge(settings: Settings, config: PipelineConfig) -> None:
    """The person knows: the next call is another step."""
    _place(settings, config.name).unlink(missing_ok=True)


def _place(settings: Settings, pipeline: str) -> Path:
    return settings.state / "rollback" / f"{pipeline}.json"


def _noted(settings: Settings, pipeline: str) -> Note | None:
    try:
        return Note.model_validate_json(_place(settings, pipeline).read_bytes())
    except (OSError, ValidationError):
        return None


def _before_it(note: Note) -> Note:
    """The note of the same command, given before the newest move."""
    return note.model_copy(update={"newest": note.newest - 1})


def _write(settings: Settings, pipeline: str, note: Note) -> None:
    path = _place(settings, pipeline)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(note.model_dump_json())  # half a note is none, and the move comes after it


def champion_stack(history: Sequence[Promotion]) -> list[int]:
    """The champions from the bottom to today's, by the moves in their order: who is stepped back to next.

    A step that is undone, by one right after it that goes the other way, leaves the pile as it was before both.
    """
    piles: list[list[int]] = [[]]
    for number, move in enumerate(history):
        now, last = piles[-1], history[number - 1] if number else None
        if move.verdict != VERDICT:
            piles.append([*now, move.version_to])
        elif (
            last is not None
            and last.verdict == VERDICT
            and (last.version_from, last.version_to) == (move.version_to, move.version_from)
        ):
            piles.append(piles[-2])
        else:
            below = [place for place, version in enumerate(now[:-1]) if version == move.version_to]
            piles.append(now[: below[-1] + 1] if below else [*now, move.version_to])
    return piles[-1]


def _before(history: Sequence[Promotion]) -> int:
    champions = champion_stack(history)
    if len(champions) > 1:
        return champions[-2]
    was = sorted({move.version_to for move in history} - {champions[0]})
    others = f"name another one that was: --to {was[-1]}" if was else "train and promote a better one first"
    raise UsageError(f"there is no champion before version {champions[0]}", others)


def _checked(history: Sequence[Promotion], to: int) -> int:
    champions = sorted({move.version_to for move in history})
    if history[-1].version_to == to:
        raise UsageError(f"version {to} is the champion already", "see: treadle models")
    if to not in champions:
        were = ", ".join(str(version) for version in champions)
        raise UsageError(
            f"version {to} was never champion (those who were: {were})",
            f"a person may promote it: treadle promote {to} --reason '...'",
        )
    return to
