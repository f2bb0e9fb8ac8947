"""FAULTS 6: a process that was stopped wakes up after another took over; it promotes nothing, and says so."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import LIFE, NAME
from treadle.infra import settings as settings_
from treadle.infra import stores
from treadle.infra.locks import lease

if TYPE_CHECKING:
    from tests.faults.harness import Stages


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("event", "patience"),
    [("judging on", 1.0), pytest.param("labelled rows", lease.EXPIRED_SECONDS, marks=pytest.mark.slow)],
)
def test_who_was_stopped_while_it_trained_promotes_nothing(
    stages: Stages, event: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = stages.home("train")
    command = stages.workshop.start(home, LIFE["train"])
    deadline = time.monotonic() + 120
    while event not in command.said():
        assert not command.ended(), command.said()
        assert time.monotonic() < deadline, command.said()
        time.sleep(0.005)
    os.kill(command.pid, signal.SIGSTOP)
    ledger = stores.open(settings_.at(home), NAME).ledger
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", patience)
    with lease.hold_lease(ledger, NAME, "train", "the night shift", lambda _line: None):
        os.kill(command.pid, signal.SIGCONT)
        assert command.wait() == 1, command.said()
    assert "the night shift, process" in command.said()
    assert "nothing was promoted here" in command.said()
    assert "Traceback" not in command.said()
    assert ledger.champion(NAME) is None
    stages.check(home, "train", f"after a stop at {event!r}")
