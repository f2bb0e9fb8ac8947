"""`treadle alerts`: whoever `[alerts]` names is told what needs a person, once, all that is new in one message.

Every run of a deployment ends with such a look, and so does every command that no terminal watches; `treadle up` looks
each minute. What needs a person is what `treadle status` says; what was told stands in the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from treadle.flows.project import receivers
from treadle.flows.project.receivers import Receiver
from treadle.tasks.alerts import Case, News, news
from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from treadle.flows.project.status.needs import Item, Need
    from treadle.flows.project.status.servers import LastWork
    from treadle.infra.databases.ledger import Ledger
    from treadle.infra.notifications import Message
    from treadle.infra.settings import Settings
    from treadle.tasks.alerts import AlertsSpec

log = logging.getLogger("treadle.alerts")

CRASHED_SECONDS = 60.0
"""A run that was killed is taken up again within this time; then nobody has to be told."""

LOOK_SECONDS = 60.0
NAMED = 5
LONGEST, LONGEST_TITLE = 500, 120
OVER = ("COMPLETED", "FAILED", "CANCELLED")
CHANGED_BY: Mapping[str, tuple[str, ...]] = {"promotion": ("train",), "quarantine": ("ingest", "score")}
"""A training may be about to seat what it has registered, and of a drop of files all that is bad is one message."""


class Delivery(BaseModel):
    """What became of a message: `notified` counts what was new, `trouble` says why it did not arrive (else empty)."""

    model_config = ConfigDict(frozen=True)

    receiver: Receiver
    notified: int
    trouble: str

    def sentence(self) -> str:
        """One line for people, of one that did not arrive."""
        where = f" ({self.receiver.address})" if self.receiver.address else ""
        return f"alerts: {self.receiver.name}{where} {self.trouble}; it is tried again in a while"


class AlertsResult(BaseModel):
    """What every receiver was told just now."""

    model_config = ConfigDict(frozen=True)

    home: str
    test: bool
    deliveries: tuple[Delivery, ...]

    def exit_code(self) -> int:
        """1 where somebody could not be reached."""
        return 1 if any(one.trouble for one in self.deliveries) else 0


class Fresh(NamedTuple):
    """A need with what of it is new to a receiver."""

    need: Need
    items: tuple[Item, ...]


class Letter(NamedTuple):
    """What a receiver is to be told, and what is news to it, by pipeline."""

    receiver: Receiver
    fresh: dict[str, tuple[Fresh, ...]]
    news: dict[str, News]


def run_alerts(settings: Settings, *, test: bool = False) -> AlertsResult:
    """Look, and tell what is new; with `test` send everybody a word instead."""
    from treadle.infra.notifications import Message

    if not test:
        return AlertsResult(home=str(settings.home), test=False, deliveries=send_news(settings, at_once=True))
    body = f"Alerts of the project {settings.home} arrive here.\nSent by treadle alerts --test, {settings.who}."
    message = Message("treadle: a test", body)
    named = receivers.configured_receivers(settings)
    deliveries = _send(dict.fromkeys(named, message), dict.fromkeys(named, 0))
    return AlertsResult(home=str(settings.home), test=True, deliveries=deliveries)


def send_news(settings: Settings, pipelines: Sequence[str] = (), *, at_once: bool = False) -> tuple[Delivery, ...]:
    """Tell everybody what is new to them of `pipelines` (none: all); what became of it.

    Who could not be told lately is left out unless it is to be `at_once`. Of processes that look at the same moment one
    tells. Raises TreadleError where it cannot be known what there is.
    """
    from treadle.flows.project.status import servers
    from treadle.flows.service.alerts.backoff import Backoff
    from treadle.infra.databases.ledger import Ledger
    from treadle.infra.locks import file_lock

    specs = {
        name: receivers.alerts_spec(settings, name) for name in pipelines or [file.stem for file in settings.pipelines]
    }
    told = receivers.receivers_of(specs)
    if not told:
        return ()
    ledger = Ledger(settings.ledger)
    with file_lock.hold_file_lock(settings, "home", "alerts", lambda _: None):
        rests = Backoff(settings)
        told = tuple(one for one in told if at_once or not rests.resting(one.name))
        if not told:
            return ()
        runs = servers.newest_work(settings)
        known = {name: _needs(settings, name, runs) for name, spec in specs.items() if spec.to}
        letters = [_letter(ledger, one, specs, known, runs) for one in told]
        sent = _send(
            {one.receiver: _message(settings, one.fresh) for one in letters if any(one.fresh.values())},
            {one.receiver: sum(map(len, one.fresh.values())) for one in letters},
        )
        for letter, delivery in zip(letters, sent, strict=True):
            if delivery.notified:
                rests.note(letter.receiver.name, failed=bool(delivery.trouble))
            for name, what in letter.news.items():
                noted = what._replace(new=frozenset()) if delivery.trouble else what
                if noted.new or noted.over:
                    ledger.note_notified(name, letter.receiver.name, noted)
    return sent


def _letter(
    ledger: Ledger,
    receiver: Receiver,
    specs: Mapping[str, AlertsSpec],
    known: Mapping[str, Sequence[Need]],
    runs: Sequence[LastWork] | None,
) -> Letter:
    letter = Letter(receiver, {}, {})
    for name in receiver.pipelines:
        needs = [need for need in known[name] if need.kind in specs[name].about]
        before = ledger.notified(name, receiver.name)
        unsure = {case for case in before if _unsure(case, known[name], name, runs)}
        what = news({Case(need.kind, item.id) for need in needs for item in need.items}, before, unsure)
        letter.news[name] = what
        letter.fresh[name] = tuple(_fresh(needs, what))
    return letter


def _needs(settings: Settings, pipeline: str, runs: Sequence[LastWork] | None) -> tuple[Need, ...]:
    from treadle.flows.project.status import needs, pipeline_status

    settled = None if runs is None else [one for one in runs if not _under_way(one)]
    found = needs.pipeline_needs(pipeline_status(settings, pipeline, settled, waits=False))
    return tuple(one for one in found if not _may_change(one.kind, pipeline, runs))


def _may_change(kind: str, pipeline: str, runs: Sequence[LastWork] | None) -> bool:
    """Whether something is at work that brings such needs about, or settles them: it is told of when that has ended."""
    works = CHANGED_BY.get(kind, ())
    return any(one.pipeline == pipeline and one.work in works and _under_way(one) for one in runs or ())


def _under_way(work: LastWork) -> bool:
    """Whether it may still end well by itself."""
    if work.state == "CRASHED" and work.since is not None:
        return (datetime.now(UTC) - work.since).total_seconds() < CRASHED_SECONDS
    return work.state not in (*OVER, "CRASHED")


def _unsure(case: Case, known: Sequence[Need], pipeline: str, runs: Sequence[LastWork] | None) -> bool:
    """Whether nobody can say that it is over: its run goes on, the server is away, or the file cannot be read."""
    if any(need.kind == "config" for need in known):
        return case.kind != "config"
    if case.kind in CHANGED_BY:
        return _may_change(case.kind, pipeline, runs)
    if case.kind != "failed":
        return False
    works = {one.work: one for one in runs or () if one.pipeline == pipeline}
    work = works.get(case.id.partition(" ")[0])
    return work is None or _under_way(work)


def _fresh(needs: Sequence[Need], what: News) -> Iterator[Fresh]:
    for need in needs:
        items = tuple(item for item in need.items if Case(need.kind, item.id) in what.new)
        if items:
            yield Fresh(need, items)


def _message(settings: Settings, of: Mapping[str, Sequence[Fresh]]) -> Message:
    """All that is new to one receiver: what happened, where to look and the command that helps."""
    from treadle.flows.project.status.needs import page_of
    from treadle.infra.notifications import Message
    from treadle.infra.settings import without_secrets

    named = [name for name, fresh in of.items() if fresh]
    every = [one for name in named for one in of[name]]
    what = every[0].need.what if len(every) == 1 else f"{len(every)} things need you"
    lines: list[str] = []
    for name in named:
        lines.append(name)
        for need, items in of[name]:
            lines.append(f"- {_line(need.what)}")
            page = page_of(items)
            for item in items[:NAMED]:
                lines += [f"    {_line(item.words)}"] if item.words else []
                lines += [f"      where: {item.page}"] if item.page and not page else []
            lines += [f"    and {len(items) - NAMED:,} more"] if len(items) > NAMED else []
            lines += [f"  where: {page}"] if page else []
            lines += [f"  then: {need.command}", ""]
    lines.append(f"All of it: treadle status, in {settings.home} ({settings.who})")
    title = _line(f"treadle: {', '.join(named)}: {what}", LONGEST_TITLE)
    return Message(without_secrets(title), without_secrets("\n".join(lines)))


def _line(text: str, longest: int = LONGEST) -> str:
    from treadle.flows.project.status.prefect_messages import clipped

    return clipped(" ".join(text.split()), longest)


def _send(messages: Mapping[Receiver, Message], told: Mapping[Receiver, int]) -> tuple[Delivery, ...]:
    """Send what there is to send, to all at once; what became of it for everybody in `told`."""
    from treadle.infra import notifications

    with ThreadPoolExecutor(max(1, len(messages))) as pool:
        trouble = dict(
            zip(messages, pool.map(lambda one: notifications.send(one.name, messages[one]), messages), strict=True)
        )
    return tuple(Delivery(receiver=one, notified=count, trouble=trouble.get(one, "")) for one, count in told.items())


def notify_after_run(settings: Settings, pipeline: str) -> None:
    """The look at the end of a run: whatever goes wrong is one line in the log."""
    for line in _troubles(settings, (pipeline,)):
        log.warning(line)


def _troubles(settings: Settings, pipelines: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(one.sentence() for one in send_news(settings, pipelines) if one.trouble)
    except TreadleError as error:
        return (f"alerts: {error.message}",)
    except Exception as error:  # nothing that alerts do may fail a run
        return (f"alerts: unexpected {type(error).__name__}; see: treadle alerts",)


class AlertWatch:
    """Looks once a minute, in a thread of its own: nobody waits for a receiver that does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_at = 0.0
        self._said: tuple[str, ...] = ()
        self._looking: threading.Thread | None = None

    def look(self) -> None:
        """Begin to look, where it is time."""
        if time.monotonic() < self._next_at or (self._looking is not None and self._looking.is_alive()):
            return
        self._next_at = time.monotonic() + LOOK_SECONDS
        self._looking = threading.Thread(target=self._look, name="alerts", daemon=True)
        self._looking.start()

    def _look(self) -> None:
        from treadle.flows.service.alerts.backoff import Backoff

        said = _troubles(self._settings, ())
        for line in said if said != self._said else ():
            log.warning(line)
        if said or not Backoff(self._settings).pending:  # the same of one that rests meanwhile is said once
            self._said = said
