"""`treadle rollback [--to V]`: make an earlier champion the champion again, after its bundle is verified.

Champions form a stack: a promotion, by the gate or by a person, pushes a version, and a rollback pops one. So a second
rollback goes further back, never to the version that was just left. `undo` in the result goes back to that one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from treadle.flows.champion.moves import SEE_VERSIONS
from treadle.tasks.commands import Command
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from treadle.infra.databases.ledger import Promotion
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig

VERDICT = "ROLLBACK"


class RollbackResult(BaseModel):
    """One rollback: from which version to which; `golden_rows` were reproduced first; `undo` is a command."""

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
        """Always 0: a version that cannot be rolled back to raises."""
        return 0


class Note(BaseModel):
    """A command's arguments and the newest move before it; a note that is left means that the command was killed."""

    model_config = ConfigDict(frozen=True)

    to: int | None
    reason: str
    who: str
    newest: int


def run_rollback(
    settings: Settings, config: PipelineConfig, *, to: int | None = None, reason: str = "", resume: bool = False
) -> RollbackResult:
    """Make an earlier champion the champion again: `to`, or the one before the current one.

    With `resume`, the same call again before `acknowledge` returns the same rollback and makes no other one, so that a
    killed command can be repeated. The bundle must be intact, reproduce its golden rows and hold its certificate of
    parity; else raises BundleError, and the champion stays, as it does where the bundle uses a column of data.forbid
    (ForbiddenColumn). Raises NothingPromoted without a champion, UsageError where
    there is none before it or `to` was never champion, Conflict where the champion was changed at the same time.
    """
    from treadle.flows.champion.moves import move_champion, settle_champion
    from treadle.flows.champion.pending import no_champion_error
    from treadle.infra import stores as stores_
    from treadle.tasks import bundle

    begun = time.monotonic()
    stores = stores_.open(settings, config.name)
    settle_champion(stores, config)
    history = stores.ledger.history(config.name)[::-1]
    if not history:
        raise no_champion_error(stores.ledger, config.name)
    newest = history[-1]
    current = newest.version_to
    note = Note(to=to, reason=reason.strip(), who=settings.who, newest=newest.seq)
    if resume and newest.verdict == VERDICT and _read(settings, config.name) == _one_move_earlier(note):
        promotion = newest
    else:
        target = _checked(history, to) if to is not None else _before(history)
        if resume:
            _write(settings, config.name, note)
        promotion = move_champion(
            stores,
            config,
            target,
            expected=current,
            verdict=VERDICT,
            reason=note.reason or f"stepped back from version {current}",
            who=note.who,
        )
    left, target = promotion.version_from or 0, promotion.version_to
    return RollbackResult(
        pipeline=config.name,
        from_version=left,
        to=target,
        seq=promotion.seq,
        reason=promotion.reason,
        who=promotion.who,
        golden_rows=bundle.certificate(stores.bundle_folder(target)).rows,
        seconds=round(time.monotonic() - begun, 2),
        undo=f"treadle rollback --to {left} -p {config.name}",
    )


def acknowledge(settings: Settings, config: PipelineConfig) -> None:
    """Delete the note: the result was shown, so the next call is another rollback."""
    _note_file(settings, config.name).unlink(missing_ok=True)


def _note_file(settings: Settings, pipeline: str) -> Path:
    return settings.state / "rollback" / f"{pipeline}.json"


def _read(settings: Settings, pipeline: str) -> Note | None:
    try:
        return Note.model_validate_json(_note_file(settings, pipeline).read_bytes())
    except (OSError, ValidationError):
        return None


def _one_move_earlier(note: Note) -> Note:
    """The note that the same command would have written before the newest move."""
    return note.model_copy(update={"newest": note.newest - 1})


def _write(settings: Settings, pipeline: str, note: Note) -> None:
    from treadle.infra.files.atomic import write_atomically

    write_atomically(_note_file(settings, pipeline), note.model_dump_json())  # before the move


def champion_stack(history: Sequence[Promotion]) -> list[int]:
    """The stack of champions after the moves, oldest first; the last is the current one, the one before it is next.

    A rollback that is undone by a rollback right after it leaves the stack as it was before both.
    """
    stacks: list[list[int]] = [[]]
    for number, move in enumerate(history):
        stack, last = stacks[-1], history[number - 1] if number else None
        if move.verdict != VERDICT:
            stacks.append([*stack, move.version_to])
        elif (
            last is not None
            and last.verdict == VERDICT
            and (last.version_from, last.version_to) == (move.version_to, move.version_from)
        ):
            stacks.append(stacks[-2])
        else:
            below = [index for index, version in enumerate(stack[:-1]) if version == move.version_to]
            stacks.append(stack[: below[-1] + 1] if below else [*stack, move.version_to])
    return stacks[-1]


def _before(history: Sequence[Promotion]) -> int:
    champions = champion_stack(history)
    if len(champions) > 1:
        return champions[-2]
    others = sorted({move.version_to for move in history} - {champions[0]})
    fix = f"name another former champion: --to {others[-1]}" if others else "train and promote a better one first"
    raise UsageError(f"there is no champion before version {champions[0]}", fix)


def _checked(history: Sequence[Promotion], to: int) -> int:
    champions = sorted({move.version_to for move in history})
    if history[-1].version_to == to:
        raise UsageError(f"version {to} is the champion already", SEE_VERSIONS)
    if to not in champions:
        listed = ", ".join(str(version) for version in champions)
        raise UsageError(
            f"version {to} was never champion (champions so far: {listed})",
            ("a person may promote it: ", Command(f"promote {to} --reason '...'")),
        )
    return to
