"""What needs a person, in words, each with the command that settles it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.flows.project.status.prefect_messages import plain
from treadle.tasks.alerts import AlertKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.flows.project.status import PipelineStatus
    from treadle.flows.project.status.servers import LastWork

FAILED = ("FAILED", "CRASHED")
NAMED = 3
LOCKED = "Prefect's server asks for a login that this command was not told: what it knows of runs is not seen"
FELL = "`treadle up` was at work here and has ended without being told to: nothing watches the inboxes and schedules"


class Item(BaseModel):
    """One of the things that a need is about, as `words` (may be empty) say; `id` is the same as long as it lasts.

    `page` shows the run in which it came about; empty where nobody knows it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    words: str = ""
    page: str = ""


class Need(BaseModel):
    """Something that waits for a person, where to look and the command for it.

    `page` shows the run in which all of it came about; empty where there were several, or nobody knows.

    `kind` is one of those that alerts tell of, or: `deployment`, not what its file says, and `work`, what `treadle up`
    would do by itself.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    kind: AlertKind | Literal["deployment", "work"]
    what: str
    command: str
    page: str = ""
    items: tuple[Item, ...] = ()


def home_needs(
    pipelines: Sequence[PipelineStatus], differs: Sequence[str], *, up: bool, fell: bool, locked: str
) -> Iterator[Need]:
    """All needs, the home's own first.

    `fell`: what kept the home up has ended, and nobody told it to; `locked`: the variable of the login for which its
    server asks.
    """
    if locked:
        yield Need(pipeline="", kind="work", what=LOCKED, command=f"export {locked}=NAME:PASSWORD")
    if fell:
        yield Need(pipeline="", kind="work", what=FELL, command="treadle up")
    told = tuple(f"{one.pipeline} cannot be deployed: " for one in pipelines if one.trouble)
    differs = [line for line in differs if not line.startswith(told)]
    if differs:
        more = f" (and {len(differs) - 1} more)" if len(differs) > 1 else ""
        yield Need(pipeline="", kind="deployment", what=f"{differs[0]}{more}", command="treadle up")
    for one in pipelines:
        yield from pipeline_needs(one)
        if not up and not one.trouble:
            for what, command in _by_hand(one):
                yield Need(pipeline=one.pipeline, kind="work", what=what, command=f"{command} -p {one.pipeline}")


def pipeline_needs(one: PipelineStatus) -> Iterator[Need]:
    """What of a pipeline needs a person whether or not `treadle up` is at work: what alerts tell of."""

    def need(kind: AlertKind, what: str, command: str, *items: Item) -> Need:
        whole = f"{command} -p {one.pipeline}"
        return Need(pipeline=one.pipeline, kind=kind, what=what, command=whole, page=page_of(items), items=items)

    if one.trouble:
        yield need("config", one.trouble, "treadle check", Item(id=_known(one.trouble)))
        return
    for work in one.work:
        if work.state in FAILED:
            said = "; ".join(plain(work.message).splitlines())  # what is wrong, and the way out
            what = f"the last `{work.work}` {work.state.lower()}: {said}"
            yield need("failed", what, f"treadle {work.work}", failure(work))
    if one.quarantine.batches:
        batches = "1 batch" if one.quarantine.batches == 1 else f"{one.quarantine.batches:,} batches"
        rows = f" ({one.quarantine.rows:,} rows)" if one.quarantine.rows else ""  # none of a file that cannot be read
        what = f"{batches}{rows} in quarantine, and nobody has decided"
        items = (Item(id=kept.batch_id, words=kept.sentence(), page=kept.page) for kept in one.quarantine.kept)
        yield need("quarantine", what, "treadle quarantine list", *items)
    for what, command, about in _promotion(one):
        yield need("promotion", what, command, about)
    if one.stale:
        what = f"no data came since {one.stale.since:%Y-%m-%d %H:%M} UTC, more than {one.stale.after_hours:g} hours"
        yield need("stale", what, "treadle ingest", Item(id=one.stale.since.isoformat()))


def page_of(items: Sequence[Item]) -> str:
    """The page of the one run in which all of them came about; empty where there is none."""
    pages = {item.page for item in items}
    return pages.pop() if len(pages) == 1 else ""


def failure(work: LastWork) -> Item:
    """How a failed run is known: the same work failing for the same reason, whatever numbers it names, is the same."""
    return Item(id=f"{work.work} {_known(work.message)}", page=work.page)


def _known(message: str) -> str:
    return hashlib.sha256(re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "#", message).encode()).hexdigest()[:16]


def _promotion(one: PipelineStatus) -> Iterator[tuple[str, str, Item]]:
    """What is to be decided about the champion: in words, the command, and what it is about."""
    if one.waiting is not None:
        rival = f"version {one.champion.version}" if one.champion else "guessing"
        yield (
            f"version {one.waiting} is better than {rival} and waits for your word",
            f"treadle promote {one.waiting} --reason '...'",
            Item(id=f"{one.waiting} waits", page=one.verdict_page),
        )
    elif one.refused is not None:
        yield (
            f"the gate refused version {one.refused.version}: {one.refused.headline}",
            "treadle report",
            Item(id=f"{one.refused.version} refused", page=one.verdict_page),
        )
    elif one.champion is None and one.declined:
        about = Item(id=_known(one.declined), page=one.verdict_page)
        yield f"no champion: {one.declined}", "treadle train --again", about
    elif one.champion is None and one.versions:
        none = (
            "did not promote the only version" if one.versions == 1 else f"promoted none of {one.versions:,} versions"
        )
        what = f"no champion: the gate {none}"
        yield what, "treadle report", Item(id=f"none of {one.versions}", page=one.verdict_page)
    if one.alias:
        kept = one.champion.version if one.champion else ""
        moved = Item(id=f"alias {_known(one.alias)}")
        yield one.alias, f"treadle promote {kept} --reason 'the alias was moved by hand'", moved


def _by_hand(one: PipelineStatus) -> Iterator[tuple[str, str]]:
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
