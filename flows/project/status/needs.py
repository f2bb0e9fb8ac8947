"""What needs a person: a sentence and the command that settles it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.flows.project.status.prefect_messages import plain
from treadle.tasks.alerts import AlertKind
from treadle.tasks.commands import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.flows.project.deployment_plans import Difference
    from treadle.flows.project.status import PipelineStatus
    from treadle.flows.project.status.servers import LastWork

FAILED = ("FAILED", "CRASHED")
FILES_NAMED = 3
LOCKED = "Prefect's server requires a login that this command does not have: its runs are not shown"
EXITED = "`treadle up` exited unexpectedly here: nothing watches the inboxes and schedules"


class Item(BaseModel):
    """One of the things that a need is about; `words` describe it and may be empty, `id` does not change.

    `page` shows the run that caused it; empty where that is unknown.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    words: str = ""
    page: str = ""


class Need(BaseModel):
    """Something that needs a person, where to look and the command for it.

    `kind` is one of those that alerts are sent about, or `deployment`: it differs from its file, or `work`: `treadle
    up` would do it. `page` shows the run that caused all items; empty where there were several, or it is unknown.
    """

    model_config = ConfigDict(frozen=True)

    pipeline: str
    kind: AlertKind | Literal["deployment", "work"]
    what: str
    command: str
    page: str = ""
    items: tuple[Item, ...] = ()


def home_needs(
    pipelines: Sequence[PipelineStatus], differs: Sequence[Difference], *, up: bool, exited: bool, locked: str
) -> Iterator[Need]:
    """All needs, the home's own first.

    `exited`: `treadle up` exited unexpectedly; `locked`: the variable with the login that the home's server requires,
    else empty.
    """
    if locked:
        yield Need(pipeline="", kind="work", what=LOCKED, command=f"export {locked}=NAME:PASSWORD")
    if exited:
        yield Need(pipeline="", kind="work", what=EXITED, command="treadle up")
    invalid = {status.pipeline for status in pipelines if status.trouble}
    differs = [one for one in differs if not (one.kind == "refused" and one.pipeline in invalid)]
    if differs:
        more = f" (and {len(differs) - 1} more)" if len(differs) > 1 else ""
        yield Need(pipeline="", kind="deployment", what=f"{differs[0].sentence}{more}", command="treadle up")
    for status in pipelines:
        yield from pipeline_needs(status)
        if not up and not status.trouble:
            for what, command in _by_hand(status):
                yield Need(pipeline=status.pipeline, kind="work", what=what, command=command.line(status.pipeline))


def pipeline_needs(status: PipelineStatus) -> Iterator[Need]:
    """The needs of one pipeline that alerts are sent about, whether or not `treadle up` is running."""

    def need(kind: AlertKind, what: str, command: Command, *items: Item) -> Need:
        full = command.line(status.pipeline)
        return Need(pipeline=status.pipeline, kind=kind, what=what, command=full, page=page_of(items), items=items)

    if status.trouble:
        yield need("config", status.trouble, Command("check"), Item(id=status.trouble_kind))
        return
    for work in status.work:
        if work.state in FAILED:
            message = "; ".join(plain(work.message).splitlines())  # what is wrong, and the fix
            what = f"the last `{work.work}` {work.state.lower()}: {message}"
            yield need("failed", what, Command(work.work), failure(work))
    quarantine = status.quarantine
    if quarantine.batches:
        batches = "1 batch" if quarantine.batches == 1 else f"{quarantine.batches:,} batches"
        rows = f" ({quarantine.rows:,} rows)" if quarantine.rows else ""  # none of a file that cannot be read
        what = f"{batches}{rows} in quarantine without a decision"
        items = (Item(id=batch.batch_id, words=batch.sentence(), page=batch.page) for batch in quarantine.kept)
        yield need("quarantine", what, Command("quarantine list"), *items)
    for what, command, item in _promotion(status):
        yield need("promotion", what, command, item)
    if stale := status.stale:
        what = f"no data came since {stale.since:%Y-%m-%d %H:%M} UTC, more than {stale.after_hours:g} hours"
        yield need("stale", what, Command("ingest"), Item(id=stale.since.isoformat()))


def page_of(items: Sequence[Item]) -> str:
    """The page of the run that caused all of the items; empty where there were several."""
    pages = {item.page for item in items}
    return pages.pop() if len(pages) == 1 else ""


def failure(work: LastWork) -> Item:
    """The item of a failed run; its id is the same for the same work, state and kind of error, whatever the message."""
    return Item(id=" ".join(filter(None, (work.work, work.state, work.error))), page=work.page)


def _promotion(status: PipelineStatus) -> Iterator[tuple[str, Command, Item]]:
    """The decisions about the champion that are needed: a sentence, the command, and the item."""
    page, use = status.verdict_page, status.champion.use if status.champion else None
    if use and (use.forbidden or use.instead != status.waiting or not use.instead):
        columns = " ".join((*use.forbidden, "dropped", *use.dropped))
        what = f"{use.sentence()}; nothing is scored" if use.forbidden else use.sentence()
        without = f"; version {use.instead} does without" if use.instead else ""
        yield f"{what}{without}", use.command(), Item(id=f"{use.version} uses {columns}", page="")
    if status.waiting is not None:
        first = status.champion is None or (use is not None and use.forbidden)
        compared = "guessing" if first or status.champion is None else f"version {status.champion.version}"
        verdict = f"cannot be compared ({status.unsettled})" if status.unsettled else f"is better than {compared}"
        yield (
            f"version {status.waiting} {verdict} and waits for your decision",
            Command(f"promote {status.waiting} --reason '...'"),
            Item(id=f"{status.waiting} waits", page=page),
        )
    elif status.refused is not None:
        yield (
            f"the gate refused version {status.refused.version}: {status.refused.headline}",
            Command("report"),
            Item(id=f"{status.refused.version} refused", page=page),
        )
    elif status.champion is None and status.declined:
        item = Item(id=f"{status.declined_version} declined", page=page)
        yield f"no champion: {status.declined}", Command("train --again"), item
    elif status.champion is None and status.versions:
        verdicts = (
            "did not promote the only version"
            if status.versions == 1
            else f"promoted none of {status.versions:,} versions"
        )
        yield f"no champion: the gate {verdicts}", Command("report"), Item(id=f"none of {status.versions}", page=page)
    if status.alias:
        champion = status.champion.version if status.champion else ""
        yield status.alias, Command(f"promote {champion} --reason 'the alias was moved by hand'"), Item(id="alias")


def _by_hand(status: PipelineStatus) -> Iterator[tuple[str, Command]]:
    """The work that `treadle up` would do: a sentence and the command."""
    files, unscored = status.files[:FILES_NAMED], status.unscored.rows
    if not status.versions:
        yield "no model yet", Command("train")
    elif status.champion is None and files:
        yield f"files wait: {', '.join(files)}", Command("ingest")
    elif status.champion is not None:
        in_service = not (status.champion.use and status.champion.use.forbidden)
        if (files or unscored) and in_service:
            waiting = [*files, *([f"{unscored:,} rows of the table"] if unscored else [])]
            yield f"wait for predictions: {', '.join(waiting)}", Command("score")
        if status.champion.due:
            yield f"retraining is due: {status.champion.due}", Command("train --if-due")
