"""`treadle alerts`: send the receivers of `[alerts]` what needs a person, all that is new in one message.

Runs of deployments and commands without a terminal check at their end, `treadle up` checks each minute. The needs are
those of `treadle status`. The ledger records which items a receiver was notified of.
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

CHECK_SECONDS = 60.0
ITEMS_SHOWN = 5
LONGEST, LONGEST_TITLE = 500, 120
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
CHANGED_BY: Mapping[str, tuple[str, ...]] = {"promotion": ("train",), "quarantine": ("ingest", "score")}
"""By kind of need the work that may add or settle such needs while it runs; alerts wait until it has ended.

A training may promote the version that it registered, and several refused files of one ingest make one message.
"""


class Delivery(BaseModel):
    """How one message was delivered: `notified` counts its new items, `trouble` says why it failed (else empty)."""

    model_config = ConfigDict(frozen=True)

    receiver: Receiver
    notified: int
    trouble: str

    def sentence(self) -> str:
        """One line about a message that did not arrive."""
        where = f" ({self.receiver.address})" if self.receiver.address else ""
        return f"alerts: {self.receiver.name}{where} {self.trouble}; it is tried again in a while"


class AlertsResult(BaseModel):
    """The messages that were just sent, or failed: one delivery for each receiver."""

    model_config = ConfigDict(frozen=True)

    home: str
    test: bool
    deliveries: tuple[Delivery, ...]

    def exit_code(self) -> int:
        """1 where a receiver could not be reached, else 0."""
        return 1 if any(delivery.trouble for delivery in self.deliveries) else 0


class NewItems(NamedTuple):
    """A need, with those of its items that a receiver was not notified of yet."""

    need: Need
    items: tuple[Item, ...]


class PendingMessage(NamedTuple):
    """What a message to one receiver is about, by pipeline; `news` is what the ledger is to record of it."""

    receiver: Receiver
    new: dict[str, tuple[NewItems, ...]]
    news: dict[str, News]


def run_alerts(settings: Settings, *, test: bool = False) -> AlertsResult:
    """Send every receiver what is new to it; with `test` a test message instead."""
    from treadle.infra.notifications import Message

    if not test:
        return AlertsResult(home=str(settings.home), test=False, deliveries=send_news(settings, at_once=True))
    body = f"Alerts of the project {settings.home} arrive here.\nSent by treadle alerts --test, {settings.who}."
    message = Message("treadle: a test", body)
    recipients = receivers.configured_receivers(settings)
    deliveries = _send(dict.fromkeys(recipients, message), dict.fromkeys(recipients, 0))
    return AlertsResult(home=str(settings.home), test=True, deliveries=deliveries)


def send_news(settings: Settings, pipelines: Sequence[str] = (), *, at_once: bool = False) -> tuple[Delivery, ...]:
    """Send each receiver what is new to it of `pipelines` (none: all), and return the deliveries.

    A receiver that failed lately is left out until its backoff is over, unless `at_once`. Processes that call this at
    the same time wait for each other, so that only the first one sends. Raises TreadleError where the needs cannot be
    read.
    """
    from treadle.flows.project.status import servers
    from treadle.flows.service.alerts.backoff import FailedReceivers
    from treadle.infra.databases.ledger import Ledger
    from treadle.infra.locks import file_lock

    specs = {
        name: receivers.alerts_spec(settings, name) for name in pipelines or [file.stem for file in settings.pipelines]
    }
    recipients = receivers.receivers_of(specs)
    if not recipients:
        return ()
    ledger = Ledger(settings.ledger)
    with file_lock.hold_file_lock(settings, "home", "alerts", lambda _: None):
        failed = FailedReceivers(settings)
        recipients = tuple(one for one in recipients if at_once or not failed.applies_to(one.name))
        if not recipients:
            return ()
        runs = servers.newest_work(settings)
        needs = {name: _needs(settings, name, runs) for name, spec in specs.items() if spec.to}
        messages = [_pending_message(ledger, one, specs, needs, runs) for one in recipients]
        deliveries = _send(
            {one.receiver: _message(settings, one.new) for one in messages if any(one.new.values())},
            {one.receiver: sum(map(len, one.new.values())) for one in messages},
        )
        for message, delivery in zip(messages, deliveries, strict=True):
            if delivery.notified:
                failed.record(message.receiver.name, failed=bool(delivery.trouble))
            for name, what in message.news.items():
                noted = what._replace(new=frozenset()) if delivery.trouble else what
                if noted.new or noted.over:
                    ledger.note_notified(name, message.receiver.name, noted)
    return deliveries


def _pending_message(
    ledger: Ledger,
    receiver: Receiver,
    specs: Mapping[str, AlertsSpec],
    all_needs: Mapping[str, Sequence[Need]],
    runs: Sequence[LastWork] | None,
) -> PendingMessage:
    message = PendingMessage(receiver, {}, {})
    for name in receiver.pipelines:
        needs = [need for need in all_needs[name] if need.kind in specs[name].about]
        notified = ledger.notified(name, receiver.name)
        unsure = {case for case in notified if _unsure(case, all_needs[name], name, runs)}
        what = news({Case(need.kind, item.id) for need in needs for item in need.items}, notified, unsure)
        message.news[name] = what
        message.new[name] = tuple(_new_items(needs, what))
    return message


def _needs(settings: Settings, pipeline: str, runs: Sequence[LastWork] | None) -> tuple[Need, ...]:
    from treadle.flows.project.status import needs, pipeline_status

    ended = None if runs is None else [run for run in runs if not _under_way(run)]
    all_needs = needs.pipeline_needs(pipeline_status(settings, pipeline, ended, waits=False))
    return tuple(need for need in all_needs if not _may_change(need.kind, pipeline, runs))


def _may_change(kind: str, pipeline: str, runs: Sequence[LastWork] | None) -> bool:
    """Whether a run is under way that may add or settle needs of this `kind`."""
    works = CHANGED_BY.get(kind, ())
    return any(run.pipeline == pipeline and run.work in works and _under_way(run) for run in runs or ())


def _under_way(work: LastWork) -> bool:
    """Whether the run has not ended, or crashed so recently that it may be rescheduled."""
    from treadle.infra.orchestrator import dead_runs

    if work.state == "CRASHED" and work.since is not None:
        return (datetime.now(UTC) - work.since).total_seconds() < dead_runs.ALERT_SECONDS
    return work.state not in (*ENDED, "CRASHED")


def _unsure(case: Case, needs: Sequence[Need], pipeline: str, runs: Sequence[LastWork] | None) -> bool:
    """Whether it is unknown if the case is over: its run goes on, or the server or the config cannot be read."""
    if any(need.kind == "config" for need in needs):
        return case.kind != "config"
    if case.kind in CHANGED_BY:
        return _may_change(case.kind, pipeline, runs)
    if case.kind != "failed":
        return False
    works = {run.work: run for run in runs or () if run.pipeline == pipeline}
    work = works.get(case.id.partition(" ")[0])
    return work is None or _under_way(work)


def _new_items(needs: Sequence[Need], what: News) -> Iterator[NewItems]:
    for need in needs:
        items = tuple(item for item in need.items if Case(need.kind, item.id) in what.new)
        if items:
            yield NewItems(need, items)


def _message(settings: Settings, new: Mapping[str, Sequence[NewItems]]) -> Message:
    """The message about what is new to one receiver: what happened, where to look and the command that helps."""
    from treadle.flows.project.status.needs import page_of
    from treadle.infra.notifications import Message
    from treadle.infra.settings import without_secrets

    pipelines = [name for name, of_pipeline in new.items() if of_pipeline]
    needs = [one.need for name in pipelines for one in new[name]]
    what = needs[0].what if len(needs) == 1 else f"{len(needs)} things need you"
    lines: list[str] = []
    for name in pipelines:
        lines.append(name)
        for need, items in new[name]:
            lines.append(f"- {_line(need.what)}")
            page = page_of(items)
            for item in items[:ITEMS_SHOWN]:
                lines += [f"    {_line(item.words)}"] if item.words else []
                lines += [f"      where: {item.page}"] if item.page and not page else []
            lines += [f"    and {len(items) - ITEMS_SHOWN:,} more"] if len(items) > ITEMS_SHOWN else []
            lines += [f"  where: {page}"] if page else []
            lines += [f"  then: {need.command}", ""]
    lines.append(f"All of it: treadle status, in {settings.home} ({settings.who})")
    title = _line(f"treadle: {', '.join(pipelines)}: {what}", LONGEST_TITLE)
    return Message(without_secrets(title), without_secrets("\n".join(lines)))


def _line(text: str, longest: int = LONGEST) -> str:
    from treadle.flows.project.status.prefect_messages import clipped

    return clipped(" ".join(text.split()), longest)


def _send(messages: Mapping[Receiver, Message], counts: Mapping[Receiver, int]) -> tuple[Delivery, ...]:
    """Send the messages concurrently; a delivery for each receiver in `counts`, its number of new items."""
    from treadle.infra import notifications

    with ThreadPoolExecutor(max(1, len(messages))) as pool:
        trouble = dict(
            zip(messages, pool.map(lambda one: notifications.send(one.name, messages[one]), messages), strict=True)
        )
    return tuple(Delivery(receiver=one, notified=count, trouble=trouble.get(one, "")) for one, count in counts.items())


def notify_after_run(settings: Settings, pipeline: str) -> None:
    """Send what is new at the end of a run; an error is one line in the log."""
    for line in _troubles(settings, (pipeline,)):
        log.warning(line)


def _troubles(settings: Settings, pipelines: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(delivery.sentence() for delivery in send_news(settings, pipelines) if delivery.trouble)
    except TreadleError as error:
        return (f"alerts: {error.message}",)
    except Exception as error:  # nothing that alerts do may fail a run
        return (f"alerts: unexpected {type(error).__name__}; see: treadle alerts",)


class AlertWatch:
    """Sends what is new once a minute, in a thread of its own: a receiver that does not answer delays nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_at = 0.0
        self._logged: tuple[str, ...] = ()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Start the thread, where a check is due and the last one has ended."""
        if time.monotonic() < self._next_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._next_at = time.monotonic() + CHECK_SECONDS
        self._thread = threading.Thread(target=self._send_news, name="alerts", daemon=True)
        self._thread.start()

    def _send_news(self) -> None:
        from treadle.flows.service.alerts.backoff import FailedReceivers

        troubles = _troubles(self._settings, ())
        for line in troubles if troubles != self._logged else ():
            log.warning(line)
        if troubles or not FailedReceivers(self._settings).has_failures:  # a receiver in backoff is logged once
            self._logged = troubles
