"""Whatever becomes of the receiver: away, silent or back, and of its address only what is no secret is shown."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.flows_.alerting import CANARY, CHAT, MAIL, to, version
from treadle.flows.service.alerts import backoff, delivery
from treadle.infra import notifications as sending
from treadle.infra import stores
from treadle.tasks.backoff import Backoff

if TYPE_CHECKING:
    from tests.flows_.alerting import Place
    from tests.receivers import Receiver


def test_a_receiver_that_is_away_is_told_when_it_is_back_and_nobody_else_is_told_again(
    place: Place,
    chat: Receiver,
    mail: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, config = place
    to(settings, CHAT, MAIL, "ALERTS_NOWHERE")
    ledger = stores.open(settings, config.name).ledger
    ledger.add_version(version(3, "REFUSED"))
    chat.answer = 503
    delivery.notify_after_run(settings, "clinic")
    assert [record.getMessage() for record in caplog.records if record.name == "treadle.alerts"] == [
        f"alerts: {CHAT} (json://127.0.0.1) refused it (HTTP 503); it is tried again in a while",
        "alerts: ALERTS_NOWHERE is not set; it is tried again in a while",
    ]
    assert (len(chat.received), len(mail.received)) == (0, 1)
    chat.answer = 200
    caplog.clear()
    delivery.notify_after_run(settings, "clinic")
    assert (len(chat.received), len(mail.received), caplog.messages) == (0, 1, []), "it is left in peace for a minute"
    monkeypatch.setattr(backoff, "RETRIES", Backoff(first=0.0))
    for _ in range(2):
        delivery.notify_after_run(settings, "clinic")
        assert (len(chat.received), len(mail.received)) == (1, 1)
    assert CANARY not in caplog.text


def test_who_does_not_answer_is_tried_after_ever_longer_pauses_but_at_once_by_the_command(
    place: Place, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, config = place
    to(settings, CHAT)
    stores.open(settings, config.name).ledger.add_version(version(3, "REFUSED"))
    chat.answer = 503
    moment = time.time()
    monkeypatch.setattr(backoff, "time", SimpleNamespace(time=lambda: moment))
    attempts = []
    for minute in range(200):
        moment += 60.0 if minute else 0.0
        if delivery.send_news(settings):
            attempts.append(minute)
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert [one.trouble for one in delivery.run_alerts(settings).deliveries] == ["refused it (HTTP 503)"]
    moment -= 86_400
    chat.answer = 200
    assert [one.notified for one in delivery.send_news(settings)] == [1], "a clock that was set back silences nobody"


def test_a_receiver_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "GIVE_UP_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(CHAT, f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60")
        assert sending.send(CHAT, sending.Message("a", "b")) == "does not answer within 1 seconds"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"json://me:{CANARY}@hooks.example.org:8080/{CANARY}?key={CANARY}", "json://hooks.example.org"),
        (f"mailtos://me:{CANARY}@example.org?to=you@example.org", "mailtos://..."),
        (f"mailtos://me:{CANARY}@example.org", "mailtos://example.org"),
        (f"slack://{CANARY}/B/C", "slack://..."),
        (f"tgram://{CANARY}/1", "tgram://..."),
        (f"json://me:{CANARY}/x@example.org", "json://..."),
        (CANARY, "an address"),
        ("", ""),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    monkeypatch.setenv(CHAT, address)
    assert sending.address(CHAT) == shown
