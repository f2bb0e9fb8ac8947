"""What needs a person, in words, each with the command that settles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flows.status import Standing

FAILED = ("FAILED", "CRASHED")
NAMED = 3


class Need(BaseModel):
    """Something that waits for a person, and the command for it."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    what: str
    command: str


def of(pipelines: Sequence[Standing], differs: Sequence[str], *, up: bool) -> Iterator[Need]:
    """All needs, the home's own first."""
    if differs:
        more = f" (and {len(differs) - 1} more)" if len(differs) > 1 else ""
        yield Need(pipeline="", what=f"{differs[0]}{more}", command="treadle up")
    for one in pipelines:
        for what, command in _of_one(one, up=up):
            yield Need(pipeline=one.pipeline, what=what, command=f"{command} -p {one.pipeline}")


def _of_one(one: Standing, *, up: bool) -> Iterator[tuple[str, str]]:
    if one.trouble:
        yield one.trouble, "treadle check"
        return
    for work in one.work:
        if work.state in FAILED:
            yield f"the last `{work.work}` {work.state.lower()}: {work.message} ({work.page})", f"treadle {work.work}"
    if one.quarantine.batches:
        batches = "1 batch" if one.quarantine.batches == 1 else f"{one.quarantine.batches:,} batches"
        rows = f" ({one.quarantine.rows:,} rows)" if one.quarantine.rows else ""  # none of a file that cannot be read
        yield f"{batches}{rows} in quarantine, and nobody has decided", "treadle quarantine list"
    if one.waiting is not None:
        rival = f"version {one.champion.version}" if one.champion else "guessing"
        yield (
            f"version {one.waiting} is better than {rival} and waits for your word",
            f"treadle promote {one.waiting} --reason '...'",
        )
    elif one.champion is None and one.versions:
        yield f"no champion: the gate promoted none of {one.versions:,} versions", "treadle report"
    if one.alias:
        kept = one.champion.version if one.champion else ""
        yield one.alias, f"treadle promote {kept} --reason 'the alias was moved by hand'"
    if not up:
        yield from _by_hand(one)


def _by_hand(one: Standing) -> Iterator[tuple[str, str]]:
    """What `treadle up` would do by itself."""
    if not one.versions:
        yield "no model yet", "treadle train"
    elif one.champion is None and one.files:
        yield f"files wait: {', '.join(one.files[:NAMED])}", "treadle ingest"
    elif one.champion is not None:
        if one.files or one.unscored.rows:
            waits = [*one.files[:NAMED], *([f"{one.unscored.rows:,} rows of the table"] if one.unscored.rows else [])]
            yield f"wait for predictions: {', '.join(waits)}", "treadle score"
        if one.champion.due:
            yield f"retraining is due: {one.champion.due}", "treadle train --if-due"
